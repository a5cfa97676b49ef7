"""How fast the time of one run's target goes: fast while the target waits for nothing but time, real whenever it does anything.

A target waits for time alone when nothing was heard of it for a moment, all its processes sleep at one and the same moment (which takes
two looks), and the harness owes it nothing but what a fault withholds. Then its time goes fast, to the first moment that anybody waits for,
and no further: whoever gets a processor late is late in real time. The library says when the target's waits end, and sets the rate to 1 at
the moment somebody wakes before (``TargetTime.slowed``); what the gateway hears does so here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto

from machineid_conformance.engine.target_time import TargetTime

QUIET = 0.03
"""Real seconds without a sign of the target before it is asked whether it sleeps."""
LONGEST_QUIET = 0.25
"""Likewise, of one that was found working again and again: asking costs its supervisor a millisecond."""
LOOKS = 4
"""Pairs of looks at a target that naps: it sleeps, but for moments."""
STEP = 0.015
"""Real seconds between two looks at a target in fast time."""
AUTO = 1000.0
"""The highest rate of ``speed = "auto"``."""


class Sleep(Enum):
    """Whether a target waits for nothing but time, all of it in the library's time."""

    NO = auto()
    FOUND = auto()
    """Each of its threads slept when it was looked at."""
    SURE = auto()
    """And none has had a processor since the look before: between the two all slept."""


class Pace:
    """``look``: whether the target sleeps."""

    def __init__(self, time: TargetTime, *, highest: float, look: Callable[[], Awaitable[Sleep]]) -> None:
        self._time = time
        self._highest = highest
        self._look = look
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
            asleep, end = await self._sleeps()
            if not asleep or self._heard.is_set():
                quiet = min(2 * quiet, LONGEST_QUIET)
                continue
            quiet = STEP
            if self._time.fast(self._highest, end):
                while not (await self._hears_within(STEP) or self._time.slowed):
                    pass

    async def _sleeps(self) -> tuple[bool, float | None]:
        """Whether the target does, surely, and the first moment that it waited for when it did: whoever has woken since, woke then."""
        for _ in range(LOOKS):
            if await self._look() is Sleep.NO:
                break
            end = self._time.first_end()
            if await self._look() is Sleep.SURE:
                return True, end
        return False, None

    async def _hears_within(self, seconds: float) -> bool:
        self._heard.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        return self._heard.is_set()
