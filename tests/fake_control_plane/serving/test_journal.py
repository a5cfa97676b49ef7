from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fake_control_plane.serving.entries import Decided, Round, Verdict
from fake_control_plane.serving.journal import Entry, Journal, Row, render
from fake_control_plane.serving.journal_file import JournalFile


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
    counted: list[Row | Decided] = []

    class Counting:
        def count(self, row: Row) -> None:
            counted.append(row)

        def count_decided(self, rows: Sequence[Decided], waited: float) -> None:
            assert waited > 0
            counted.extend(rows)

    journal = Journal(counts=Counting())
    record(journal)
    record(journal, rule="fault-1")
    rows = decide(journal, 3)
    journal.settle()
    assert [row[9] for row in counted[:2] if len(row) != 4] == [None, "fault-1"]
    assert counted[2:] == rows


# -- validates that were decided -----------------------------------------------------------------------------------------


def decide(journal: Journal, number: int, device: str = "a") -> list[Decided]:
    """So many in one round."""
    verdict = Verdict("org-1", "device-revoked", 'NO "MORE"')
    rows: list[Decided] = []
    for each in range(number):
        journal.round = journal.round or Round(at=1e9 + 1 / 3, began=time.monotonic() - 1)
        rows.append((verdict, device, f"id-{each}", journal.round))
        journal.decided(rows[-1])
    return rows


def test_whoever_looks_sees_what_was_decided_in_this_round() -> None:
    looks: list[Callable[[Journal], int]] = [
        lambda journal: journal.last,
        lambda journal: journal.recorded,
        lambda journal: len(journal.since(0).entries),
        lambda journal: len(list(journal.walk(0))),
        lambda journal: journal.follow().after,
        lambda journal: record(journal) - 1,
    ]
    for look in looks:
        journal = Journal()
        decide(journal, 3)
        assert look(journal) == 3
        assert journal.round is None
        assert [entry.request_id for entry in journal.since(0, limit=3).entries] == ["id-0", "id-1", "id-2"]
        assert all((entry.waited or 0) >= 1 for entry in journal.since(0, limit=3).entries)


@pytest.mark.parametrize("before", range(5))
def test_the_memory_of_rounds_is_bounded_wherever_the_ring_begins(before: int) -> None:
    for decided in range(12):
        journal = Journal(capacity=5)
        for _ in range(before):
            record(journal)
        decide(journal, decided)
        last = before + decided
        assert (journal.last, journal.dropped) == (last, max(0, last - 5))
        expected = [f"id-{each}" if each >= 0 else None for each in range(-before, decided)][-5:]
        assert [entry.request_id for entry in journal.since(0).entries] == expected


@pytest.mark.parametrize("device", ["worker:dev:queue:01", 'a"b\\c\n\u2028é😀', "org_live_12345678"])
def test_a_line_of_a_round_is_the_entry_as_json(device: str, tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "journal")
    journal = Journal(file=file)
    record(journal)
    decide(journal, 2, device)
    journal.flush()
    found = [json.loads(line) for line in file.path.read_text(encoding="ascii").splitlines()]
    assert found == [entry.to_json() for entry in journal.since(0).entries]
    assert [value["number"] for value in found] == [1, 2, 3]
    assert "12345678" not in str(found)
    journal.close()


def test_a_follower_is_woken_by_the_end_of_a_round() -> None:
    async def follow() -> None:
        journal = Journal()
        waiting = asyncio.create_task(journal.follow().next())
        await asyncio.sleep(0)
        decide(journal, 2)
        journal.flush()
        assert [entry.number for entry in (await waiting).entries] == [1, 2]

    asyncio.run(follow())


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
