"""How busy this machine is: the share of time in which something that could run had to wait for a core (Linux, PSI)."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

PRESSURE = Path("/proc/pressure/cpu")
BUSY = 0.25
"""Above this share of its time a run is not trusted with what is missing or late in it."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """``waited``: seconds in which something waited for a core since the machine started; None where the kernel does not say."""

    at: float
    waited: float | None


def read() -> Reading:
    """The pressure up to now."""
    try:
        found = re.search(r"^some .*total=(\d+)", PRESSURE.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        found = None
    return Reading(at=time.monotonic(), waited=int(found[1]) / 1e6 if found else None)


def share(before: Reading, after: Reading) -> float:
    """The share of the time between two readings, 0 to 1. Where the kernel does not say, that of the load beyond the cores."""
    if before.waited is None or after.waited is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(0.0, min(1.0, os.getloadavg()[0] / cores - 1))
    return min(1.0, (after.waited - before.waited) / max(after.at - before.at, 1e-3))


__all__ = ["BUSY", "Reading", "read", "share"]
