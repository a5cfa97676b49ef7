"""Who may run: few runs at a time are busy, many may wait.

A run is mostly waiting (for a client's time-out, for an idle target). It holds a busy place from its start until it waits for the first
time, and one of the many places until it is over. Those that will wait long go first, of all targets: beside a run that waits others
can go, and one that begins last is waited for with idle cores. They have as many places of their own as all others have, so that the
waiting of many never keeps the cores from those that work.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

WAITING_PER_BUSY = 8
"""How many runs of each kind may be under way for each that may be busy; a waiting target costs memory, not a core."""


def default_jobs() -> int:
    """Two busy runs a core: one of them is usually in the kernel or in between."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)


class Slots:
    """``jobs`` runs are busy at once; with one job there is one run at a time, waiting or not."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._busy = _Places(jobs)
        self._alone = asyncio.Lock()
        many = jobs * WAITING_PER_BUSY
        short = _Places(1 if jobs == 1 else many)
        self._many = {False: short, True: short if jobs == 1 else _Places(many)}

    @asynccontextmanager
    async def taken(self, *, waits: bool = False) -> AsyncIterator[Callable[[], None]]:
        """A place, before those who do not wait long if this one ``waits``; yields what the run calls when it begins to wait (a
        second call does nothing).
        """
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._busy.give_back()

        await self._many[waits].take(first=waits)
        try:
            await self._busy.take(first=waits)
            try:
                yield release
            finally:
                release()
        finally:
            self._many[waits].give_back()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Callable[[], None]]:
        """All busy places, before all others: nothing of this session works beside it, though others may wait."""
        async with self._alone:
            taken = 0
            try:
                for _ in range(self.jobs):
                    await self._busy.take(first=True)
                    taken += 1
                yield lambda: None
            finally:
                for _ in range(taken):
                    self._busy.give_back()


class _Places:
    """A semaphore with two queues: who comes first gets a place first, but those of the first queue before all others."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._queue: list[tuple[bool, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    async def take(self, *, first: bool) -> None:
        if self._free > 0:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._queue, (not first, next(self._numbers), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back()  # it was handed over at the same moment
            raise

    def give_back(self) -> None:
        while self._queue:
            _, _, waiting = heapq.heappop(self._queue)
            if not waiting.done():
                waiting.set_result(None)
                return
        self._free += 1


__all__ = ["WAITING_PER_BUSY", "Slots", "default_jobs"]
