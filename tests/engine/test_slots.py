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


def test_many_that_wait_long_leave_the_cores_to_the_others() -> None:
    async def main() -> int:
        slots, short, over = Slots(2), 0, asyncio.Event()

        async def wait_long() -> None:
            async with slots.taken(waits=True) as release:
                release()
                await over.wait()

        async def work() -> None:
            nonlocal short
            async with slots.taken():
                short += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(wait_long())
            async with asyncio.TaskGroup() as working:
                for _ in range(5):
                    working.create_task(work())
            over.set()
        return short

    assert asyncio.run(main()) == 5


def test_those_that_will_wait_long_leave_one_place_to_others_that_want_it() -> None:
    async def main() -> list[str]:
        slots, began = Slots(4), list[str]()
        held = {name: asyncio.Event() for name in ("long", "short")}

        async def run(name: str) -> None:
            async with slots.taken(waits=name == "long"):
                began.append(name)
                await held[name].wait()

        async with asyncio.TaskGroup() as group:
            for name in 4 * ["short"] + 6 * ["long"] + 2 * ["short"]:
                group.create_task(run(name))
            await asyncio.sleep(0)
            assert began == 4 * ["short"]
            held["short"].set()  # all four places are given back
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            held["long"].set()
        return began[4:]

    assert asyncio.run(main()) == ["long", "long", "long", "short", "short", "long", "long", "long"]


def test_one_job_is_one_run_at_a_time() -> None:
    assert most_at_once(1, 3, waiting=True) == 1


def test_those_that_will_wait_long_go_first_and_the_others_in_their_order() -> None:
    async def main() -> list[str]:
        slots, began = Slots(1), list[str]()
        hold = asyncio.Event()

        async def run(name: str, *, waits: bool) -> None:
            async with slots.taken(waits=waits):
                began.append(name)
                await hold.wait()

        wanted = (("running", False), ("short 1", False), ("short 2", False), ("long 1", True), ("long 2", True))
        async with asyncio.TaskGroup() as group:
            for name, waits in wanted:
                group.create_task(run(name, waits=waits))
            group.create_task(_after_all_have_asked(hold))
        return began

    assert asyncio.run(main()) == ["running", "long 1", "long 2", "short 1", "short 2"]


def test_a_place_that_is_handed_to_a_run_that_was_ended_goes_to_the_next() -> None:
    async def main() -> list[str]:
        slots, began = Slots(1), list[str]()

        async def run(name: str) -> None:
            async with slots.taken():
                began.append(name)

        async with slots.taken():
            ended, queued, last = (asyncio.create_task(run(name)) for name in ("ended", "queued", "last"))
            await asyncio.sleep(0)
            queued.cancel()  # while it waits in the queue
        ended.cancel()  # the place is its own by now, but it has not been told yet
        await asyncio.wait((ended, queued, last))
        assert (ended.cancelled(), queued.cancelled(), last.cancelled()) == (True, True, False)
        return began

    assert asyncio.run(main()) == ["last"]


async def _after_all_have_asked(event: asyncio.Event) -> None:
    event.set()


def test_a_run_that_is_alone_has_no_busy_one_beside_it() -> None:
    async def main() -> list[str]:
        slots, said = Slots(2), list[str]()
        started, over = asyncio.Event(), asyncio.Event()

        async def work(name: str) -> None:
            async with slots.taken():
                said.append(name)
                started.set()
                await over.wait()
                said.append(f"{name} over")

        async def alone() -> None:
            async with slots.alone():
                said.append("alone")

        async with asyncio.TaskGroup() as group:
            group.create_task(work("first"))
            await started.wait()
            group.create_task(alone())
            await asyncio.sleep(0)
            group.create_task(work("second"))
            await asyncio.sleep(0)
            over.set()
        return said

    assert asyncio.run(main()) == ["first", "first over", "alone", "second", "second over"]
