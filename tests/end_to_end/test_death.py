"""However a session ends, nothing of it stays: no process, no mount, no world, and after Ctrl-C no folder either."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.end_to_end.remains import LIMIT, Session, cmdlines, users_of
from tests.end_to_end.support import CLI, clean_environment, place, problems

INCONCLUSIVE, INTERRUPTED = 3, 130
SOON = 20.0
"""Seconds that Ctrl-C may take here: a target that ignores SIGTERM is given three, and other tests share this machine."""

# It says hello to a real service on this machine (``passthrough``), and then nothing more; its daemon likewise.
STUBBORN = """
import os, signal, socket, sys

def hello():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    connection.sendall(b"hello")
    while True:
        signal.pause()

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        hello()
    os._exit(0)
os.wait()
hello()
"""
CONFIG = """
edition = 1

[targets.stubborn]
command = ["python", "stubborn.py", "{marker}", "{port}"]
device = "worker:dev:stubborn:01"
passthrough = ["127.0.0.1:{port}"]
idle_after = "100s"
run_within = "100s"
start_within = "100s"
"""
ENGINE = (sys.executable, "-m", "machineid_conformance.engine")


@contextmanager
def started(folder: Path, command: tuple[str, ...], *, request: bool) -> Iterator[Session]:
    """A session whose target and daemon have both said hello."""
    marker = f"marker-{folder.name}-{os.getpid()}"
    scratch = folder / "scratch"
    scratch.mkdir()
    with ExitStack() as stack:
        service = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        service.settimeout(LIMIT)
        port = service.getsockname()[1]
        project = place(folder, CONFIG.format(marker=marker, port=port), {"stubborn.py": STUBBORN})
        output = stack.enter_context((folder / "output").open("wb"))
        process = stack.enter_context(
            subprocess.Popen(
                command,
                cwd=project,
                env={**clean_environment(), "TMPDIR": str(scratch)},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        )
        stack.callback(process.kill)
        if request:
            asked = {
                "root": str(project),
                "config": "machineid-conformance.toml",
                "report": str(folder / "report"),
                "jobs": 1,
            }
            assert process.stdin is not None
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
        for _ in ("target", "daemon"):
            connection = stack.enter_context(service.accept()[0])
            connection.settimeout(LIMIT)
            assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
        session = Session(process, marker, scratch)
        assert sum(marker in command for command in cmdlines().values()) >= 2
        assert users_of(scratch)
        yield session


def assert_nothing_was_judged(report: Path) -> None:
    """results.json stands there all the same, and says of the target what is known: that it was not judged, and why."""
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    assert problems("results", [results]) == []
    assert (results["verdict"], results["complete"], results["interrupted"]) == ("inconclusive", False, True)
    (target,) = results["targets"]
    assert (target["verdict"], target["planned_runs"], target["runs"]) == ("inconclusive", None, [])
    assert target["problems"] == ["the session was interrupted before its fault-free runs were over"]
    assert {row["status"] for row in target["rules"]} == {"inconclusive"}
    assert target["left_out"]["baseline"] == "the session was interrupted before any run of it was judged"


def test_sigkill_of_the_engine_in_the_middle_of_a_run(tmp_path: Path) -> None:
    with started(tmp_path, ENGINE, request=True) as session:
        session.process.kill()
        session.process.wait(LIMIT)
        session.assert_nothing_stays()


def test_sigkill_of_the_command_line_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """Its engine sees the end of its standard input."""
    with started(tmp_path, (*CLI, "run", "--jobs=1", f"--report={tmp_path / 'report'}"), request=False) as session:
        session.process.kill()
        session.process.wait(LIMIT)
        session.assert_nothing_stays()


def test_ctrl_c_ends_the_session_soon_and_leaves_nothing(tmp_path: Path) -> None:
    with started(tmp_path, (*CLI, "run", "--jobs=1", f"--report={tmp_path / 'report'}"), request=False) as session:
        session.process.send_signal(signal.SIGINT)
        assert session.process.wait(SOON) == INTERRUPTED
        session.assert_nothing_stays()
        said = (tmp_path / "output").read_text(encoding="utf-8")
        assert "stubborn interrupted before its fault-free runs were over" in " ".join(said.split())
        assert "Traceback" not in said
        assert list(session.scratch.iterdir()) == []
        assert_nothing_was_judged(tmp_path / "report")


def test_the_end_of_whoever_asked_ends_the_engine(tmp_path: Path) -> None:
    with started(tmp_path, ENGINE, request=True) as session:
        assert session.process.stdin is not None
        session.process.stdin.close()
        assert session.process.wait(SOON) == INCONCLUSIVE
        session.assert_nothing_stays()
        assert list(session.scratch.iterdir()) == []
        assert_nothing_was_judged(tmp_path / "report")
