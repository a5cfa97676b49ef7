"""``fake-control-plane serve`` as a process: what it prints, what it serves, how it ends, what it refuses to begin."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from machineid import MachineID  # type: ignore[import-untyped]

from fake_control_plane.cli import parser
from fake_control_plane.cli.serve import duration

PROGRAM = [sys.executable, "-m", "fake_control_plane.cli"]


@dataclass(frozen=True, kw_only=True)
class Process:
    ready: dict[str, Any]
    process: subprocess.Popen[str]

    def sdk(self) -> MachineID:
        return MachineID(org_key=self.ready["org_key"], base_url=self.ready["base_url"])

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit code and output."""
        self.process.send_signal(number)
        output, errors = self.process.communicate(timeout=30)
        return self.process.returncode, output, errors


@contextlib.contextmanager
def served(*options: str, environment: dict[str, str] | None = None) -> Iterator[Process]:
    """A server that is ready, on free ports."""
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", "--admin-port", "0", "--ready-fd", str(writing), *options],
        pass_fds=[writing],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as ready:
            line = ready.readline()
        assert line, process.communicate(timeout=30)
        yield Process(ready=json.loads(line), process=process)
    finally:
        process.kill()
        process.communicate()


def fails(*options: str) -> str:
    """What a serve that cannot be begun says."""
    done = subprocess.run([*PROGRAM, "serve", *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_official_client_works_and_a_signal_ends_it_in_good_order(number: int) -> None:
    with served() as server:
        client = server.sdk()
        assert client.register("worker:dev:queue:01")["status"] == "ok"
        assert client.validate("worker:dev:queue:01")["allowed"] is True
        key = server.ready["org_key"]
        code, output, errors = server.end(number)
    assert (code, errors) == (0, "")
    assert f"export MACHINEID_BASE_URL={server.ready['base_url']}" in output
    assert f"export MACHINEID_ORG_KEY={key}" in output
    assert server.ready["admin_url"] in output
    assert "Traceback" not in output


def test_it_ends_while_a_client_waits_and_another_follows_the_journal() -> None:
    with served() as server:
        answer = httpx.post(
            server.ready["admin_url"] + "/admin/v1/faults",
            json={"line": "hang"},
            headers={"origin": server.ready["admin_url"]},
        )
        assert answer.status_code == 201, answer.text
        with (
            socket.create_connection(address(server.ready["base_url"])) as waiting,
            httpx.stream("GET", server.ready["admin_url"] + "/admin/v1/journal/stream", timeout=30) as stream,
        ):
            waiting.sendall(b"GET /api/v1/usage HTTP/1.1\r\nHost: fake\r\n\r\n")
            assert stream.status_code == 200
            code, _, errors = server.end()
            assert waiting.recv(1) == b""
        assert (code, errors) == (0, "")


def address(base_url: str) -> tuple[str, int]:
    url = httpx.URL(base_url)
    assert url.port is not None
    return url.host, url.port


def test_as_json_it_prints_one_line() -> None:
    with served("--json", "--plan", "pro", "--cap", "7", "--seed", "1") as server:
        orgs = httpx.get(server.ready["admin_url"] + "/admin/v1/orgs").json()["orgs"]
        assert [(org["id"], org["plan"], org["limit"]) for org in orgs] == [("org-1", "pro", 7)]
        _, output, _ = server.end()
    assert json.loads(output) == server.ready
    with served("--seed", "1") as again:
        assert again.ready["org_key"] == server.ready["org_key"]


def test_dialect_and_codes() -> None:
    with served("--dialect", "legacy", "--cap", "0", "--code", "device-not-registered=UNKNOWN_DEVICE") as server:
        client = server.sdk()
        assert client.register("a")["status"] == "limit_reached"
        assert client.validate("a")["code"] == "UNKNOWN_DEVICE"


def test_state_and_journal_outlive_it(tmp_path: Path) -> None:
    state, journal = tmp_path / "state.sqlite", tmp_path / "journal.jsonl"
    options = ("--state", str(state), "--journal", str(journal))
    with served(*options) as first:
        first.sdk().register("a")
        first.sdk().revoke("a")
        first.process.kill()  # acknowledged is acknowledged
        first.process.communicate()
    with served(*options, "--plan", "max") as second:
        assert second.ready["org_key"] == first.ready["org_key"]
        assert second.sdk().validate("a")["code"] == "DEVICE_REVOKED"
        assert "another server uses this file" in fails("--port", "0", "--admin-port", "0", *options)
        assert second.end()[0] == 0
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [line["operation"] for line in lines] == ["org-create", "register", "revoke", "validate"]
    assert [line["number"] for line in lines] == [1, 2, 3, 4]
    assert first.ready["org_key"] not in journal.read_text(encoding="utf-8")


def test_tls(tmp_path: Path) -> None:
    with served("--tls-dir", str(tmp_path / "tls"), "--tls-name", "staging.example") as server:
        assert server.ready["base_url"].startswith("https://")
        answer = requests.post(
            server.ready["base_url"] + "/api/v1/devices/validate",
            json={"deviceId": "a"},
            headers={"x-org-key": server.ready["org_key"]},
            verify=server.ready["ca"],
            timeout=30,
        )
        assert (answer.json()["allowed"], answer.headers["x-machineid-fake"]) == (False, "1")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(server.ready["base_url"], timeout=30)
        assert [path.name for path in (tmp_path / "tls").iterdir()] == ["ca.pem"]


def test_beyond_loopback_it_says_when_it_expires() -> None:
    with served("--host", "0.0.0.0") as server:
        assert server.ready["expires_in"] == 7200.0
        assert server.sdk().validate("a")["code"] == "DEVICE_NOT_REGISTERED"
        assert "In 7200 seconds it expires" in server.end()[1]


def test_when_it_has_expired_it_says_so_and_denies() -> None:
    with served("--expires", "0.01s") as server:
        assert server.process.stderr is not None
        assert "expired; every validate is denied" in server.process.stderr.readline()
        assert server.sdk().validate("a") | {"request_id": ""} == {
            "allowed": False,
            "code": "FAKE_EXPIRED",
            "request_id": "",
        }
        assert server.sdk().register("a")["error"] == "fake_expired"


def test_the_admin_port_beyond_loopback_needs_a_token(tmp_path: Path) -> None:
    assert "needs a token" in fails("--port", "0", "--admin-port", "0", "--admin-host", "0.0.0.0")
    token = tmp_path / "token"
    with served("--admin-host", "0.0.0.0", "--admin-token-file", str(token)) as server:
        assert token.stat().st_mode & 0o777 == 0o600
        url = server.ready["admin_url"] + "/admin/v1/orgs"
        assert httpx.get(url).status_code == 401
        headers = {"authorization": f"Bearer {token.read_text(encoding='ascii').strip()}"}
        assert httpx.get(url, headers=headers).status_code == 200
        assert token.read_text(encoding="ascii").strip() not in "".join(server.end()[1:])
    with served("--admin-host", "0.0.0.0", environment={"FAKE_CONTROL_PLANE_TOKEN": "from-outside"}) as server:
        url = server.ready["admin_url"] + "/admin/v1/orgs"
        assert httpx.get(url, headers={"authorization": "Bearer from-outside"}).status_code == 200


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_in_use_is_an_error_that_names_the_option(option: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        other = {"--port": "--admin-port", "--admin-port": "--port"}[option]
        state = tmp_path / "state.sqlite"
        said = fails(option, str(port), other, "0", "--state", str(state))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said
    assert f"choose another with {option}" in said
    assert not state.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--code", "revoked=X"), "expected REASON=CODE with one of allow, org-disabled"),
        (("--expires", "2"), "expected a time above 0 such as 90s, 30m, 2h or 1d"),
        (("--expires", "0h"), "expected a time above 0"),
        (("--port", "65536"), "expected a port from 0 to 65535"),
        (("--plan", "gold"), "free"),
        (("--port", "0", "--admin-port", "0", "--host", "host.invalid"), "does not resolve"),
        (("--port", "0", "--admin-port", "0", "--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
        (("--port", "0", "--admin-port", "0", "--state", "/nowhere/state"), "--state /nowhere/state"),
        (("--port", "0", "--admin-port", "0", "--tls", "--tls-name", "*"), "expected a host name or an address"),
    ],
)
def test_what_it_cannot_begin_with(options: tuple[str, ...], says: str) -> None:
    assert says in fails(*options)


def test_it_says_when_it_may_not_open_as_many_files_as_it_wants() -> None:
    """It asks for as many as it can have, and says what that means."""
    command = ["prlimit", "--nofile=256:640", *PROGRAM, "serve", "--port", "0", "--admin-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        process.terminate()
        assert process.wait(30) == 0
    assert "may have 640 files open, so that only 512 connections are kept instead of 16384" in said
    assert "ulimit -Hn" in said


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError(\"No module named 'uvicorn'\", name='uvicorn')\n")
    done = subprocess.run(
        [*PROGRAM, "serve"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'machineid-conformance[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_durations() -> None:
    assert [duration(text) for text in ("90s", "1.5m", "2h", "1d")] == [90.0, 90.0, 7200.0, 86400.0]
    assert parser().parse_args(["serve"]).expires is None
