"""However a session ends, nothing of it stays: no process, no mount, no world, and after Ctrl-C no folder either."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.end_to_end.support import CLI, clean_environment, place

LIMIT = 60.0  # seconds; nothing waits for it but a test that fails
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


def cmdlines() -> dict[int, str]:
    """Every process of this machine that can be read, by its id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # it has ended
    return found


def descendants(root: int) -> set[int]:
    """The processes below this one."""
    parents: dict[int, int] = {}
    for pid in cmdlines():
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= more
    return found


def users_of(folder: Path) -> list[str]:
    """The processes that have a mount made from this folder, or work in it; a namespace lives as long as one of these."""
    found = []
    for pid, command in cmdlines().items():
        try:
            if str(folder) in Path(f"/proc/{pid}/mountinfo").read_text() + str(Path(f"/proc/{pid}/cwd").readlink()):
                found.append(command)
        except OSError:
            continue  # it has ended, or is a zombie
    return found


class Session:
    """A session in the middle of its first run. ``scratch`` is where it keeps what it needs for a while."""

    def __init__(self, process: subprocess.Popen[bytes], marker: str, scratch: Path) -> None:
        self.process = process
        self.marker = marker
        self.scratch = scratch
        self.handles = [os.pidfd_open(pid) for pid in sorted(descendants(process.pid))]

    def assert_nothing_stays(self) -> None:
        deadline = time.monotonic() + LIMIT
        for handle in self.handles:
            assert select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0], "a process stayed"
            os.close(handle)
        assert [command for command in cmdlines().values() if self.marker in command] == []
        assert users_of(self.scratch) == []
        assert str(self.scratch) not in Path("/proc/self/mountinfo").read_text()


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
        assert session.process.wait(SOON) != 0
        session.assert_nothing_stays()
        said = (tmp_path / "output").read_text(encoding="utf-8")
        assert "interrupted" in said
        assert "Traceback" not in said
        assert list(session.scratch.iterdir()) == []


def test_the_end_of_whoever_asked_ends_the_engine(tmp_path: Path) -> None:
    with started(tmp_path, ENGINE, request=True) as session:
        assert session.process.stdin is not None
        session.process.stdin.close()
        assert session.process.wait(SOON) != 0
        session.assert_nothing_stays()
        assert list(session.scratch.iterdir()) == []
