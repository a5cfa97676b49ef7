"""The processes of a world, read from /proc: who is alive, how much CPU they have used, who can run now."""
# ruff: noqa: PTH123, PTH208
# pathlib takes longer to import than all else that the spawner imports.

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

TICK = os.sysconf("SC_CLK_TCK")
LOOKS = 4
"""Pairs of looks at processes that sleep, but for moments: the library of target time makes most waits of slices of 10 ms."""


@dataclass(frozen=True)
class Process:
    """One line of the process table. ``seconds``: CPU time of its own and of the children that it has waited for."""

    pid: int
    parent: int
    state: str
    seconds: float

    @property
    def alive(self) -> bool:
        """A zombie has ended, and only waits to be asked."""
        return self.state not in {"Z", "X"}


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # it ended while we looked


def _stat(path: str) -> tuple[str, int, float] | None:
    fields = _read(path).rpartition(b") ")[2].split()
    if len(fields) < 15:
        return None
    return fields[0].decode(), int(fields[1]), sum(int(field) for field in fields[11:15]) / TICK


def table() -> list[Process]:
    """All processes that this process can see."""
    if sys.platform != "linux":
        return _table_of_ps()
    return [
        Process(int(name), stat[1], stat[0], stat[2])
        for name in os.listdir("/proc")
        if name.isdigit() and (stat := _stat(f"/proc/{name}/stat")) is not None
    ]


def _table_of_ps() -> list[Process]:
    listing = subprocess.run(["ps", "-axo", "pid=,ppid=,stat=,time="], capture_output=True, text=True, check=False)
    found = []
    for line in listing.stdout.splitlines():
        pid, parent, state, time = line.split(None, 3)
        seconds = 0.0
        for part in time.replace("-", ":").split(":"):
            seconds = seconds * 60 + float(part)
        found.append(Process(int(pid), int(parent), state[0], seconds))
    return found


def descendants(root: int) -> list[Process]:
    """The living descendants of ``root``, itself not among them."""
    children: dict[int, list[Process]] = {}
    for process in table():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [root]
    while queue:
        for child in children.get(queue.pop(), ()):
            if child.pid != os.getpid():
                queue.append(child.pid)
                found.append(child)
    return [process for process in found if process.alive]


def command_line(pid: int) -> str:
    """How the process was started, its arguments separated by spaces; empty when it has ended."""
    if sys.platform != "linux":
        shown = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return shown.stdout.strip()
    arguments = _read(f"/proc/{pid}/cmdline").rstrip(b"\0").split(b"\0")
    return b" ".join(arguments).decode("utf-8", "backslashreplace")


def runnable(process: Process) -> bool:
    """Whether one of its threads is on a processor, waits for one, or waits for a disk."""
    if sys.platform != "linux":
        return process.state in {"R", "D", "U"}
    try:
        threads = os.listdir(f"/proc/{process.pid}/task")
    except OSError:
        return False
    return any(
        (stat := _stat(f"/proc/{process.pid}/task/{thread}/stat")) is not None and stat[0] in {"R", "D"}
        for thread in threads
    )


def asleep(root: int) -> tuple[list[Process], bool]:
    """The living descendants of ``root``, and whether all their threads sleep at one and the same moment.

    One look at a thread after the other does not show it: one may wake another that was looked at already, and sleep when its turn comes.
    But who slept at two looks, and was not given a processor in between, slept all the while; and what all have in common of these whiles
    is the time between the two looks. Who was not there at first was started by somebody who was awake, and is there at the end.
    """
    alive = descendants(root)
    if sys.platform != "linux":
        return alive, not any(runnable(process) for process in alive)
    for _ in range(LOOKS):
        first = _sleepers(alive)
        if first is None:
            break
        if _sleepers(alive) == first:
            return alive, {process.pid for process in descendants(root)} == {process.pid for process in alive}
    return alive, False


def _sleepers(alive: list[Process]) -> dict[tuple[int, str], bytes] | None:
    """By thread: how often it was given a processor. None: one of them has one, waits for one, or waits for a disk."""
    found: dict[tuple[int, str], bytes] = {}
    for process in alive:
        try:
            threads = os.listdir(f"/proc/{process.pid}/task")
        except OSError:
            continue
        for thread in threads:
            status = _read(f"/proc/{process.pid}/task/{thread}/status")
            if status.partition(b"\nState:\t")[2][:1] in (b"R", b"D"):
                return None
            found[process.pid, thread] = status.partition(b"\nvoluntary_ctxt_switches:")[2]
    return found


def has_mapped(pid: int, path: str | None) -> bool:
    """Whether a process has a file in its address space, under this path; also when there is no path, and when the process has ended."""
    if path is None:
        return True
    maps = _read(f"/proc/{pid}/maps")
    return not maps or f" {path}\n".encode() in maps
