"""The time of a run: real, or that of a page; what waits in it ends neither early nor at the wrong rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from machineid_conformance.dilation.page import Page
from machineid_conformance.engine.target_time import TargetTime

LONG = 3600.0
"""Target seconds that nobody has in real time."""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    page = Page(tmp_path / "page", tmp_path / "woken")
    yield page
    page.close()


def test_it_is_real_time_without_a_page() -> None:
    target_time = TargetTime()
    target_time.set_rate(50)
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
    target_time.set_rate(1000)
    asyncio.run(target_time.pause(LONG / 100))
    seen.append(target_time.now())
    target_time.follow(None)
    seen.append(target_time.now())
    assert seen == sorted(seen)
    assert seen[1] < 10
    assert seen[2] >= LONG / 100
    assert seen[3] < seen[2] + 10
    assert target_time.fastest == 1000


def test_a_pause_ends_by_target_time_whatever_becomes_of_the_rate(page: Page) -> None:
    async def main() -> float:
        target_time = TargetTime()
        target_time.follow(page)
        pausing = asyncio.create_task(target_time.pause(LONG))
        await target_time.pause(0.01)
        assert not pausing.done()
        target_time.set_rate(10_000)
        await pausing
        return target_time.now()

    assert asyncio.run(main()) >= LONG


def test_a_limit_moves_with_the_rate(page: Page) -> None:
    async def main() -> float:
        target_time = TargetTime()
        target_time.follow(page)
        with suppress(TimeoutError):
            async with target_time.limit(LONG):
                target_time.set_rate(10_000)
                await asyncio.Event().wait()
        return target_time.now()

    assert asyncio.run(main()) == pytest.approx(LONG, rel=0.1)


def test_a_pause_beside_a_change_can_be_cancelled(page: Page) -> None:
    """A change wakes who pauses; one that is cancelled at the same moment must not pause on."""

    async def main() -> None:
        target_time = TargetTime()
        target_time.follow(page)
        pausing = asyncio.create_task(target_time.pause(LONG))
        await target_time.pause(0.001)
        target_time.set_rate(2)
        pausing.cancel()
        await asyncio.wait((pausing,))
        assert pausing.cancelled()

    asyncio.run(main())
