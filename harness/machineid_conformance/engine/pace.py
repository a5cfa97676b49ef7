"""How fast the time of one run's target goes: fast while the target waits for nothing but time, real whenever it does anything.

A target waits for time alone when nothing was heard of it for a moment, all its processes sleep at one and the same moment, and the
harness owes it nothing but what a fault withholds. Then its time goes fast, to the first moment that anybody waits for,
and no further: whoever gets a processor late is late in real time. The library says when the target's waits end, and sets the rate to 1 at
the moment somebody wakes before (``TargetTime.slowed``); what the gateway hears does so here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from machineid_conformance.engine.target_time import TargetTime

QUIET = 0.03
"""Real seconds without a sign of the target before it is asked whether it sleeps."""
LONGEST_QUIET = 0.25
"""Likewise, of one that was found working again and again: asking costs its supervisor a millisecond."""
STEP = 0.015
"""Real seconds between two looks at a target in fast time."""
AUTO = 1000.0
"""The highest rate of ``speed = "auto"``."""


class Pace:
    """``asleep``: whether the target waits for nothing but time, all of it in the library's time."""

    def __init__(self, time: TargetTime, *, highest: float, asleep: Callable[[], Awaitable[bool]]) -> None:
        self._time = time
        self._highest = highest
        self._asleep = asleep
        self._heard = asyncio.Event()

    def heard(self) -> None:
        """Something of the target was seen or heard: it runs, or what it waits for has come."""
        self._time.real()
        self._heard.set()

    async def follow(self) -> None:
        """Set the rate until cancelled."""
        quiet = QUIET
        while True:
            if await self._hears_within(quiet):
                quiet = QUIET
                continue
            end = self._time.first_end()  # it may come while the question is asked; who wakes then tells of it no more
            if not await self._asleep() or self._heard.is_set():
                quiet = min(2 * quiet, LONGEST_QUIET)
                continue
            quiet = STEP
            if self._time.fast(self._highest, end):
                while not (await self._hears_within(STEP) or self._time.slowed):
                    pass

    async def _hears_within(self, seconds: float) -> bool:
        self._heard.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        return self._heard.is_set()
