"""The state, one behaviour a test: what an operator does shows at the next validate, and only there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fake_control_plane.dialects import ASSUMED, CODES, LEGACY, Dialect
from fake_control_plane.org import LAST_MOMENT, PLANS, Reason
from fake_control_plane.state import ControlPlane


class Clock:
    def __init__(self) -> None:
        self.now = 1_767_225_600.0  # 2026-01-01T00:00:00Z

    def __call__(self) -> float:
        return self.now


class Fake:
    def __init__(self, *devices: str, plan: str = "free", limit: int | None = None, **made: Any) -> None:
        self.ids = itertools.count(1)
        self.keys = itertools.count(1)
        self.clock = Clock()
        self.plane = ControlPlane(
            new_id=lambda: f"id-{next(self.ids)}", new_key=lambda: f"org_{next(self.keys)}", now=self.clock, **made
        )
        self.key = self.plane.add_org(plan=plan, limit=limit)
        for device in devices:
            self.plane.operator_preregister(self.key, device)

    def code(self, device: str = "a", key: str | None = None) -> str:
        """The code of the device's next decision; ``allowed`` must agree with it."""
        body = self.plane.validate(key or self.key, device).body
        assert body["allowed"] is (body["code"] == "ALLOW")
        return str(body["code"])

    def codes(self, devices: str) -> list[str]:
        return [self.code(device) for device in devices]

    def usage(self) -> dict[str, Any]:
        body: dict[str, Any] = self.plane.usage(self.key).body
        return body


@pytest.mark.parametrize(
    ("change", "back", "code"),
    [
        (lambda p, k: p.operator_revoke(k, "a"), lambda p, k: p.operator_restore(k, "a"), "DEVICE_REVOKED"),
        (lambda p, k: p.operator_remove(k, "a"), lambda p, k: p.register(k, "a"), "DEVICE_NOT_REGISTERED"),
        (lambda p, k: p.operator_disable(k), lambda p, k: p.operator_enable(k), "ORG_DISABLED"),
        (
            lambda p, k: p.operator_set_plan_state(k, "frozen"),
            lambda p, k: p.operator_set_plan_state(k, "active"),
            "PLAN_FROZEN",
        ),
        (
            lambda p, k: p.operator_set_plan_state(k, "past_due"),
            lambda p, k: p.operator_set_plan_state(k, "active"),
            "PLAN_NOT_ACTIVE",
        ),
        (lambda p, k: p.operator_set_cap(k, 0), lambda p, k: p.operator_set_cap(k, 1), "DEVICE_LIMIT_EXCEEDED"),
    ],
)
def test_each_change_takes_effect_at_the_next_validate_and_can_be_taken_back(
    change: Callable[[ControlPlane, str], object], back: Callable[[ControlPlane, str], object], code: str
) -> None:
    fake = Fake("a")
    other = fake.plane.add_org()
    fake.plane.operator_preregister(other, "a")

    assert fake.code() == "ALLOW"
    change(fake.plane, fake.key)
    assert fake.code() == code
    assert fake.code(key=other) == "ALLOW"  # another org's device of the same name
    back(fake.plane, fake.key)
    assert fake.code() == "ALLOW"


def test_every_decision_has_its_own_request_id_and_so_has_a_dangled_allow() -> None:
    fake = Fake("a")
    answers = [fake.plane.validate(fake.key, "a"), fake.plane.validate(fake.key, "b"), fake.plane.allow_answer("b")]
    assert [answer.body["request_id"] for answer in answers] == ["id-1", "id-2", "id-3"]
    assert [answer.decision for answer in answers] == ["allow", "deny", "allow"]
    assert [answer.status for answer in answers] == [200, 200, 200]


def test_rotation_refuses_the_old_key_at_once_and_keeps_everything_else() -> None:
    fake = Fake("a", "b")
    fake.plane.operator_revoke(fake.key, "b")
    new = fake.plane.operator_rotate(fake.key)
    refused = fake.plane.validate(fake.key, "a")
    assert (refused.status, refused.body["error"], "allowed" in refused.body) == (401, "invalid_org_key", False)
    assert (fake.code("a", new), fake.code("b", new)) == ("ALLOW", "DEVICE_REVOKED")
    with pytest.raises(LookupError, match="it was rotated") as error:
        fake.plane.operator_revoke(fake.key, "a")
    assert fake.key not in str(error.value)


def test_org_disable_leaves_each_devices_own_state() -> None:
    fake = Fake("a", "b")
    fake.plane.operator_revoke(fake.key, "b")
    fake.plane.operator_disable(fake.key)
    assert fake.codes("ab") == ["ORG_DISABLED", "ORG_DISABLED"]
    assert fake.plane.register(fake.key, "c").body["status"] == "ok"  # assumed: it does not change register
    fake.plane.operator_enable(fake.key)
    assert fake.codes("abc") == ["ALLOW", "DEVICE_REVOKED", "ALLOW"]


def test_register_does_not_restore() -> None:
    fake = Fake("a")
    fake.plane.operator_revoke(fake.key, "a")
    answer = fake.plane.register(fake.key, "a")
    assert (answer.status, answer.body["status"], fake.code()) == (200, "exists", "DEVICE_REVOKED")


def test_register_restores_in_the_legacy_dialect() -> None:
    fake = Fake("a", dialect=LEGACY)
    fake.plane.operator_revoke(fake.key, "a")
    assert fake.plane.register(fake.key, "a").body["status"] == "restored"
    assert fake.code() == "ALLOW"
    assert fake.plane.register(fake.key, "a").body["status"] == "exists"


@pytest.mark.parametrize(("plan", "cap"), [("free", 3), ("pro", 25), ("scale", 250), ("max", 1000)])
def test_plans_and_their_caps(plan: str, cap: int) -> None:
    fake = Fake(plan=plan)
    statuses = [fake.plane.register(fake.key, f"d{n}").body["status"] for n in range(cap + 1)]
    assert statuses == ["ok"] * cap + ["blocked"]
    assert (PLANS[plan], fake.usage()["limit"], fake.usage()["devicesUsed"]) == (cap, cap, cap)
    assert fake.code(f"d{cap - 1}") == "ALLOW"


def test_over_a_lowered_cap_the_devices_registered_last_are_denied() -> None:
    fake = Fake(*"abc")
    fake.plane.operator_set_cap(fake.key, 1)
    assert fake.codes("abc") == ["ALLOW", "DEVICE_LIMIT_EXCEEDED", "DEVICE_LIMIT_EXCEEDED"]
    usage = fake.usage()
    assert (usage["limit"], usage["devicesUsed"], usage["remaining"], usage["overLimit"]) == (1, 3, 0, True)

    fake.plane.operator_remove(fake.key, "a")  # its place goes to the next in order
    assert fake.codes("abc") == ["DEVICE_NOT_REGISTERED", "ALLOW", "DEVICE_LIMIT_EXCEEDED"]
    assert fake.plane.register(fake.key, "a").status == 403

    fake.plane.operator_set_plan(fake.key, "pro")  # an upgrade holds at once, and the custom cap is over
    assert fake.plane.register(fake.key, "a").body["limit"] == 25
    assert fake.codes("abc") == ["ALLOW", "ALLOW", "ALLOW"]

    fake.plane.operator_set_cap(fake.key, 2)  # a device registered again stands last
    assert fake.codes("bca") == ["ALLOW", "ALLOW", "DEVICE_LIMIT_EXCEEDED"]


def test_a_revoked_device_keeps_its_place() -> None:
    fake = Fake(*"abc")
    fake.plane.operator_revoke(fake.key, "a")
    assert fake.plane.register(fake.key, "d").status == 403
    fake.plane.operator_set_cap(fake.key, 2)
    assert fake.codes("abc") == ["DEVICE_REVOKED", "ALLOW", "DEVICE_LIMIT_EXCEEDED"]


def test_custom_limits_above_the_largest_plan() -> None:
    fake = Fake(plan="max", limit=1200)
    assert (fake.usage()["planTier"], fake.usage()["limit"]) == ("max", 1200)


def test_a_cancelled_plan_is_free_once_its_cycle_is_over() -> None:
    fake = Fake(*"abcd", plan="pro")
    fake.plane.operator_cancel_plan(fake.key, access_until=fake.clock.now + 3600)
    before = fake.usage()
    assert (before["planTier"], before["limit"], before["accessUntil"]) == ("pro", 25, "2026-01-01T01:00:00Z")
    assert fake.code("d") == "ALLOW"

    fake.clock.now += 3600
    after = fake.usage()
    assert (after["planTier"], after["planState"], after["limit"], after["overLimit"]) == ("free", "active", 3, True)
    assert fake.codes("cd") == ["ALLOW", "DEVICE_LIMIT_EXCEEDED"]

    fake.plane.operator_set_cap(fake.key, 4)
    assert (fake.usage()["planTier"], fake.usage()["accessUntil"], fake.code("d")) == ("free", None, "ALLOW")
    fake.plane.operator_set_plan(fake.key, "pro")
    assert (fake.usage()["planTier"], fake.usage()["limit"]) == ("pro", 25)


def test_the_widest_reason_names_the_code() -> None:
    fake = Fake(*"abc")
    plane, key = fake.plane, fake.key
    plane.operator_set_cap(key, 2)
    assert fake.code("c") == "DEVICE_LIMIT_EXCEEDED"
    plane.operator_revoke(key, "c")
    assert fake.code("c") == "DEVICE_REVOKED"
    plane.operator_remove(key, "c")
    assert fake.code("c") == "DEVICE_NOT_REGISTERED"
    plane.operator_set_plan_state(key, "canceled")
    assert fake.code("c") == "PLAN_NOT_ACTIVE"
    plane.operator_set_plan_state(key, "frozen")
    assert fake.code("c") == "PLAN_FROZEN"
    plane.operator_disable(key)
    assert fake.code("c") == "ORG_DISABLED"


@pytest.mark.parametrize("reason", CODES)
def test_every_code_can_be_overridden(reason: Reason) -> None:
    fake = Fake("a", dialect=Dialect(name="mine", codes={reason: "MINE"}))
    plane, key = fake.plane, fake.key
    setups: Mapping[Reason, Callable[[], object]] = {
        "allow": lambda: None,
        "org-disabled": lambda: plane.operator_disable(key),
        "plan-frozen": lambda: plane.operator_set_plan_state(key, "frozen"),
        "plan-not-active": lambda: plane.operator_set_plan_state(key, "not_active"),
        "device-not-registered": lambda: plane.operator_remove(key, "a"),
        "device-revoked": lambda: plane.operator_revoke(key, "a"),
        "device-limit-exceeded": lambda: plane.operator_set_cap(key, 0),
    }
    setups[reason]()
    body = plane.validate(key, "a").body
    assert (body["allowed"], body["code"]) == (reason == "allow", "MINE")


def test_the_codes_that_are_public_are_not_marked_as_assumed() -> None:
    public = {"ALLOW", "DEVICE_REVOKED", "PLAN_NOT_ACTIVE", "PLAN_FROZEN"}
    assert {CODES[reason] for reason in CODES if reason not in ASSUMED} == public


def test_operator_actions_on_a_device_that_is_not_there_say_so() -> None:
    fake = Fake()
    actions = (fake.plane.operator_revoke, fake.plane.operator_restore, fake.plane.operator_remove)
    assert [action(fake.key, "a") for action in actions] == [False, False, False]
    assert fake.usage()["devicesUsed"] == 0


@pytest.mark.parametrize(
    ("act", "error", "message"),
    [
        (
            lambda f: f.plane.add_org(plan="gold"),
            ValueError,
            r"^plan: got 'gold'; expected one of free, pro",
        ),
        (
            lambda f: f.plane.add_org(limit=-1),
            ValueError,
            r"^device limit: got -1; expected a whole number",
        ),
        (lambda f: f.plane.operator_set_plan(f.key, "frozen"), ValueError, r"^plan: got 'frozen'; expected one of"),
        (lambda f: f.plane.operator_set_cap(f.key, True), ValueError, r"^device limit: got True"),
        (lambda f: f.plane.operator_set_cap(f.key, "3"), ValueError, r"^device limit: got '3'"),
        (lambda f: f.plane.operator_set_plan_state(f.key, "pro"), ValueError, r"^plan state: got 'pro'.*set_plan$"),
        (lambda f: f.plane.operator_set_plan_state(f.key, ""), ValueError, r"^plan state: got ''"),
        (
            lambda f: f.plane.operator_cancel_plan(f.key, access_until=float("nan")),
            ValueError,
            r"^end of the cycle: got nan; expected seconds since the epoch, from 0 to 253402300799 \(the year 9999\)$",
        ),
        (
            lambda f: f.plane.operator_cancel_plan(f.key, access_until=float("inf")),
            ValueError,
            r"^end of the cycle: got inf",
        ),
        (lambda f: f.plane.operator_cancel_plan(f.key, access_until=-1), ValueError, r"^end of the cycle: got -1"),
        (lambda f: f.plane.operator_enable("org_other"), LookupError, r"^no org has this key"),
        (
            lambda f: f.plane.operator_preregister(f.key, "d"),
            ValueError,
            r"^device 'd' cannot be registered: 3 dev",
        ),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(
    act: Callable[[Fake], object], error: type[Exception], message: str
) -> None:
    fake = Fake(*"abc")
    before = fake.usage()
    with pytest.raises(error, match=message):
        act(fake)
    assert fake.usage() == before
    assert fake.codes("abc") == ["ALLOW"] * 3


def test_a_code_for_a_reason_that_does_not_exist() -> None:
    codes: Any = {"revoked": "MINE"}
    with pytest.raises(ValueError, match=r"^codes: got the reason 'revoked'; expected one of allow, org-disabled, "):
        Dialect(name="mine", codes=codes)


@pytest.mark.parametrize("code", ["", " ", None, 7])
def test_a_code_that_is_no_word(code: Any) -> None:
    with pytest.raises(ValueError, match=r"^codes: got .* for the reason 'allow'; expected a word such as ALLOW$"):
        Dialect(name="mine", codes={"allow": code})


def test_the_last_moment_has_a_timestamp() -> None:
    fake = Fake("a", plan="pro")
    fake.plane.operator_cancel_plan(fake.key, access_until=LAST_MOMENT)
    assert fake.usage()["accessUntil"] == "9999-12-31T23:59:59Z"


def test_a_key_that_was_given_before_is_refused() -> None:
    plane = ControlPlane(new_id=lambda: "id", new_key=lambda: "org_same")
    key = plane.add_org()
    with pytest.raises(ValueError, match="was given before"):
        plane.add_org()
    with pytest.raises(ValueError, match="was given before"):
        plane.operator_rotate(key)
    assert plane.usage(key).status == 200  # the rotation that failed changed nothing
