"""The time of one run's target, in seconds since the run began: real time, or that of a page which every process of the target maps.

Whatever waits on behalf of a run waits here. How fast time goes is ``engine/pace.py``'s to say.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import ClassVar

from machineid_conformance.dilation.page import Page

LEAST_LATE = 0.01
"""Real seconds by which the engine is taken to be late with what it waits for; more where it was later than that."""
FORGETS = 3.0
"""Real seconds after which a lateness counts half."""


class TargetTime:
    """Real time, until ``follow``."""

    late: ClassVar[float] = LEAST_LATE
    """Real seconds by which the engine's loop was late lately: that of all runs; and when that was said."""
    late_at: ClassVar[float] = 0.0

    def __init__(self) -> None:
        self._page: Page | None = None
        self._began = 0.0
        self._limits: set[_Limit] = set()
        self._due = list[float]()  # what the harness itself waits for, on the page's clock
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
        """Whether a wait of the target has ended since the rate was set; the rate is 1 since then."""
        return self._page is not None and self._page.slowed

    def set_rate(self, rate: float) -> None:
        """For ``Pace`` alone. Without a page there is but one rate."""
        if self._page is None:
            return
        self._page.set_rate(rate)
        self.fastest = max(self.fastest, rate)
        for limit in self._limits:
            limit.move(self._page.rate_now)

    async def pause(self, seconds: float) -> None:
        """Let target seconds pass. The one place where the engine waits for time: a scenario asked for it."""
        page = self._page
        if page is None:
            await asyncio.sleep(seconds)
            return
        due = page.elapsed() + seconds
        self._due.append(due)
        try:
            await page.wait_until(due)
            late = (page.elapsed() - due) / page.rate_now
            real = time.monotonic()
            TargetTime.late = max(LEAST_LATE, late, TargetTime.late * 0.5 ** ((real - TargetTime.late_at) / FORGETS))
            TargetTime.late_at = real
        finally:
            self._due.remove(due)

    @property
    def at_most(self) -> float:
        """The rate at which what the harness waits for itself, a drip's next byte, would still come in time on a machine that is as late as
        this one was lately.
        """
        left = min(self._due, default=math.inf) - self._elapsed()
        return max(1.0, left / (2 * TargetTime.late))

    @asynccontextmanager
    async def limit(self, seconds: float) -> AsyncIterator[None]:
        """``asyncio.timeout`` in target seconds, at whatever rates they pass. It may end early, never late: look at ``now``.

        Raises:
            TimeoutError: they have passed, or the target woke and made time slower.
        """
        async with asyncio.timeout(seconds / self.rate) as real:
            limit = _Limit(real, self._elapsed, self._elapsed() + seconds)
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

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
