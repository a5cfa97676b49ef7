"""What a session may leave behind on this machine, and that it does not: processes, mounts, worlds."""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import suppress
from pathlib import Path

LIMIT = 240.0  # seconds; nothing waits for it but a test that fails


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
    """A session in the middle of a run. ``scratch`` is where it keeps what it needs for a while."""

    def __init__(self, process: subprocess.Popen[bytes], marker: str, scratch: Path) -> None:
        self.process = process
        self.marker = marker
        self.scratch = scratch
        self.handles = []
        for pid in sorted(descendants(process.pid)):
            with suppress(ProcessLookupError):  # it has ended by itself
                self.handles.append(os.pidfd_open(pid))

    def assert_nothing_stays(self) -> None:
        deadline = time.monotonic() + LIMIT
        for handle in self.handles:
            assert select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0], "a process stayed"
            os.close(handle)
        assert [command for command in cmdlines().values() if self.marker in command] == []
        assert users_of(self.scratch) == []
        assert str(self.scratch) not in Path("/proc/self/mountinfo").read_text()
