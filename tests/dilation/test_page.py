"""The page: what it refuses, and that target time is continuous at every change of the rate."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from machineid_conformance.dilation.page import Page


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path / "page")


@pytest.mark.parametrize("rate", [0, 0.999, -1, 10_001, float("nan"), float("inf")])
def test_a_rate_that_is_none(page: Page, rate: float) -> None:
    with pytest.raises(ValueError, match="expected a number from 1 to 10000"):
        page.set_rate(rate)
    assert page.rate == 1


def test_never_back_and_never_a_jump(page: Page) -> None:
    chance = random.Random(4)
    for _ in range(5000):
        since, before, rate = time.monotonic(), page.elapsed(), page.rate
        page.set_rate(chance.uniform(1, 1000))
        now, until = page.elapsed(), time.monotonic()
        assert before <= now <= before + (until - since) * max(rate, page.rate) + 1e-6


def test_a_page_is_not_made_over_another(page: Page) -> None:
    with pytest.raises(FileExistsError):
        Page(page.paths[0])
    page.close()
    assert not page.paths[0].exists()


def test_waiting_ends_at_the_moment_at_whatever_rates(page: Page) -> None:
    async def wait() -> tuple[float, float]:
        waiting = asyncio.create_task(page.wait_until(100))
        also = asyncio.create_task(page.wait_until(50))
        await page.wait_until(0.05)  # at 1x, both under way
        assert not waiting.done()
        page.set_rate(1000)
        await also
        early = page.elapsed()
        page.set_rate(500)
        await waiting
        return early, page.elapsed()

    began = time.monotonic()
    early, late = asyncio.run(wait())
    assert early >= 50
    assert late >= 100
    assert time.monotonic() - began < 30  # a hundred seconds were waited for


def test_waiting_that_is_cancelled_leaves_nothing(page: Page) -> None:
    async def cancel() -> None:
        waiting = asyncio.create_task(page.wait_until(1000))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        page.set_rate(2)

    asyncio.run(cancel())
    assert page.elapsed() < 1000
