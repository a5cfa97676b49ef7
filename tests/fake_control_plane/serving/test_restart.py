"""What a server was, it is again after a restart on its state file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_control_plane.api import Request
from fake_control_plane.client import Client
from fake_control_plane.serving.clock import Clock
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.store import SqliteStore
from fake_control_plane.serving.views import Conflict, UnknownDevice, UnknownOrg, UnknownRule
from tests.fake_control_plane.serving.servers import process

# -- a server that never ended, and one that ends all the time --------------------------------------------------------------------

ORGS = st.sampled_from(["org-1", "org-2", "org-3"])
DEVICES = st.lists(st.sampled_from("abcde"), min_size=1, max_size=3)
Act = Callable[[Service], Any]


def client_call(operation: str, org: int, device: str) -> Act:
    """A client's call, with the key that the org has now."""

    def act(service: Service) -> None:
        if org < len(service.orgs()):
            headers = (("x-org-key", service.key(service.orgs()[org].id)),)
            body = json.dumps({"deviceId": device}).encode()
            service.call(Request(method="POST", target=f"/api/v1/devices/{operation}", headers=headers, body=body))

    return act


CALLS = st.builds(
    client_call,
    st.sampled_from(["register", "register", "revoke", "unrevoke", "remove"]),
    st.integers(0, 2),
    st.sampled_from("abcde"),
)
ACTIONS: st.SearchStrategy[Act] = st.one_of(
    CALLS,
    st.builds(lambda plan, cap: lambda one: one.add_org(plan=plan, cap=cap), st.sampled_from(["free", "pro"]), st.sampled_from([None, 4])),
    st.just(lambda one: one.call(Request(method="POST", target="/api/v1/org/create"))),
    st.builds(lambda org: lambda one: one.rotate(org), ORGS),
    st.builds(lambda org, devices: lambda one: one.register(org, devices), ORGS, DEVICES),
    st.builds(lambda org, devices: lambda one: one.revoke(org, devices), ORGS, DEVICES),
    st.builds(lambda org, devices: lambda one: one.restore(org, devices), ORGS, DEVICES),
    st.builds(lambda org, devices: lambda one: one.remove(org, devices), ORGS, DEVICES),
    st.builds(lambda org: lambda one: one.disable(org), ORGS),
    st.builds(lambda org: lambda one: one.enable(org), ORGS),
    st.builds(lambda org, plan: lambda one: one.set_plan(org, plan), ORGS, st.sampled_from(["free", "pro", "max"])),
    st.builds(lambda org, state: lambda one: one.set_plan_state(org, state), ORGS, st.sampled_from(["active", "frozen", "x"])),
    st.builds(lambda org, cap: lambda one: one.set_cap(org, cap), ORGS, st.integers(0, 6)),
    st.builds(lambda org, until: lambda one: one.cancel_plan(org, access_until=until), ORGS, st.sampled_from([500.0, 1500.0])),
    st.builds(lambda seconds: lambda one: one.move_clock(seconds), st.sampled_from([-100.0, 0.1, 700.0])),
    st.builds(lambda line: lambda one: one.add_fault(line), st.sampled_from(["status=503 first=2", "latency operation=list", "refuse"])),
    st.builds(lambda rule: lambda one: one.remove_fault(rule), st.sampled_from(["fault-1", "fault-2", "fault-3"])),
    st.just(lambda one: one.clear_faults()),
    st.builds(lambda name: lambda one: one.set_dialect(name), st.sampled_from(["current", "legacy"])),
    st.builds(lambda codes: lambda one: one.set_codes(codes), st.sampled_from([{}, {"allow": "YES"}, {"org-disabled": "OFF"}])),
)  # fmt: skip


# Half of them act on devices; one_of alone would draw each kind as often as any other.
STEPS = st.tuples(st.booleans().flatmap(lambda often: CALLS if often else ACTIONS), st.booleans())


def opened(store: SqliteStore | None) -> Service:
    return Service(seed=7, clock=Clock(lambda: 1000.0), store=store)


def outcome(act: Act, service: Service) -> str:
    """Done, or the name of the refusal."""
    try:
        act(service)
    except (UnknownOrg, UnknownDevice, UnknownRule, Conflict, ValueError) as refused:
        return type(refused).__name__
    return "done"


def whole(service: Service) -> dict[str, Any]:
    """All that lasts: counters of calls, and those of fault rules, begin anew."""
    orgs = service.orgs()
    return {
        "orgs": orgs,
        "keys": [service.key(org.id) for org in orgs],
        "devices": {
            org.id: [(device.id, device.revoked, device.now) for device in service.devices(org.id)] for org in orgs
        },
        "rules": [{**rule, "seen": 0, "hits": 0} for rule in service.faults()],
        "dialect": (service.dialect.name, dict(service.dialect.codes)),
        "clock": (service.clock.now(), service.clock.moved),
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, min_size=5, max_size=40))
def test_a_server_that_is_restarted_is_the_one_that_was_not(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Act, bool]]
) -> None:
    path = tmp_path_factory.mktemp("state") / "state"
    lasting, restarted = opened(None), opened(SqliteStore(path))
    for service in (lasting, restarted):  # or most actions would find nothing to act on
        service.add_org(plan="pro")
        service.add_org()
        service.register("org-1", "abc")
    for act, restart in steps:
        assert outcome(act, lasting) == outcome(act, restarted)
        if restart:
            restarted.close()
            restarted = opened(SqliteStore(path))
        assert whole(restarted) == whole(lasting)
    restarted.close()


def test_the_id_of_a_fault_rule_is_not_given_again(tmp_path: Path) -> None:
    """A journal may still name it."""
    service = opened(SqliteStore(tmp_path / "state"))
    assert service.add_fault("refuse").id == "fault-1"
    service.clear_faults()
    service.close()
    service = opened(SqliteStore(tmp_path / "state"))
    assert service.add_fault("refuse").id == "fault-2"
    service.close()


# -- the process -------------------------------------------------------------------------------------------------------------------


def test_a_restart_of_the_process_keeps_everything(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with process("--state", state, "--plan", "pro") as first, Client(first["admin_url"]) as client:
        client.register("org-1", ["b", "a"])
        client.revoke("org-1", ["a"])
        client.add_fault("status=503 operation=usage")
        client.set_codes({"device-revoked": "GONE"})
        client.advance_clock(86400)
        other = client.create_org(plan="max")
    with process("--state", state) as second, Client(second["admin_url"]) as client:
        assert second["org_key"] == first["org_key"]  # what the users of the first have exported still holds
        assert [(org.id, org.plan) for org in client.orgs()] == [("org-1", "pro"), ("org-2", "max")]
        assert [(device.id, device.now) for device in client.devices("org-1").devices] == [
            ("b", "allow"),
            ("a", "device-revoked"),
        ]
        assert client.clock().moved == 86400
        assert [rule.line for rule in client.faults()] == ["status=503 operation=usage"]

        def validate(key: str) -> Any:
            url = f"{second['base_url']}/api/v1/devices/validate"
            return httpx.post(url, json={"deviceId": "a"}, headers={"x-org-key": key}, trust_env=False).json()["code"]

        assert (validate(first["org_key"]), validate(other.key)) == ("GONE", "DEVICE_NOT_REGISTERED")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (
            lambda path: path.write_text("notes\n" * 1000, encoding="ascii"),
            "expected a state file of fake-control-plane",
        ),
        (lambda path: path.mkdir(), "cannot be opened"),
    ],
)
def test_a_file_that_cannot_be_used_ends_the_start(
    tmp_path: Path, prepare: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "state"
    prepare(path)
    ended = start("--state", str(path))
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_server_on_the_same_files_does_not_start(tmp_path: Path) -> None:
    state, journal = tmp_path / "state", tmp_path / "journal"
    with process("--state", str(state), "--journal", str(journal)):
        for arguments in (["--state", str(state)], ["--journal", str(journal)]):
            ended = start(*arguments)
            assert ended.returncode == 2
            assert "another server" in ended.stderr


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A server that is expected not to start."""
    command = [sys.executable, "-m", "fake_control_plane.cli", "serve", "--port", "0", "--admin-port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
