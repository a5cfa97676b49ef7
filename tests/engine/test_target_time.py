"""How fast target time may go beside what the harness itself is about to do."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from machineid_conformance.engine.target_time import LEAST_LATE, TargetTime


class Clock:
    """A page that is moved by hand; each wait on it ends ``late`` target seconds late."""

    def __init__(self, late: float = 0.0) -> None:
        self.now = 0.0
        self.late = late
        self.rate_now = 20.0
        self.go = asyncio.Event()

    def elapsed(self) -> float:
        return self.now

    async def wait_until(self, target_seconds: float) -> None:
        await self.go.wait()
        self.now = target_seconds + self.late


@pytest.fixture(autouse=True)
def _as_on_a_quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TargetTime, "late", LEAST_LATE)


def at_most(late: float, *pauses: float) -> list[float]:
    """The highest rate before the pauses, while they last, and while the last of them lasts a second time."""

    async def main() -> list[float]:
        clock = Clock(late)
        time = TargetTime()
        time.follow(cast("Any", clock))
        found = [time.at_most]
        for again in (False, True):
            waiting = [asyncio.ensure_future(time.pause(seconds)) for seconds in (pauses[-1:] if again else pauses)]
            await asyncio.sleep(0)
            found.append(time.at_most)
            clock.go.set()
            await asyncio.gather(*waiting)
            clock.go.clear()
        return found

    return asyncio.run(main())


def test_the_next_thing_to_do_bounds_the_rate() -> None:
    free, bounded, again = at_most(0.0, 60.0, 0.5)
    assert free == float("inf")
    assert bounded == again == pytest.approx(0.5 / (2 * LEAST_LATE))


def test_who_was_late_is_more_careful() -> None:
    _, before, after = at_most(2.0, 0.5)
    assert before == pytest.approx(25.0)
    assert after == pytest.approx(0.5 / (2 * 0.1))  # 2 target seconds at 20 a second


def test_it_is_never_slower_than_real_time() -> None:
    assert at_most(0.0, 0.001)[1] == 1.0


def test_a_pause_that_is_given_up_bounds_nothing() -> None:
    async def main() -> float:
        time = TargetTime()
        time.follow(cast("Any", Clock()))
        waiting = asyncio.ensure_future(time.pause(0.5))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return time.at_most

    assert asyncio.run(main()) == float("inf")
