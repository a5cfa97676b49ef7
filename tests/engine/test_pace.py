"""Time is fast while a target waits for nothing but time, and real as soon as it does anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from machineid_conformance.engine.pace import FIRST, SHARE, Pace
from machineid_conformance.engine.target_time import TargetTime


class Rates(TargetTime):
    """A time that notes at which rates it was to go; target seconds are what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: asyncio.Queue[float] = asyncio.Queue()
        self.at = 0.0
        self.awake = False

    def now(self) -> float:
        return self.at

    @property
    def slowed(self) -> bool:
        return self.awake

    def set_rate(self, rate: float) -> None:
        self.rates.put_nowait(rate)


class Situation:
    """A target: whether it is owed something, and whether it sleeps; how often it was asked is counted."""

    def __init__(self, *, highest: float = 1000.0) -> None:
        self.time = Rates()
        self.owed = False
        self.sleeps = True
        self.asked: asyncio.Queue[None] = asyncio.Queue()
        self.pace = Pace(self.time, highest=highest, owes=lambda: self.owed, asleep=self._asleep)

    async def _asleep(self) -> bool:
        self.asked.put_nowait(None)
        return self.sleeps


def run(script: Callable[[Situation], Coroutine[Any, Any, None]], **options: float) -> None:
    async def main() -> None:
        situation = Situation(**options)
        following = asyncio.create_task(situation.pace.follow())
        async with asyncio.timeout(20):
            await script(situation)
        assert not following.done()
        following.cancel()

    asyncio.run(main())


def test_a_target_that_sleeps_gets_fast_time_and_one_that_is_heard_of_real_time() -> None:
    async def script(it: Situation) -> None:
        assert await it.time.rates.get() == FIRST
        it.pace.heard()
        while (rate := await it.time.rates.get()) != 1:
            assert rate == FIRST
        assert await it.time.rates.get() == FIRST

    run(script)


def test_the_rate_climbs_with_what_was_waited_and_no_higher_than_allowed() -> None:
    async def script(it: Situation) -> None:
        assert await it.time.rates.get() == FIRST
        it.time.at = 2 * FIRST / SHARE
        while (rate := await it.time.rates.get()) == FIRST:
            pass
        assert rate == pytest.approx(1.5 * FIRST)
        it.time.at = 1e6
        while await it.time.rates.get() != 300:
            pass
        assert await it.time.rates.get() == 300

    run(script, highest=300)


def test_a_factor_below_the_first_step_is_kept() -> None:
    async def script(it: Situation) -> None:
        it.time.at = 1e6
        assert await it.time.rates.get() == 3
        assert await it.time.rates.get() == 3

    run(script, highest=3)


def test_who_is_owed_something_is_not_even_asked() -> None:
    async def script(it: Situation) -> None:
        it.owed = True
        it.pace.heard()
        asked = asyncio.ensure_future(it.asked.get())
        await asyncio.wait((asked,), timeout=0.2)
        assert not asked.done()
        it.owed = False
        it.pace.heard()  # what it was owed has come
        await asked

    run(script)


def test_who_works_is_asked_again_and_again() -> None:
    async def script(it: Situation) -> None:
        it.sleeps = False
        await it.asked.get()
        await it.asked.get()
        assert it.time.rates.empty()
        it.sleeps = True
        assert await it.time.rates.get() == FIRST

    run(script)


def test_who_woke_is_asked_whether_it_sleeps_before_time_is_fast_again() -> None:
    async def script(it: Situation) -> None:
        await it.asked.get()
        assert await it.time.rates.get() == FIRST
        it.sleeps, it.time.awake = False, True
        await it.asked.get()
        while not it.time.rates.empty():
            it.time.rates.get_nowait()
        await it.asked.get()
        assert it.time.rates.empty()

    run(script)


def test_a_target_that_is_heard_of_while_it_is_asked_keeps_real_time() -> None:
    async def script(it: Situation) -> None:
        answer = asyncio.Event()

        async def asleep() -> bool:
            it.asked.put_nowait(None)
            it.pace.heard()
            await answer.wait()
            return True

        it.pace._asleep = asleep
        await it.asked.get()
        answer.set()
        await it.asked.get()
        assert [it.time.rates.get_nowait() for _ in range(it.time.rates.qsize())] == [1, 1]

    run(script)
