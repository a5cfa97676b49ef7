"""The commands against a running server: what they print, in words and as JSON, and their exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_control_plane import cli
from fake_control_plane.cli.completion import SHELLS
from fake_control_plane.client import Client
from tests.fake_control_plane.serving.servers import process

Run = Callable[..., str]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with process() as ready:
        yield ready


@pytest.fixture
def org(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The server is the environment's, and so is an org of the test's own."""
    monkeypatch.setenv("FAKE_CONTROL_PLANE_ADMIN", server["admin_url"])
    monkeypatch.delenv("FAKE_CONTROL_PLANE_TOKEN", raising=False)
    with Client(server["admin_url"]) as client:
        org = client.create_org(plan="pro").org.id
    monkeypatch.setenv("FAKE_CONTROL_PLANE_ORG", org)
    return org


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command; returns what it printed. ``exits``: its exit code, and then what it said on standard error."""

    def run(*arguments: str, exits: int = 0) -> str:
        try:
            code = cli.main(arguments)
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        assert code == exits, printed
        if exits:
            assert printed.out == ""
            return printed.err
        assert printed.err == ""
        return printed.out

    return run


def test_devices(org: str, run: Run) -> None:
    assert run("register", "a", "b", "c") == f"{org}: 3 new, 0 there before; 3 of 25 devices\n"
    assert run("register", "c", "d") == f"{org}: 1 new, 1 there before; 4 of 25 devices\n"
    assert run("revoke", "a", "b") == f"{org}: revoked 2; 4 of 25 devices\n"
    assert run("restore", "b") == f"{org}: restored 1; 4 of 25 devices\n"
    assert run("remove", "c") == f"{org}: removed 1; 3 of 25 devices\n"
    assert run("devices").splitlines() == [
        "DEVICE  NOW             CALLS  LAST",
        "a       device-revoked  0      -",
        "b       allow           0      -",
        "d       allow           0      -",
    ]
    assert [device["id"] for device in json.loads(run("devices", "--json", "--state", "allow"))] == ["b", "d"]
    assert [device["id"] for device in json.loads(run("devices", "--json", "--search", "A"))] == ["a"]


def test_switches_and_plan(org: str, run: Run) -> None:
    assert run("disable") == f"{org}: plan pro (active); 0 of 25 devices; DISABLED: every validate is denied\n"
    assert run("enable") == f"{org}: plan pro (active); 0 of 25 devices\n"
    assert run("cap", "7") == f"{org}: plan pro (active); 0 of 7 devices\n"
    assert run("plan", "scale") == f"{org}: plan scale (active); 0 of 250 devices\n"
    assert run("plan-state", "frozen") == f"{org}: plan scale (frozen); 0 of 250 devices\n"
    assert "; cancelled, ends at " in run("cancel", "--in", "7")
    shown = {one["id"]: one for one in json.loads(run("orgs", "--json"))}[org]
    clock = json.loads(run("clock", "--json"))
    assert abs(shown["access_until"] - clock["now"] - 7 * 86400) < 60
    assert org in run("orgs")


def test_keys_are_printed_alone(org: str, run: Run) -> None:
    rotated = run("rotate")
    assert rotated.startswith("org_fake_")
    assert len(rotated.split()) == 1
    assert run("create-org", "--plan", "max", "--cap", "9").startswith("org_fake_")
    made = json.loads(run("create-org", "--json"))
    assert made["key"].startswith("org_fake_")
    assert made["org"]["plan"] == "free"


def test_faults(org: str, run: Run) -> None:
    rule = run("fault", "add", "status=503", "operation=validate", f"org={org}", "first=2").strip()
    assert run("fault", "list").splitlines()[1].split() == [
        rule,
        "0",
        "0",
        "status=503",
        "operation=validate",
        f"org={org}",
        "first=2",
    ]
    added = json.loads(run("fault", "add", "--json", '{"fault": {"hang": {}}, "operation": "list"}'))
    assert added["line"].startswith("hang")
    assert run("fault", "remove", rule) == f"{rule}: removed; it struck 0 of 0 calls\n"
    assert run("fault", "clear") == f"removed 1: {added['id']}\n"
    assert run("fault", "clear") == "there were none\n"
    assert "retry_after" in run("fault", "kinds")
    assert "'status'" in run("fault", "add", "statsu=503", exits=1)
    assert "JSON" in run("fault", "add", "{status", exits=2)


def test_the_server(org: str, run: Run, server: dict[str, Any]) -> None:
    assert f"base_url: {server['base_url']}\n" in run("status")
    before = json.loads(run("clock", "--json"))["moved"]
    assert f"{before + 3600:+g} s" in run("clock", "--advance", "3600")


# -- tail ------------------------------------------------------------------------------------------------------------------------


def test_tail_without_following(org: str, run: Run) -> None:
    run("register", "a", "b")
    lines = run("tail", "--no-follow", "--since", "0", "--org", org).splitlines()
    assert [line.split()[2:] for line in lines] == [
        ["action", org, "org-create", "-", "(plan", "pro,", "cap", "25)"],
        ["action", org, "register", "a"],
        ["action", org, "register", "b"],
    ]
    entries = [
        json.loads(line)
        for line in run("tail", "--no-follow", "--since", "0", "--org", org, "--device", "b", "--json").splitlines()
    ]
    assert [(entry["operation"], entry["device"]) for entry in entries] == [("register", "b")]
    assert len(run("tail", "--no-follow").splitlines()) == min(10, entries[0]["number"])


def test_tail_follows_until_it_is_interrupted(org: str, run: Run) -> None:
    command = [sys.executable, "-m", "fake_control_plane.cli", "tail", "--org", org, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["operation"] == "org-create"
        run("register", "a")
        assert json.loads(tail.stdout.readline())["device"] == "a"
        run("disable")
        assert json.loads(tail.stdout.readline())["operation"] == "disable"
        tail.send_signal(signal.SIGINT)
        assert tail.stdout.read() == ""
        assert tail.wait(30) == 0


def test_tail_ends_with_its_server() -> None:
    with process() as server:
        command = [sys.executable, "-m", "fake_control_plane.cli", "tail", "--admin", server["admin_url"]]
        tail = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert tail.stdout is not None
        assert "org-create" in tail.stdout.readline()
    rest, errors = tail.communicate(timeout=30)
    assert (rest, errors, tail.returncode) == ("", "", 0)


# -- mistakes --------------------------------------------------------------------------------------------------------------------


def test_what_the_server_refuses_exits_with_1(org: str, run: Run) -> None:
    assert run("revoke", "nobody", exits=1) == (
        f"fake-control-plane: not registered in {org}: 'nobody'; expected registered devices. Nothing was changed\n"
    )
    assert "'org-0'" in run("disable", "--org", "org-0", exits=1)
    assert "plan state: got 'pro'" in run("plan-state", "pro", exits=1)
    assert "'x'" in run("fault", "remove", "x", exits=1)


def test_an_org_must_be_named_unless_there_is_just_one(org: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAKE_CONTROL_PLANE_ORG")
    assert "choose one with --org ID" in run("disable", exits=2)
    with process() as server:
        assert run("disable", "--admin", server["admin_url"]).startswith("org-1: ")
        # And an address is understood as people write it.
        assert run("enable", "--admin", server["admin_url"].removeprefix("http://")).startswith("org-1: ")


def test_nobody_there_exits_with_4(org: str, run: Run) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{sock.getsockname()[1]}"
        for command in (["disable"], ["tail"], ["fault", "list"]):
            assert f"no answer from {address}" in run(*command, "--admin", address, exits=4)


def test_usage_exits_with_2(org: str, run: Run, tmp_path: Path) -> None:
    for command in (
        [],
        ["revoke"],
        ["plan", "gold"],
        ["cap", "many"],
        ["fault"],
        ["completion", "cmd"],
        ["disable", "--adm", "x"],
    ):
        run(*command, exits=2)
    assert "cannot be read" in run("disable", "--token-file", str(tmp_path / "none"), exits=2)


def test_a_token_from_a_file_or_the_environment(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    with process("--admin-token-file", str(path)) as server:
        here = ["--admin", server["admin_url"]]
        assert "--token-file FILE or in FAKE_CONTROL_PLANE_TOKEN" in run("orgs", *here, exits=1)
        assert "--token-file FILE or in FAKE_CONTROL_PLANE_TOKEN" in run("tail", *here, exits=1)
        assert "org-1" in run("orgs", *here, "--token-file", str(path))
        monkeypatch.setenv("FAKE_CONTROL_PLANE_TOKEN", path.read_text(encoding="ascii").strip())
        assert "org-1" in run("orgs", *here)


def test_an_output_that_nobody_reads_is_no_traceback(org: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "fake_control_plane.cli", "orgs"],
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert ran.stderr == b""


# -- completion ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_knows_every_command(shell: str, run: Run) -> None:
    script = run("completion", shell)
    for command in (
        "serve",
        "revoke",
        "restore",
        "remove",
        "disable",
        "enable",
        "rotate",
        "fault",
        "tail",
        "completion",
    ):
        assert command in script


def test_bash_completes() -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = subprocess.run(
        [sys.executable, "-m", "fake_control_plane.cli", "completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ask = """
COMP_WORDS=(fake-control-plane "$@"); COMP_CWORD=$(($#)); COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
function=$(complete -p fake-control-plane | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $function; printf '%s\\n' "${COMPREPLY[@]}"
"""

    def completed(*words: str) -> set[str]:
        ran = subprocess.run([bash, "-c", script + ask, "bash", *words], capture_output=True, text=True, check=True)
        return set(ran.stdout.split())

    assert completed("re") == {"register", "revoke", "restore", "remove"}
    assert {"add", "list", "clear"} <= completed("fault", "")
    assert completed("plan", "p") == {"pro"}
    assert "--no-follow" in completed("tail", "--no")
