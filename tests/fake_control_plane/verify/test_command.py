"""``fake-control-plane verify`` against a second fake on a real socket, which plays the original: the same, or changed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from fake_control_plane.client import Client
from fake_control_plane.client.results import Entry
from tests.fake_control_plane.serving.servers import process

DEVICE = "verify:dev:throwaway:01"
COMMAND = [sys.executable, "-m", "fake_control_plane.cli", "verify"]


class Original:
    """A server that stands for the real service, and its console."""

    def __init__(self, server: dict[str, Any], console: Client) -> None:
        self.base_url: str = server["base_url"]
        self.org: str = server["org"]
        self.key: str = server["org_key"]
        self.console = console

    def devices(self) -> list[str]:
        return [device.id for device in self.console.devices(self.org).devices]

    @contextlib.contextmanager
    def fault(self, *lines: str) -> Iterator[None]:
        """These fault rules, for as long as the block lasts."""
        rules = [self.console.add_fault(line) for line in lines]
        try:
            yield
        finally:
            for rule in rules:
                self.console.remove_fault(rule.id)

    @contextlib.contextmanager
    def registered(self) -> Iterator[None]:
        """The device is the user's, for as long as the block lasts; then it must still be there."""
        self.console.register(self.org, [DEVICE])
        yield
        self.console.remove(self.org, [DEVICE])

    def verify(self, *options: str, device: str = DEVICE, key: str | None = None) -> subprocess.CompletedProcess[str]:
        """The whole command. Whatever it does, no word of it may hold the key."""
        return verify("--base-url", self.base_url, "--device", device, "--yes", *options, key=key or self.key)


def verify(*options: str, key: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "MACHINEID_ORG_KEY"}
    if key is not None:
        environment["MACHINEID_ORG_KEY"] = key
    ran = subprocess.run(
        [*COMMAND, *options],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert key is None or key not in ran.stdout + ran.stderr
    return ran


@contextlib.contextmanager
def original(*options: str) -> Iterator[Original]:
    with process(*options) as server, Client(server["admin_url"]) as console:
        yield Original(server, console)


@pytest.fixture(scope="module")
def same() -> Iterator[Original]:
    with original() as found:
        yield found


def operations(found: Original) -> list[str]:
    """What its clients asked of it, in order."""
    return [entry.operation for entry in found.console.journal(kind="call").entries]


def test_the_same_service_is_equal_and_the_device_is_gone(same: Original) -> None:
    same.console.register(same.org, ["mine:dev:a:1"])
    ran = same.verify()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "16 calls: 16 equal, 0 different." in ran.stdout
    assert same.devices() == ["mine:dev:a:1"]
    same.console.remove(same.org, ["mine:dev:a:1"])


def test_as_json(same: Original) -> None:
    ran = same.verify("--json")
    report = json.loads(ran.stdout)
    assert (report["equal"], report["flags"], report["device"]) == (True, [], DEVICE)
    assert len(report["steps"]) == 16
    assert all(step["equal"] and step["differences"] == [] for step in report["steps"])


def test_a_changed_dialect_and_changed_codes_are_found() -> None:
    codes = ("--code", "device-not-registered=UNKNOWN_DEVICE", "--code", "device-revoked=REVOKED")
    with original("--dialect", "legacy", *codes) as changed:
        ran = changed.verify("--json")
        assert ran.returncode == 1
        assert changed.devices() == []
    report = json.loads(ran.stdout)
    found = {step["step"]: step["differences"] for step in report["steps"] if not step["equal"]}
    unknown = {"where": "body.code", "fake": '"DEVICE_NOT_REGISTERED"', "original": '"UNKNOWN_DEVICE"'}
    assert found == {
        "validate, not registered": [unknown],
        "validate, revoked": [{"where": "body.code", "fake": '"DEVICE_REVOKED"', "original": '"REVOKED"'}],
        "register, revoked": [{"where": "body.status", "fake": '"exists"', "original": '"restored"'}],
        "validate, registered while revoked": [
            {"where": "body.allowed", "fake": "false", "original": "true"},
            {"where": "body.code", "fake": '"DEVICE_REVOKED"', "original": '"ALLOW"'},
        ],
        "validate, removed": [unknown],
    }
    assert report["flags"] == ["--code device-not-registered=UNKNOWN_DEVICE", "--code device-revoked=REVOKED"]


def test_compared_with_the_dialect_that_it_speaks_it_is_equal() -> None:
    with original("--dialect", "legacy") as legacy:
        ran = legacy.verify("--dialect", "legacy")
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        ("content-type=text/html operation=usage", "header content-type: the fake says application/json"),
        ("status=200 body=html operation=billing", "body: the fake says object, the original no JSON"),
        ("status=429 operation=revoke", "header retry-after: the fake says is not there, the original is there"),
        (
            "mistyped-field=request_id value=42 operation=validate nth=2",
            "body.request_id: the fake says string, the original number",
        ),
    ],
)
def test_a_changed_shape_is_found(same: Original, fault: str, where: str) -> None:
    with same.fault(fault):
        ran = same.verify()
    assert (ran.returncode, same.devices()) == (1, [])
    assert where in ran.stdout, ran.stdout


# -- it touches nothing that is the user's -----------------------------------------------------------------------------


def test_a_device_that_is_listed_is_refused_and_nothing_but_the_list_was_asked(same: Original) -> None:
    with same.registered():
        same.console.revoke(same.org, [DEVICE])
        before = len(operations(same))
        ran = same.verify()
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "is in the org's list; nothing of yours is touched" in ran.stderr
        assert operations(same)[before:] == ["list"]
        assert [device.revoked for device in same.console.devices(same.org).devices] == [True]


def test_a_device_that_the_list_does_not_show_is_found_by_its_validate(same: Original) -> None:
    with same.registered(), same.fault("status=200 operation=list"):
        before = len(operations(same))
        ran = same.verify()
        assert ran.returncode == 2, ran.stderr
        assert "is allowed already" in ran.stderr
        assert operations(same)[before:] == ["list", "validate"]


def test_a_device_that_only_register_knows_is_left_there(same: Original) -> None:
    with same.registered(), same.fault("status=200 operation=list", "contradictory-code=false operation=validate"):
        before = len(operations(same))
        ran = same.verify()
        assert ran.returncode == 2, ran.stderr
        assert "was registered before" in ran.stderr
        assert operations(same)[before:] == ["list", "validate", "register"]


def test_no_place_for_a_throwaway_device() -> None:
    with original("--cap", "0") as full:
        ran = full.verify()
        assert ran.returncode == 2
        assert "is the plan's limit reached? Remove a device" in ran.stderr
        assert operations(full) == ["list", "validate", "register", "remove"]


@pytest.mark.parametrize("fault", ["reset=middle operation=register", "status=503 operation=revoke"])
def test_a_call_that_breaks_leaves_no_device_behind(fault: str) -> None:
    """The register came to pass although no answer came."""
    with original() as broken:
        broken.console.add_fault(fault)
        ran = broken.verify()
        expected = 1 if "revoke" in fault else 4
        assert ran.returncode == expected, ran.stderr
        assert operations(broken)[-1] in ("remove", "validate")
        assert broken.devices() == []


def test_a_device_that_could_not_be_removed_is_named(same: Original) -> None:
    with same.fault("status=503 operation=remove"):
        ran = same.verify()
    assert ran.returncode == 4
    # The fault replaces the answer alone; what the user is told is all that can be known from outside.
    assert (
        f"the device '{DEVICE}' may still be registered: remove it in the console (remove answered HTTP 503)"
        in ran.stderr
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_its_call_and_removes_the_device(number: signal.Signals) -> None:
    with original() as slow:
        slow.console.add_fault("latency=1 operation=revoke")
        environment = {**os.environ, "MACHINEID_ORG_KEY": slow.key}
        command = [*COMMAND, "--base-url", slow.base_url, "--device", DEVICE, "--yes"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
            # The call after it is the revoke, which takes a second.
            with slow.console.follow(since=0, operation="billing") as events:
                assert any(isinstance(event, Entry) for event in events)
            running.send_signal(number)
            _, said = running.communicate(timeout=60)
        assert (running.returncode, said) == (130, "fake-control-plane verify: interrupted\n")
        assert slow.devices() == []
        assert operations(slow)[-1] == "remove"


# -- what it refuses to begin ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key", "status", "said"),
    [
        (["--device", "worker:prod:a:1"], "org_k", 2, "is of production (':prod:')"),
        (["--device", "worker:PROD:a:1"], "org_k", 2, "is of production (':prod:')"),
        (["--device", " "], "org_k", 2, "the device id is empty"),
        (["--device", DEVICE], None, 2, "there is no org key; expected it in MACHINEID_ORG_KEY"),
        (["--device", DEVICE, "--base-url", "machineid.io"], "org_k", 2, "--base-url: got 'machineid.io'"),
        (["--device", DEVICE, "--base-url", "http://machineid.io"], "org_k", 2, "would send the org key in the clear"),
        (["--device", DEVICE, "--base-url", "https://a:b@machineid.io"], "org_k", 2, "--base-url: got"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    options: list[str], key: str | None, status: int, said: str
) -> None:
    ran = verify("--yes", *options, key=key)
    assert (ran.returncode, ran.stdout) == (status, "")
    assert said in ran.stderr


def test_nobody_to_ask(same: Original) -> None:
    before = len(operations(same))
    ran = verify("--base-url", same.base_url, "--device", DEVICE, key=same.key)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "nobody to ask whether the device may be registered; add --yes" in ran.stderr
    assert len(operations(same)) == before


@pytest.mark.parametrize(("answer", "status"), [("n\n", 2), ("y\n", 0)])
def test_it_asks_before_it_begins(same: Original, answer: str, status: int) -> None:
    terminal, shown = pty.openpty()
    environment = {**os.environ, "MACHINEID_ORG_KEY": same.key}
    command = [*COMMAND, "--base-url", same.base_url, "--device", DEVICE]
    before = len(operations(same))
    with subprocess.Popen(
        command, env=environment, stdin=shown, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        os.write(terminal, answer.encode())
        _, said = running.communicate(timeout=60)
    os.close(terminal)
    os.close(shown)
    assert running.returncode == status, said
    assert f"the device {DEVICE!r} will be registered" in said
    assert (len(operations(same)) == before) == (status == 2)


def test_a_key_that_the_service_refuses(same: Original) -> None:
    ran = same.verify(key="org_nobodys")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "the service refuses the org key (HTTP 401)" in ran.stderr


def test_nothing_listens_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and not listening: nobody else can
        ran = verify(
            "--yes", "--device", DEVICE, "--base-url", f"http://127.0.0.1:{closed.getsockname()[1]}", key="org_k"
        )
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "did not answer: ConnectError" in ran.stderr


def test_what_listens_there_is_no_control_plane(same: Original) -> None:
    with same.fault("not-json=html operation=list"):
        ran = same.verify()
    assert ran.returncode == 4
    assert "devices/list answered HTTP 200 (text/html)" in ran.stderr
