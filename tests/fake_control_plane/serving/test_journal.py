from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest

from fake_control_plane.serving.journal import Entry, Journal, Row, render


def record(journal: Journal, device: str | None = "worker:dev:queue:01", **fields: object) -> int:
    return journal.record(1.5, "call", "org-1", "validate", device, 200, "allow", "ALLOW", **fields)  # type: ignore[arg-type]


def numbers(journal: Journal, since: int, limit: int | None = None) -> list[int]:
    return [entry.number for entry in journal.since(since, limit=limit).entries]


def test_entries_are_numbered_from_one_and_read_in_order() -> None:
    journal = Journal()
    assert (journal.first, journal.last) == (1, 0)
    assert [record(journal) for _ in range(3)] == [1, 2, 3]
    assert numbers(journal, 0) == [1, 2, 3]
    assert numbers(journal, 2) == [3]
    assert numbers(journal, 0, limit=2) == [1, 2]
    assert numbers(journal, 3) == []
    assert journal.since(0).entries[0] == Entry(
        number=1,
        time=1.5,
        kind="call",
        org="org-1",
        operation="validate",
        device="worker:dev:queue:01",
        status=200,
        decision="allow",
        code="ALLOW",
        request_id=None,
        rule=None,
        ending=None,
        waited=None,
        detail=None,
    )


def test_the_memory_is_bounded_and_says_what_it_dropped() -> None:
    journal = Journal(capacity=3)
    for _ in range(10):
        record(journal)
    assert (journal.first, journal.last, journal.dropped, journal.recorded) == (8, 10, 7, 10)
    batch = journal.since(0)
    assert (batch.missed, [entry.number for entry in batch.entries]) == (7, [8, 9, 10])
    assert journal.since(6).missed == 1
    assert journal.since(7).missed == 0
    assert journal.since(9).missed == 0
    assert [entry.number for entry in journal.walk(8)] == [9, 10]


@pytest.mark.parametrize("capacity", [0, -1])
def test_a_journal_without_room_is_refused(capacity: int) -> None:
    with pytest.raises(ValueError, match="expected 1 entry or more"):
        Journal(capacity=capacity)


def test_no_key_is_kept_wherever_a_client_put_it() -> None:
    journal = Journal()
    record(journal, device="org_fake_abcdefgh")
    record(journal, device="my-org_1", detail="sent to https://x/?k=org_live_12345678")
    text = json.dumps([entry.to_json() for entry in journal.since(0).entries])
    assert "abcdefgh" not in text
    assert "12345678" not in text
    assert "my-org_1" in text  # too short for a key


ROWS: list[Row] = [
    (1.25, "call", None, "validate", None, None, None, None, None, None, None, None, None),
    (
        1e9 + 1 / 3,
        "call",
        "org-1",
        "validate",
        'a"b\\c\n\u2028é😀',
        200,
        "deny",
        "X",
        "id",
        "fault-1",
        "reset",
        1e-7,
        "…",
    ),
    (0.0, "action", "org-2", "set-cap", None, None, None, None, None, None, None, 3.0, "5"),
]


@pytest.mark.parametrize("row", ROWS)
def test_a_line_is_the_entry_as_json(row: Row) -> None:
    line = render(7, row)
    assert "\n" not in line
    assert json.loads(line) == Entry(7, *row).to_json() == dataclasses.asdict(Entry(7, *row))


def test_everything_that_is_recorded_is_counted() -> None:
    counted: list[Row] = []
    journal = Journal(counted=counted.append)
    record(journal)
    record(journal, rule="fault-1")
    assert [row[9] for row in counted] == [None, "fault-1"]


# -- following -----------------------------------------------------------------------------------------------------------


def test_a_follower_waits_for_what_comes() -> None:
    async def follow() -> None:
        journal = Journal()
        record(journal)
        subscription = journal.follow()
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        record(journal)
        record(journal)
        assert [entry.number for entry in (await waiting).entries] == [2, 3]

    asyncio.run(follow())


def test_a_follower_begins_where_it_wants() -> None:
    async def follow() -> None:
        journal = Journal()
        for _ in range(5):
            record(journal)
        subscription = journal.follow(2)
        assert [entry.number for entry in (await subscription.next(limit=2)).entries] == [3, 4]
        assert [entry.number for entry in (await subscription.next()).entries] == [5]
        assert subscription.after == 5

    asyncio.run(follow())


def test_a_slow_follower_is_told_how_many_it_missed() -> None:
    async def follow() -> None:
        journal = Journal(capacity=4)
        subscription = journal.follow()
        for _ in range(10):
            record(journal)
        batch = await subscription.next()
        assert (batch.missed, [entry.number for entry in batch.entries]) == (6, [7, 8, 9, 10])

    asyncio.run(follow())


def test_a_number_of_an_earlier_server_hides_nothing() -> None:
    async def follow() -> None:
        journal = Journal()
        subscription = journal.follow(4711)
        record(journal)
        assert [entry.number for entry in (await subscription.next()).entries] == [1]

    asyncio.run(follow())


def test_many_followers_cost_no_memory_and_one_that_goes_leaves_nothing_behind() -> None:
    async def follow() -> None:
        journal = Journal()
        waiting = [asyncio.create_task(journal.follow().next()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[:5]:
            task.cancel()
        await asyncio.gather(*waiting[:5], return_exceptions=True)
        assert len(journal._waiting) == 5
        record(journal)
        assert [(await task).entries[0].number for task in waiting[5:]] == [1] * 5
        assert journal._waiting == []

    asyncio.run(follow())


def test_a_journal_that_is_closed_ends_its_followers() -> None:
    async def follow() -> None:
        journal = Journal()
        subscription = journal.follow()
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(0)
        journal.close()
        assert (await waiting).entries == ()
        assert (await subscription.next()).entries == ()
        journal.close()

    asyncio.run(follow())
