from __future__ import annotations

import asyncio

from machineid_conformance.engine.slots import WAITING_PER_BUSY, Slots


def most_at_once(jobs: int, runs: int, *, waiting: bool) -> int:
    async def main() -> int:
        slots, inside, most = Slots(jobs), 0, 0
        full = asyncio.Event()

        async def run() -> None:
            nonlocal inside, most
            async with slots.taken() as release:
                inside += 1
                most = max(most, inside)
                if waiting:
                    release()
                    release()
                if inside == limit:
                    full.set()
                await full.wait()
                inside -= 1

        limit = min(runs, 1 if jobs == 1 else jobs * WAITING_PER_BUSY if waiting else jobs)
        await asyncio.gather(*(run() for _ in range(runs)))
        return most

    return asyncio.run(main())


def test_so_many_are_busy_at_once() -> None:
    assert most_at_once(2, 5, waiting=False) == 2


def test_those_that_wait_leave_their_place_to_others() -> None:
    assert most_at_once(2, 100, waiting=True) == 2 * WAITING_PER_BUSY


def test_one_job_is_one_run_at_a_time() -> None:
    assert most_at_once(1, 3, waiting=True) == 1
