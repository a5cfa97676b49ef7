"""What cannot be meant is exit 2 and one clear message, from the command line as its users start it."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.end_to_end.support import CLI, WORKER, config, judge
from tests.features.support import require


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A mistake, and the words that the message must hold."""

    config: str = config()
    arguments: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    says: tuple[str, ...]


MISTAKES = {
    "a key that is unknown": Bad(
        config=config("horzion = 4"), says=("machineid-conformance.toml", "targets.worker", "horzion", "horizon")
    ),
    "a value of the wrong type": Bad(
        config=config('max_gap = "ten"'), says=("machineid-conformance.toml", "max_gap", "'ten'")
    ),
    "no TOML": Bad(config="edition = = 1", says=("machineid-conformance.toml",)),
    "a target that is unknown": Bad(arguments=("--target", "wroker"), says=("wroker", "did you mean worker?")),
    "a scenario glob that matches nothing": Bad(
        arguments=("--scenario", "revoke-at-boundry"), says=("revoke-at-boundry", "did you mean revoke-at-boundary?")
    ),
    "a rule glob that matches nothing": Bad(
        arguments=("--rule", "stop/exit"), says=("stop/exit", "did you mean stop/exits?")
    ),
    "scenarios that match no file": Bad(
        config=config(top='scenarios = ["own/*.yaml"]'), says=("own/*.yaml", "no file")
    ),
    "a scenario with a wrong trigger": Bad(
        config=config(top='scenarios = ["own/*.yaml"]'),
        files={
            "own/mine.yaml": "id: mine\ntitle: Mine\nrules: [stop/exits]\nsteps:\n"
            "  - at: { bevore: validate, n: 1 }\n    do: { revoke: $device }\n"
        },
        says=("mine.yaml:5", "bevore", "before"),
    ),
    "a command that does not exist": Bad(
        config=config().replace('["python", "worker.py"]', '["no-such-program", "--x"]'),
        says=("worker", "no-such-program", "cannot be executed"),
    ),
    "a command after -- that does not exist": Bad(arguments=("--", "no-such-program"), says=("no-such-program",)),
    "a command that is not executable": Bad(
        config=config().replace('["python", "worker.py"]', '["./worker.py"]'),
        says=("./worker.py", "cannot be executed"),
    ),
    "no command": Bad(
        config=config().replace('command = ["python", "worker.py"]', ""),
        says=("targets.worker", "has no command", "expected command = "),
    ),
    "a variant that is unknown": Bad(arguments=("--variant", "hagn"), says=("--variant hagn", "did you mean hang?")),
    "an environment that is not declared": Bad(
        arguments=("--environment", "1"), says=("--environment 1", "bypass_env", "declare some")
    ),
    "a target of a kind of later work": Bad(
        config=config().replace('command = ["python", "worker.py"]', 'image = "worker:latest"'),
        says=("targets.worker", "image", "command"),
    ),
    "a configuration that is not there": Bad(arguments=("--config", "other.toml"), says=("other.toml",)),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_exit_2_and_one_message(mistake: Bad, tmp_path: Path) -> None:
    session = judge(tmp_path, mistake.config, {"worker.py": WORKER, **mistake.files}, *mistake.arguments)
    assert session.exit == 2, session.said
    assert session.results == {}
    assert session.stdout == ""
    for words in mistake.says:
        assert words in session.stderr, session.said
    assert "Traceback" not in session.stderr
    assert session.stderr.count("machineid-conformance: ") == 1, session.said
    assert len(session.stderr.strip().splitlines()) <= 6, session.said


def test_a_report_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file stands where the folder should be", encoding="utf-8")
    session = judge(tmp_path, config(), {"worker.py": WORKER})
    assert session.exit == 2, session.said
    assert f"the report folder {tmp_path / 'report'} cannot be written: File exists" in session.stderr
    assert "--report" in session.stderr
    assert "Traceback" not in session.stderr


WITH_PORT = """
isolation = "proxy"

[targets.worker.stimulus]
listen = "http://127.0.0.1:{port}"
requests = [{{ method = "POST", path = "/hook", json = {{ n = 1 }} }}]
"""


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    """In proxy isolation a fixed port is this machine's: whoever listens there would get what is meant for the target."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        session = judge(tmp_path, config(WITH_PORT.format(port=port)), {"worker.py": WORKER})
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()  # nobody was sent a stimulus
    assert session.exit == 2, session.said
    assert f"listen = 'http://127.0.0.1:{port}' names port {port} of this machine" in session.stderr
    assert "Address already in use" in session.stderr
    assert 'listen = "http://127.0.0.1:{port}"' in session.stderr
    assert "Traceback" not in session.stderr
    assert session.results == {}


def in_mount_of(folder: Path, options: str, command: Sequence[str]) -> tuple[str, ...]:
    """The command with a file system of its own mounted at ``folder/report``, which no other process sees."""
    report = folder / "report"
    report.mkdir()
    script = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", options, str(report), *command)


@pytest.mark.parametrize(
    ("options", "said", "file"),
    [("ro", "Read-only file system", "the report folder"), ("size=64k", "No space left on device", "traces/worker/")],
    ids=["read-only", "full"],
)
def test_a_report_folder_that_takes_no_more_is_said(options: str, said: str, file: str, tmp_path: Path) -> None:
    """At the start or in the middle, the session ends with what to do; nothing of it counts as judged."""
    require(shutil.which("unshare"), "unshare is not installed")
    session = judge(tmp_path, config(), {"worker.py": WORKER}, command=in_mount_of(tmp_path, options, (*CLI, "run")))
    assert session.exit == 2, session.said
    assert f"cannot be written: {said}" in session.stderr
    assert file in session.stderr
    assert "--report" in session.stderr
    assert "Traceback" not in session.stderr
    assert session.results == {}


DEAF = """
import runpy, signal

try:
    runpy.run_path("worker.py", run_name="__main__")
except SystemExit:
    pass
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""


def test_a_target_that_ignores_sigterm_is_killed_and_judged(tmp_path: Path) -> None:
    """One that idles after its refusal is stopped, as the rules have it; that it had to be killed stands in its trace."""
    text = config().replace('"worker.py"', '"deaf.py"')
    session = judge(tmp_path, text, {"worker.py": WORKER, "deaf.py": DEAF}, "--scenario", "startup-revoked")
    assert session.exit == 3, session.said  # a selection is never conforming
    assert session.rules["startup/denied"]["status"] == "pass"
    assert len(session.traces) == 4
    for trace in session.traces.values():
        assert [event["signal"] for event in trace if event["event"] == "signalled"] == ["SIGTERM"]
        (exited,) = (event for event in trace if event["event"] == "exited")
        assert (exited["signal"], exited["by"]) == ("SIGKILL", "harness")
        assert trace[-1]["event"] == "run-ended"


PINNED = """
import http.client, ssl

trusts_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
http.client.HTTPSConnection("machineid.io", context=trusts_nobody).request("POST", "/api/v1/devices/register", "{}")
"""


def test_a_target_that_refuses_the_authority_gets_the_remedy(tmp_path: Path) -> None:
    session = judge(tmp_path, config(), {"worker.py": PINNED})
    assert session.exit == 3, session.said
    (problem,) = session.target["problems"]
    assert "certificate authority" in problem
    assert "SSL_CERT_FILE" in problem
    assert {row["status"] for row in session.rules.values()} == {"inconclusive"}


NO_CALL = "print('nobody was asked')\n"
SILENT = {"ends at once": "", "does not call the control plane": NO_CALL, "raises": "raise SystemExit('no database')\n"}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_a_target_that_shows_nothing_gets_a_diagnosis(program: str, tmp_path: Path) -> None:
    session = judge(tmp_path, config(), {"worker.py": program}, "--scenario", "startup-revoked")
    assert session.exit == 3, session.said
    assert session.target["verdict"] == "inconclusive"
    assert len(session.target["problems"]) >= 1
    assert session.target["problems"][0] in " ".join(session.stdout.split()), session.said
    assert {row["status"] for row in session.rules.values()} == {"inconclusive"}
