"""CPU seconds of a part of the machine: of this process and everything that it starts, however deeply, as the kernel counts them.

The worlds' supervisors are nobody's waited-for children (``isolation/spawner.py``), so RUSAGE_CHILDREN misses them, and all that ran
in them. A control group misses nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

Seconds = Callable[[], float]

V1 = Path("/sys/fs/cgroup/cpuacct")
V2 = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


@contextlib.contextmanager
def accounted() -> Iterator[Seconds | None]:
    """Move this process into a control group of its own; yields what reads its CPU seconds so far, user and system together.

    None where this process may make no control group. What is started meanwhile must have ended before the end of the block.
    """
    own = Path("/proc/self/cgroup")
    home = _home(own.read_text(encoding="ascii")) if own.exists() else None
    if home is None:
        yield None
        return
    group = home / f"machineid-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    except OSError:
        with contextlib.suppress(OSError):
            group.rmdir()
        yield None
        return
    try:
        yield lambda: _seconds(group)
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
        with contextlib.suppress(OSError):  # somebody is still in it: an empty folder stays, and costs nothing
            group.rmdir()


def _home(table: str) -> Path | None:
    """The control group that this process is in: of version 2, which always counts; else of version 1's ``cpuacct``."""
    for line in table.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            found = next((root for root in V2 if (root / "cgroup.controllers").exists()), None)
            if found is not None:
                return found / path.lstrip("/")
        elif "cpuacct" in controllers.split(",") and V1.exists():
            return V1 / path.lstrip("/")
    return None


def _seconds(group: Path) -> float:
    version_1 = group / "cpuacct.usage"
    if version_1.exists():
        return int(version_1.read_text(encoding="ascii")) / 1e9
    for line in (group / "cpu.stat").read_text(encoding="ascii").splitlines():
        name, value = line.split()
        if name == "usage_usec":
            return int(value) / 1e6
    raise RuntimeError(f"{group}/cpu.stat has no usage_usec: expected a control group of version 2")
