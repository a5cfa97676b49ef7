"""Other work that keeps every core busy while something is judged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

BURN = """
import os
parent = os.getppid()
while os.getppid() == parent:  # it ends with whoever started it, however that ends
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def busy_cores() -> Iterator[list[subprocess.Popen[bytes]]]:
    """One process a core, of normal priority, that does nothing but compute; they are ended at the end."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    burning: list[subprocess.Popen[bytes]] = []
    try:
        burning += [subprocess.Popen([sys.executable, "-I", "-S", "-c", BURN]) for _ in range(cores)]
        yield burning
        ended = [process.args for process in burning if process.poll() is not None]
        if ended:
            raise RuntimeError(f"{len(ended)} of {cores} processes that keep the cores busy ended before the work did")
    finally:
        for process in burning:
            process.kill()
            process.wait()


def load(*, busy: bool) -> AbstractContextManager[object]:
    """``busy_cores``, or nothing."""
    return busy_cores() if busy else nullcontext()
