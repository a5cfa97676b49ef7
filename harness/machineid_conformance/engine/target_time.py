"""The time of one run's target, in seconds since the run began: real time, or that of a page which every process of the target maps.

Whatever waits on behalf of a run waits here. How fast time goes is ``engine/pace.py``'s to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from machineid_conformance.dilation.page import Page

STRETCH = 0.02
"""Real seconds that a stretch of fast time takes at least: what does not go by the library's word is late by a small part of it."""
LEAST = 2.0
LONGEST = 60.0
"""Target seconds of a stretch whose end nobody knows."""


class TargetTime:
    """Real time, until ``follow``."""

    def __init__(self) -> None:
        self._page: Page | None = None
        self._began = 0.0
        self._limits: set[_Limit] = set()
        self._ends: dict[object, float] = {}
        self.fastest = 1.0
        """The highest rate that there was, in target seconds a real second."""
        self.begin()

    def begin(self) -> None:
        """Count from now on."""
        self._began = self._elapsed()

    def follow(self, page: Page | None) -> None:
        """Go on in the time of a page, or (None) in real time again, from this moment."""
        now = self.now()
        self._page = page
        self._began = self._elapsed() - now

    def now(self) -> float:
        """Target seconds since the beginning."""
        return self._elapsed() - self._began

    @property
    def rate(self) -> float:
        """Target seconds a real second, at this moment."""
        return 1.0 if self._page is None else self._page.rate_now

    @property
    def slowed(self) -> bool:
        """Whether time has come as far as it was to go fast, or somebody woke before; the rate is 1 since then."""
        return self._page is not None and self._page.slowed

    def real(self) -> None:
        """Go on as fast as real time. For ``Pace`` alone."""
        self._set(1.0, None)

    def first_end(self) -> float | None:
        """The first moment that the target waits for, of those it has told of; None: there is none. For ``Pace`` alone."""
        return None if self._page is None else self._page.first_end()

    def fast(self, highest: float, end: float | None = None) -> bool:
        """Go on faster, up to the first moment that anybody, the target or the harness, waits for: no further, however late either gets its
        processor. ``end`` is one that may have come, and be told of no more. Short stretches go slower: the rate is such that one takes
        ``STRETCH``. False: that moment has come. For ``Pace`` alone.
        """
        if self._page is None:
            return False
        ends = [end for end in (end, self._page.first_end(), *self._ends.values()) if end is not None]
        now = self._page.elapsed()
        until = min(ends, default=now + LONGEST)
        if until <= now:
            return False
        self._set(min(highest, max(LEAST, (until - now) / STRETCH)), until)
        return True

    def _set(self, rate: float, until: float | None) -> None:
        if self._page is None:
            return
        self._page.set_rate(rate, until)
        self.fastest = max(self.fastest, rate)
        for limit in self._limits:
            limit.move(self._page.rate_now)

    async def pause(self, seconds: float) -> None:
        """Let target seconds pass. The one place where the engine waits for time: a scenario asked for it."""
        if self._page is None:
            await asyncio.sleep(seconds)
            return
        end = self._page.elapsed() + seconds
        with self._ending(end):
            await self._page.wait_until(end)

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """``asyncio.timeout`` in target seconds, at whatever rates they pass. It may end early, never late: look at ``now``.

        Raises:
            TimeoutError: they have passed, or the target woke and made time slower.
        """
        end = self._elapsed() + seconds
        async with asyncio.timeout(seconds / self.rate) as real:
            limit = _Limit(real, self._elapsed, end)
            self._limits.add(limit)
            try:
                with self._ending(end):
                    yield
            finally:
                self._limits.discard(limit)

    @contextmanager
    def _ending(self, end: float) -> Iterator[None]:
        """While something of the harness waits for a moment."""
        key = object()
        self._ends[key] = end
        try:
            yield
        finally:
            del self._ends[key]

    def _elapsed(self) -> float:
        return time.monotonic() if self._page is None else self._page.elapsed()


class _Limit:
    """One timeout under way, which a change of the rate moves."""

    def __init__(self, real: asyncio.Timeout, elapsed: Callable[[], float], end: float) -> None:
        self._real, self._elapsed, self._end = real, elapsed, end

    def move(self, rate: float) -> None:
        if not self._real.expired():
            left = max(0.0, self._end - self._elapsed())
            self._real.reschedule(asyncio.get_running_loop().time() + left / rate)
