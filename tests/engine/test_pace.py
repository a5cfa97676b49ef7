"""Time is fast while a target waits for nothing but time, and real as soon as it does anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from machineid_conformance.engine.pace import Pace
from machineid_conformance.engine.target_time import TargetTime

HIGHEST = 300.0


class Rates(TargetTime):
    """A time that notes how fast it was to go; whether it has come to where it was to go fast to is what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.there = False
        self.come = False
        self.end: float | None = None
        self.told: list[float | None] = []

    @property
    def slowed(self) -> bool:
        return self.there

    def real(self) -> None:
        self.asked.put_nowait("real")

    def first_end(self) -> float | None:
        return self.end

    def fast(self, highest: float, end: float | None = None) -> bool:
        assert highest == HIGHEST
        self.told.append(end)
        self.asked.put_nowait("fast")
        return not self.come


class Situation:
    """A target that sleeps or does not; each question of whether it does is noted."""

    def __init__(self) -> None:
        self.time = Rates()
        self.sleeps = True
        self.questions: asyncio.Queue[None] = asyncio.Queue()
        self.answers = asyncio.Event()
        self.answers.set()
        self.pace = Pace(self.time, highest=HIGHEST, asleep=self._asleep)

    async def _asleep(self) -> bool:
        self.questions.put_nowait(None)
        await self.answers.wait()
        return self.sleeps


def run(script: Callable[[Situation], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        situation = Situation()
        following = asyncio.create_task(situation.pace.follow())
        async with asyncio.timeout(20):
            await script(situation)
        assert not following.done()
        following.cancel()

    asyncio.run(main())


def test_a_target_that_sleeps_gets_fast_time_and_one_that_is_heard_of_real_time() -> None:
    async def script(it: Situation) -> None:
        for _ in range(3):
            assert await it.time.asked.get() == "fast"
            it.pace.heard()
            assert await it.time.asked.get() == "real"

    run(script)


def test_who_works_is_asked_again_and_again() -> None:
    async def script(it: Situation) -> None:
        it.sleeps = False
        await it.questions.get()
        await it.questions.get()
        assert it.time.asked.empty()
        it.sleeps = True
        assert await it.time.asked.get() == "fast"

    run(script)


def test_an_end_that_may_come_while_the_question_is_asked_is_told() -> None:
    async def script(it: Situation) -> None:
        it.time.end = 7.0
        it.answers.clear()
        await it.questions.get()
        it.time.end = None  # who waited for it has woken, and waits for nothing now
        it.answers.set()
        assert await it.time.asked.get() == "fast"
        assert it.time.told == [7.0]

    run(script)


def test_where_time_has_come_to_the_target_is_asked_before_it_goes_on() -> None:
    async def script(it: Situation) -> None:
        await it.questions.get()
        assert await it.time.asked.get() == "fast"
        it.sleeps, it.time.there = False, True
        await it.questions.get()
        assert it.time.asked.empty()
        it.sleeps, it.time.there = True, False
        assert await it.time.asked.get() == "fast"

    run(script)


def test_a_target_that_is_heard_of_while_it_is_asked_keeps_real_time() -> None:
    async def script(it: Situation) -> None:
        it.answers.clear()
        await it.questions.get()
        it.pace.heard()
        it.answers.set()
        assert await it.time.asked.get() == "real"
        await it.questions.get()
        assert await it.time.asked.get() == "fast"

    run(script)


def test_a_moment_that_has_come_is_not_gone_to() -> None:
    async def script(it: Situation) -> None:
        it.time.come = True
        for _ in range(3):
            await it.questions.get()
            assert await it.time.asked.get() == "fast"

    run(script)
