"""The time of a run: real, or that of a page; what waits in it ends neither early nor at the wrong rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from machineid_conformance.dilation.page import Page
from machineid_conformance.engine.target_time import STRETCH, TargetTime

LONG = 3600.0
"""Target seconds that nobody has in real time."""
RATE = 1000.0
SOON = 10.0
"""Seconds that a busy machine may take, in real time; at the rate they would be hours."""


async def fast_through(target_time: TargetTime, waiting: Awaitable[None]) -> None:
    """Let time go fast until something that waits in it is over."""
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    target_time.fast(RATE)
    await task


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "page", tmp_path / "woken")
    yield page
    page.close()


def test_it_is_real_time_without_a_page() -> None:
    target_time = TargetTime()
    target_time.fast(50)
    began, since = time.monotonic(), target_time.now()
    asyncio.run(target_time.pause(0.02))
    assert time.monotonic() - began >= 0.02
    assert 0.02 <= target_time.now() - since <= time.monotonic() - began
    assert (target_time.rate, target_time.fastest, target_time.slowed) == (1.0, 1.0, False)


def test_it_goes_on_where_it_was_when_a_page_comes_and_goes(page: Page) -> None:
    target_time = TargetTime()
    seen = [target_time.now()]
    target_time.follow(page)
    seen.append(target_time.now())
    asyncio.run(fast_through(target_time, target_time.pause(LONG / 100)))
    seen.append(target_time.now())
    target_time.follow(None)
    seen.append(target_time.now())
    assert seen == sorted(seen)
    assert seen[1] < SOON
    assert seen[2] >= LONG / 100
    assert seen[3] < seen[2] + SOON
    assert target_time.fastest == RATE


def test_a_pause_ends_by_target_time_whatever_becomes_of_the_rate(page: Page) -> None:
    async def main() -> float:
        target_time = TargetTime()
        target_time.follow(page)
        pausing = asyncio.create_task(target_time.pause(LONG))
        await target_time.pause(0.01)
        assert not pausing.done()
        await fast_through(target_time, pausing)
        return target_time.now()

    assert LONG <= asyncio.run(main()) < LONG + SOON


def test_a_limit_moves_with_the_rate(page: Page) -> None:
    async def main() -> float:
        target_time = TargetTime()
        target_time.follow(page)
        with suppress(TimeoutError):
            async with target_time.limit(LONG):
                target_time.fast(RATE)
                await asyncio.Event().wait()
        return target_time.now()

    assert LONG <= asyncio.run(main()) + 0.001 < LONG + SOON


def test_a_pause_beside_a_change_can_be_cancelled(page: Page) -> None:
    """A change wakes who pauses; one that is cancelled at the same moment must not pause on."""

    async def main() -> None:
        target_time = TargetTime()
        target_time.follow(page)
        pausing = asyncio.create_task(target_time.pause(LONG))
        await target_time.pause(0.001)
        target_time.fast(RATE)
        pausing.cancel()
        await asyncio.wait((pausing,))
        assert pausing.cancelled()

    asyncio.run(main())


def test_time_goes_fast_only_to_the_first_moment_that_somebody_waits_for(page: Page) -> None:
    """However late the harness is then: what lies behind goes by in real time."""

    async def main() -> None:
        target_time = TargetTime()
        target_time.follow(page)
        later, sooner = (asyncio.ensure_future(target_time.pause(seconds)) for seconds in (LONG, LONG / 2))
        await asyncio.sleep(0)
        target_time.fast(RATE)
        assert target_time.rate == RATE
        while not target_time.slowed:
            pass
        assert target_time.rate == 1
        assert target_time.now() == pytest.approx(LONG / 2, abs=SOON)
        await sooner
        assert not later.done()
        later.cancel()

    asyncio.run(main())


def test_a_short_stretch_is_not_faster_than_it_need_be(page: Page) -> None:
    async def main() -> float:
        target_time = TargetTime()
        target_time.follow(page)
        await fast_through(target_time, target_time.pause(10 * STRETCH))
        return target_time.fastest

    assert asyncio.run(main()) == pytest.approx(10, rel=0.5)


def test_it_does_not_go_fast_once_a_moment_has_come_that_is_told_of_no_more(page: Page) -> None:
    target_time = TargetTime()
    target_time.follow(page)
    assert not target_time.fast(RATE, page.elapsed())
    assert target_time.rate == 1.0
    assert target_time.fast(RATE, page.elapsed() + LONG)
    assert target_time.rate > 1.0
