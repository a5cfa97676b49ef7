"""Who may run: few runs at a time are busy, many may wait.

A run is mostly waiting (for a client's time-out, for an idle target). It holds a busy place from its start until it waits for the first
time in real time, and one of the many places until it is over. Those that will wait long go first, of all targets: beside a run that
waits others can go, and one that begins last is waited for with idle cores. They have as many places of their own as all others have, so
that the waiting of many never keeps the cores from those that work; and for the same reason not the last of the busy ones while others
want it: in fast time a run keeps its place while it waits, since that is over soon.
"""

from __future__ import annotations

import asyncio
import enum
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

WAITING_PER_BUSY = 8
"""How many runs of each kind may be under way for each that may be busy; a waiting target costs memory, not a core."""


def default_jobs() -> int:
    """Two busy runs a core: one of them is usually in the kernel or in between."""
    return 2 * len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2 * (os.cpu_count() or 1)


class _Kind(enum.Enum):
    """Of a run, as it matters to those that want a place beside it."""

    ALONE = enum.auto()
    LONG = enum.auto()
    SHORT = enum.auto()


class Slots:
    """``jobs`` runs are busy at once; with one job there is one run at a time, waiting or not."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._busy = _Places(jobs)
        self._alone = asyncio.Lock()
        many = jobs * WAITING_PER_BUSY
        short = _Places(1 if jobs == 1 else many)
        self._many = {_Kind.SHORT: short, _Kind.LONG: short if jobs == 1 else _Places(many)}

    @asynccontextmanager
    async def taken(self, *, waits: bool = False) -> AsyncIterator[Callable[[], None]]:
        """A place, before those who do not wait long if this one ``waits``; yields what the run calls when it begins to wait (a
        second call does nothing).
        """
        kind = _Kind.LONG if waits else _Kind.SHORT
        held = True

        def release() -> None:
            nonlocal held
            if held:
                held = False
                self._busy.give_back(kind)

        await self._many[kind].take(kind)
        try:
            await self._busy.take(kind)
            try:
                yield release
            finally:
                release()
        finally:
            self._many[kind].give_back(kind)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[Callable[[], None]]:
        """All busy places, before all others: nothing of this session works beside it, though others may wait."""
        async with self._alone:
            taken = 0
            try:
                for _ in range(self.jobs):
                    await self._busy.take(_Kind.ALONE)
                    taken += 1
                yield lambda: None
            finally:
                for _ in range(taken):
                    self._busy.give_back(_Kind.ALONE)


class _Places:
    """A semaphore in which kind goes before time of arrival."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._for_long = max(1, free - 1)
        self._long = 0  # places that long runs have
        self._queues = {kind: deque[asyncio.Future[None]]() for kind in _Kind}

    async def take(self, kind: _Kind) -> None:
        if self._free > 0:
            self._free -= 1
            self._long += kind is _Kind.LONG
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues[kind].append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give_back(kind)  # it was handed over at the same moment
            raise

    def give_back(self, kind: _Kind) -> None:
        self._long -= kind is _Kind.LONG
        for next_kind in self._order():
            queue = self._queues[next_kind]
            while queue:
                waiting = queue.popleft()
                if not waiting.done():
                    self._long += next_kind is _Kind.LONG
                    waiting.set_result(None)
                    return
        self._free += 1

    def _order(self) -> Iterator[_Kind]:
        yield _Kind.ALONE
        yield from (_Kind.SHORT, _Kind.LONG) if self._long >= self._for_long else (_Kind.LONG, _Kind.SHORT)


__all__ = ["WAITING_PER_BUSY", "Slots", "default_jobs"]
