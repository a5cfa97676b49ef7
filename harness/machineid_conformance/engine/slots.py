"""Who may run: few runs at a time are busy, many may wait.

A run is mostly waiting (for a client's time-out, for an idle target). It holds a busy place from its start until it waits for the first
time, and one of the many places until it is over.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

WAITING_PER_BUSY = 16
"""How many runs may wait for each that may be busy; a waiting target costs memory, not a core."""


def default_jobs() -> int:
    """Two busy runs a core: one of them is usually in the kernel or in between."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)


class Slots:
    """``jobs`` runs are busy at once; with one job there is one run at a time, waiting or not."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._busy = asyncio.Semaphore(jobs)
        self._all = asyncio.Semaphore(1 if jobs == 1 else jobs * WAITING_PER_BUSY)

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Callable[[], None]]:
        """A place; yields what the run calls when it begins to wait (a second call does nothing)."""
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._busy.release()

        async with self._all:
            await self._busy.acquire()
            try:
                yield release
            finally:
                release()
