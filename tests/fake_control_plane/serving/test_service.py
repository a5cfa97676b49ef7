"""The service without a port: what is checked, stored, journaled, told; and that the fast path says what the long way says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import pytest

from fake_control_plane.answers import Answer
from fake_control_plane.api import Request
from fake_control_plane.faults.api import Receipt
from fake_control_plane.org import Device, Reason
from fake_control_plane.serving import service as module
from fake_control_plane.serving.journal import Entry
from fake_control_plane.serving.parts import Saved, SavedOrg, Setting
from fake_control_plane.serving.service import (
    Change,
    Conflict,
    Served,
    Service,
    UnknownDevice,
    UnknownOrg,
    UnknownRule,
)
from fake_control_plane.serving.standing import Standing


class Memory:
    """A store that keeps what was committed, and the order of what it was asked. It can be full."""

    def __init__(self) -> None:
        self.done: list[tuple[str, Any]] = []
        self.waiting: list[tuple[str, Any]] = []
        self.full = False
        self.closed = False
        self.saved: Saved | None = None

    def load(self) -> Saved | None:
        return self.saved

    def save_org(self, org: SavedOrg) -> None:
        self.waiting.append(("org", org))

    def save_devices(self, org_id: str, devices: Sequence[Device]) -> None:
        self.waiting.append(("devices", (org_id, tuple(devices))))

    def forget_devices(self, org_id: str, devices: Sequence[str]) -> None:
        self.waiting.append(("forget-devices", (org_id, tuple(devices))))

    def save_rule(self, rule_id: str, rule: Mapping[str, Any]) -> None:
        self.waiting.append(("rule", rule_id))

    def forget_rule(self, rule_id: str) -> None:
        self.waiting.append(("forget-rule", rule_id))

    def save_setting(self, name: str, value: Any) -> None:
        self.waiting.append((name, value))

    def commit(self) -> None:
        if self.full:
            raise OSError("no space left")
        self.done += self.waiting
        self.waiting.clear()

    def close(self) -> None:
        self.closed = True

    def last(self) -> tuple[str, Any]:
        return self.done[-1]


def post(key: str, operation: str, device: str | None = None) -> Request:
    body = b"" if device is None else json.dumps({"deviceId": device}).encode()
    path = operation if "/" in operation else f"devices/{operation}"
    return Request(method="POST", target=f"/api/v1/{path}", headers=(("x-org-key", key),), body=body)


def call(service: Service, request: Request, receipt: Receipt | None = None) -> Served:
    served = service.call(request)
    service.settle(served, receipt)
    return served


def fast_path(service: Service, key: str, device: str) -> tuple[Reason, str] | Served | None:
    """A round of one validate."""
    decided = service.validate(Standing(key, device))
    service.flush()
    return decided


def entries(service: Service) -> list[Entry]:
    return list(service.journal.since(0).entries)


def test_the_fast_path_says_and_journals_what_the_long_way_does() -> None:
    """Each state of a device and an org, in both dialects."""
    for dialect in ("current", "legacy"):
        fast, long = Service(seed=7), Service(seed=7)
        services = (fast, long)
        keys = [service.add_org(plan="pro").key for service in services]
        for service in services:
            service.set_dialect(dialect)
            service.set_codes({"device-revoked": "NO_MORE"})
            service.register("org-1", ["kept", "revoked"])
            service.revoke("org-1", ["revoked"])
        switches: list[Callable[[Service], object]] = [
            lambda service: None,
            lambda service: service.set_plan_state("org-1", "frozen"),
            lambda service: service.set_plan_state("org-1", "canceled"),
            lambda service: service.set_plan_state("org-1", "active"),
            lambda service: service.disable("org-1"),
            lambda service: service.enable("org-1"),
            lambda service: service.set_cap("org-1", 0),
        ]
        for switch in switches:
            for service in services:
                switch(service)
            for device in ("kept", "revoked", "stranger"):
                decided = fast_path(fast, keys[0], device)
                assert isinstance(decided, tuple)
                served = call(long, post(keys[1], "validate", device))
                assert fast.dialect.decision(decided[0], request_id=decided[1]) == served.answer
        seen = [[(*vars_of(entry),) for entry in entries(service)] for service in services]
        assert seen[0] == seen[1]
        assert fast.devices("org-1") == tuple(
            # but for the moment at which each was seen
            type(view)(**{**vars(view), "last_at": mine.last_at})
            for view, mine in zip(long.devices("org-1"), fast.devices("org-1"), strict=True)
        )


def vars_of(entry: Entry) -> list[Any]:
    value = entry.to_json()
    return [value[name] for name in value if name not in ("time", "waited")]


def test_an_entry_says_what_the_client_really_got() -> None:
    service = Service()
    org = service.add_org()
    service.register(org.id, ["a"])
    service.add_fault("status=503 operation=validate nth=1")
    first = service.call(post(org.key, "validate", "a"))
    assert first.fault is not None
    assert (first.answer.decision, first.allow and first.allow.decision, first.rule) == ("allow", "allow", "fault-1")
    got = Answer(status=503, body={"error": "down"})
    service.settle(first, Receipt(delivered=True, evidence="sent", ending="answered", answer=got))
    service.settle(first, Receipt(delivered=False, evidence="too late", ending="gave-up"))
    call(service, post("org_unknown_key", "validate", "a"))
    call(
        service, Request(method="GET", target="/api/v1/devices/validate?deviceId=a", headers=(("x-org-key", org.key),))
    )
    faulted, missed, stranger, legacy = [entry for entry in entries(service) if entry.kind == "call"]
    assert (faulted.status, faulted.decision, faulted.code, faulted.rule, faulted.detail) == (
        503, "failure", None, "fault-1", "sent",
    )  # fmt: skip
    assert (missed.status, missed.decision, missed.rule, missed.ending) == (None, None, None, "gave-up")
    assert missed.detail == "fault-1: too late"
    assert (stranger.org, stranger.status, stranger.decision) == (None, 401, "failure")
    assert (legacy.status, legacy.decision, legacy.code) == (200, "allow", None)
    assert org.key not in repr(entries(service))


def test_what_stands_is_looked_up_again_when_a_key_or_a_rule_changes() -> None:
    service = Service()
    org = service.add_org()
    service.register(org.id, ["a"])
    standing = Standing(org.key, "a")

    def found() -> str:
        service.flush()
        decided = service.validate(standing)
        return decided[0] if isinstance(decided, tuple) else "long way" if decided is None else f"{decided.rule}"

    assert [found(), found()] == ["allow", "allow"]
    service.add_fault("status=503 operation=validate device=another nth=1")
    assert [found(), found()] == ["allow", "allow"]
    service.add_fault("status=503 operation=validate device=a nth=3")
    assert [found(), found(), found(), found()] == ["allow", "allow", "fault-2", "allow"]
    assert [service.fault(f"fault-{number}")["seen"] for number in (1, 2)] == [0, 4]
    service.clear_faults()
    assert [found(), found()] == ["allow", "allow"]
    service.revoke(org.id, ["a"])
    assert [found(), found()] == ["device-revoked", "device-revoked"]
    service.remove(org.id, ["a"])
    assert found() == "device-not-registered"
    service.register(org.id, ["a"])
    assert [found(), found()] == ["allow", "allow"]
    assert service.device(org.id, "a").calls == 2
    key = service.rotate(org.id)
    assert [found(), found()] == ["long way", "long way"]
    standing.key = key
    assert [found(), found()] == ["allow", "allow"]


def test_codes_that_change_are_journaled_from_the_next_validate_on() -> None:
    service = Service()
    org = service.add_org()
    for code in ("FIRST", "SECOND"):
        service.set_codes({"device-not-registered": code})
        for _ in range(2):
            fast_path(service, org.key, "a")
    assert [entry.code for entry in entries(service) if entry.kind == "call"] == ["FIRST", "FIRST", "SECOND", "SECOND"]


def test_the_truths_that_were_given_before_are_handed_to_a_fault_that_asks() -> None:
    """Those of this device and operation, whichever path gave them."""
    service = Service()
    org = service.add_org()
    service.register(org.id, ["a", "b"])
    given = []
    for turn in range(4):
        if turn == 2:
            service.revoke(org.id, ["a"])
        if turn % 2:
            given.append(call(service, post(org.key, "validate", "a")).answer)
        else:
            decided = fast_path(service, org.key, "a")
            assert isinstance(decided, tuple)
            given.append(service.dialect.decision(decided[0], request_id=decided[1]))
        fast_path(service, org.key, "b")
        call(service, post(org.key, "register", "a"))
    service.add_fault("stale=3 operation=validate")
    served = fast_path(service, org.key, "a")
    assert isinstance(served, Served)
    assert list(served.earlier) == given[-3:]
    assert [answer.decision for answer in served.earlier] == ["allow", "deny", "deny"]


def test_changes_are_stored_before_they_are_journaled_told_and_acknowledged() -> None:
    store = Memory()
    service = Service(store=store)
    told: list[tuple[Change, bool]] = []
    stop = service.subscribe(lambda change: told.append((change, not store.waiting)))
    org = service.add_org(plan="pro")
    assert store.done[0] == ("minted", 1)
    assert store.last()[1] == SavedOrg(id="org-1", key=org.key, settings=service._orgs.find("org-1").org.settings)
    service.register(org.id, ["a", "b", "a"])
    assert store.last() == ("devices", ("org-1", (Device(id="a"), Device(id="b"))))
    service.revoke(org.id, ["a", "b"])
    assert store.last() == ("devices", ("org-1", (Device(id="a", revoked=True), Device(id="b", revoked=True))))
    call(service, post(org.key, "unrevoke", "a"))
    assert store.last() == ("devices", ("org-1", (Device(id="a"),)))
    call(service, post(org.key, "remove", "a"))
    assert store.last() == ("forget-devices", ("org-1", ("a",)))
    count = len(store.done)
    call(service, post(org.key, "remove", "a"))  # 404: nothing changed
    call(service, post(org.key, "register", "b"))  # it is there
    assert len(store.done) == count
    made = call(service, Request(method="POST", target="/api/v1/org/create"))
    assert store.last()[1].key == made.answer.body["orgApiKey"]
    service.move_clock(5.0)
    assert store.last() == ("clock", 5.0)
    service.set_codes({"allow": "YES"})
    assert store.last() == ("codes", {"allow": "YES"})
    service.add_fault("hang")
    assert store.done[-2:] == [("rule", "fault-1"), ("rules", 1)]
    service.clear_faults()
    assert store.last() == ("forget-rule", "fault-1")
    assert [change.action for change, _ in told] == [
        "org-create", "register", "revoke", "unrevoke", "remove", "org-create", "move-clock", "set-codes", "fault-add",
        "fault-remove",
    ]  # fmt: skip
    assert all(stored for _, stored in told)
    assert told[2][0] == Change(action="revoke", org="org-1", devices=("a", "b"))
    actions = [entry for entry in entries(service) if entry.kind == "action"]
    assert [(entry.operation, entry.device) for entry in actions[1:5]] == [
        ("register", "a"), ("register", "b"), ("revoke", "a"), ("revoke", "b"),
    ]  # fmt: skip
    stop()
    service.disable(org.id)
    assert told[-1][0].action == "fault-remove"
    service.close()
    assert store.closed


def test_a_full_disk_is_no_acknowledgement() -> None:
    store = Memory()
    service = Service(store=store)
    org = service.add_org()
    told: list[Change] = []
    service.subscribe(told.append)
    before = len(entries(service))
    store.full = True
    with pytest.raises(OSError, match="no space left"):
        service.disable(org.id)
    served = call(service, post(org.key, "register", "a"))
    assert (served.answer.status, served.answer.body["error"]) == (503, "not_stored")
    assert told == []
    assert [entry.kind for entry in entries(service)[before:]] == ["call"]
    store.full = False
    service.enable(org.id)
    assert {name for name, _ in store.done[-3:]} == {"org", "devices"}  # what waited came too


def test_all_or_none() -> None:
    service = Service()
    org = service.add_org()
    service.register(org.id, ["a", "b"])
    with pytest.raises(Conflict, match="2 devices and a limit of 3: no place for 2 more"):
        service.register(org.id, ["a", "c", "d"])
    with pytest.raises(UnknownDevice, match="'x', 'y'") as raised:
        service.revoke(org.id, ["a", "x", "b", "y"])
    assert raised.value.devices == ("x", "y")
    for bad in ("", "  ", "x" * 257, "\ud800"):
        with pytest.raises(ValueError, match="expected 1 to 256 characters"):
            service.register(org.id, ["c", bad])
    assert [(view.id, view.revoked) for view in service.devices(org.id)] == [("a", False), ("b", False)]


def test_what_is_not_there() -> None:
    service = Service()
    with pytest.raises(UnknownOrg, match="there are no orgs yet"):
        service.org("org-1")
    org = service.add_org()
    for wrong in ("org-2", org.key, "org-01", ""):
        with pytest.raises(UnknownOrg, match="expected one of org-1 to org-1"):
            service.disable(wrong)
    with pytest.raises(UnknownDevice):
        service.device(org.id, "a")
    with pytest.raises(UnknownRule):
        service.remove_fault("fault-1")
    with pytest.raises(UnknownRule):
        service.fault("fault-1")


def test_a_device_of_which_nothing_is_known_leaves_nothing_behind() -> None:
    service = Service()
    org = service.add_org()
    for number in range(100):
        fast_path(service, org.key, f"stranger-{number}")
    service.register(org.id, ["a"])
    fast_path(service, org.key, "a")
    assert (service.device(org.id, "a").calls, service.device(org.id, "a").last) == (1, "allow")
    service.remove(org.id, ["a"])
    assert service._orgs.find(org.id).seen == {}


def test_clients_make_no_orgs_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ORGS", 2)
    service = Service()
    create = Request(method="POST", target="/api/v1/org/create")
    answers = [call(service, create).answer for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].body["error"] == "too_many_orgs"


def test_a_seed_repeats_keys_and_ids_and_goes_on_behind_those_that_were_given() -> None:
    first, second, other = Service(seed=1), Service(seed=1), Service(seed=2)
    orgs = [service.add_org() for service in (first, second, other)]
    assert orgs[0] == orgs[1] != orgs[2]
    assert fast_path(first, orgs[0].key, "a") == fast_path(second, orgs[1].key, "a")
    third = first.rotate("org-1"), first.add_org().key
    store = Memory()
    store.saved = Saved(settings={"minted": 2})
    assert Service(seed=1, store=store).add_org().key == third[1]


def test_what_was_stored_is_taken_in_again() -> None:
    store = Memory()
    before = Service(store=store)
    org = before.add_org(plan="pro")
    before.register(org.id, ["a"])
    before.disable(org.id)
    before.set_dialect("legacy")
    before.set_codes({"allow": "YES"})
    before.move_clock(3600.0)
    rule = before.add_fault("status=503 device=a first=2")
    store.saved = Saved(
        orgs=[SavedOrg(id=org.id, key=org.key, settings=before._orgs.find(org.id).org.settings)],
        devices={org.id: [Device(id="a")]},
        rules={rule.id: rule.describe()},
        settings={name: value for name, value in store.done if name in get_args(Setting)},
    )
    after = Service(store=store)
    assert after.orgs() == before.orgs()
    assert after.devices(org.id) == before.devices(org.id)
    assert after.dialect == before.dialect
    assert after.clock.moved == 3600.0
    assert after.faults() == before.faults()
    before.clear_faults()
    after.clear_faults()
    assert after.add_fault("hang").id == "fault-2"  # a journal may still name the first
    assert after.add_org().id == "org-2"


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), True, "5", 1e18])
def test_a_clock_is_moved_by_seconds(seconds: Any) -> None:
    service = Service()
    with pytest.raises(ValueError, match="clock"):
        service.move_clock(seconds)
    assert service.clock.moved == 0.0


def test_a_cancelled_plan_ends_when_the_clock_says_so() -> None:
    service = Service()
    org = service.add_org(plan="pro")
    devices = service.register(org.id, [f"device-{number}" for number in range(5)])
    service.cancel_plan(org.id, access_until=service.clock.now() + 86400)
    assert service.org(org.id).limit == 25
    service.move_clock(86401)
    assert (service.org(org.id).plan, service.org(org.id).limit) == ("free", 3)
    assert [service.device(org.id, device).now for device in devices] == ["allow"] * 3 + ["device-limit-exceeded"] * 2
    service.move_clock(-86401)
    assert service.org(org.id).plan == "pro"
