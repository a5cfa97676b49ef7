"""How fast the time of one run's target goes: fast while the target waits for nothing but time, real whenever it does anything.

A target waits for time alone when nothing was heard of it for a moment, the harness owes it nothing but what a fault withholds, and all its
processes sleep. The rate then climbs: from ``FIRST``, towards ``SHARE`` for each target second waited so far. So a wait that ends late
by a slice of the library (10 ms of real time, dilation.h) is late by a small share of what was waited for; nor is it so high that what
the harness itself is to do next would be late (``TargetTime.at_most``). The library itself sets the rate
to 1 at the moment one of the target's waits ends (``TargetTime.slowed``); what the gateway hears does so here.
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
"""Real seconds between two looks at a target that waits: longer than a slice, so that each wait has seen a rate before the next one."""
FIRST = 20.0
SHARE = 10.0
FIRST_MEASURED, SHARE_MEASURED = 5.0, 3.0
"""Likewise, where a wait of the target is what is measured: late by a slice at the first rate, or by 3 % of what was waited for."""
CLIMB = 1.5
AUTO = 1000.0
"""The highest rate of ``speed = "auto"``."""


class Pace:
    """``owes``: whether the target waits for the harness. ``asleep``: whether all its processes sleep, in the library's time. ``measured``:
    its waits are measured.
    """

    def __init__(
        self,
        time: TargetTime,
        *,
        highest: float,
        owes: Callable[[], bool],
        asleep: Callable[[], Awaitable[bool]],
        measured: bool = False,
    ) -> None:
        self._first, self._share = (FIRST_MEASURED, SHARE_MEASURED) if measured else (FIRST, SHARE)
        self._time = time
        self._highest = highest
        self._owes = owes
        self._asleep = asleep
        self._heard = asyncio.Event()
        self._since = 0.0  # target seconds: when the target was heard of last

    def heard(self) -> None:
        """Something of the target was seen or heard: it runs, or what it waits for has come."""
        self._time.set_rate(1)
        self._since = self._time.now()
        self._heard.set()

    async def follow(self) -> None:
        """Set the rate until cancelled."""
        quiet = QUIET
        while True:
            if await self._hears_within(quiet):
                quiet = QUIET
            elif self._owes():
                await self._heard.wait()
            elif await self._asleep() and not self._heard.is_set():
                quiet = QUIET
                await self._climb()
            else:
                quiet = min(2 * quiet, LONGEST_QUIET)

    async def _climb(self) -> None:
        """Until the target is heard of, or one of its waits has ended."""
        rate = min(self._first, self._highest)
        while True:
            self._time.set_rate(min(rate, self._time.at_most))
            if await self._hears_within(STEP) or self._time.slowed:
                return
            rate = min(self._highest, max(rate, min(CLIMB * rate, self._share * (self._time.now() - self._since))))

    async def _hears_within(self, seconds: float) -> bool:
        self._heard.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        return self._heard.is_set()
