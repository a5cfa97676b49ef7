"""What was called and what was done, in order: a bounded ring in memory, a file that is complete, and those who follow.

``decided`` is on the path of nearly every call, so it stores a tuple and nothing else: what else is to be done is done once for all of a
``Round``, at its ``flush`` or when somebody looks, and an ``Entry`` is made only of what is looked at.

Entries are numbered from 1 without a gap. The ring keeps the last ``capacity`` of them: what it no longer has is counted, and a
follower who was too slow is told how many it missed. The ring is the queue of every follower, so that no number of them can make the
memory grow.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fake_control_plane.serving.entries import Decided, Entry, Kind, Round, Row, entry_of, lines, render, without_key
from fake_control_plane.serving.journal_file import JournalFile

__all__ = [
    "Batch",
    "Counts",
    "Decided",
    "Entry",
    "Journal",
    "Kind",
    "Round",
    "Row",
    "Subscription",
    "entry_of",
    "render",
]

CAPACITY = 10_000
"""How many entries the memory keeps by default: about 5 MB."""


class Counts(Protocol):
    """Who is told every entry, for the metrics."""

    def count(self, row: Row) -> None:
        """One."""

    def count_decided(self, rows: Sequence[Decided], waited: float) -> None:
        """Those of one round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a follower gets at a time: ``missed`` entries were dropped before it asked, then come ``entries``."""

    missed: int
    entries: tuple[Entry, ...]


class Journal:
    """The journal of one server. One thread; following needs a running event loop, the rest does not.

    ``name`` is new for each journal: entry numbers start over when a server does (unless a file carries them on), so
    that a follower who comes back must be able to tell. ``counts`` is told every entry.
    """

    def __init__(
        self,
        *,
        capacity: int = CAPACITY,
        file: JournalFile | None = None,
        counts: Counts | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"journal: got a capacity of {capacity}; expected 1 entry or more")
        self.name = secrets.token_hex(4)
        self._capacity = capacity
        self._file = file
        self._counts = counts
        self._before = 0 if file is None else file.last_number
        self._last = self._before
        self._ring: list[Row | Decided | None] = [None] * capacity
        self._decided: list[Decided] = []
        self.round: Round | None = None
        """The one that all decided validates are of that are not settled yet; None: the next begins another."""
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    # -- writing -------------------------------------------------------------------------------------------------------

    def record(  # noqa: PLR0917 -- called for every call: by position is fastest
        self,
        at: float,
        kind: Kind,
        org: str | None,
        operation: str,
        device: str | None = None,
        status: int | None = None,
        decision: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        rule: str | None = None,
        ending: str | None = None,
        waited: float | None = None,
        detail: str | None = None,
    ) -> int:
        """Add an entry (its fields: ``Entry``) and return its number. The file has it after the next ``flush``."""
        self.settle()
        if device is not None:
            device = without_key(device)
        if detail is not None:
            detail = without_key(detail)
        number = self._last + 1
        row: Row = (
            at, kind, org, operation, device, status, decision, code, request_id, rule, ending, waited, detail,
        )  # fmt: skip
        self._ring[number % self._capacity] = row
        self._last = number
        if self._counts is not None:
            self._counts.count(row)
        if self._file is not None:
            self._file.add((render(number, row),))
        if self._waiting:
            self._wake()
        return number

    def decided(self, row: Decided) -> None:
        """Add an entry of a validate that was decided in this ``round``. The file has it after the next ``flush``."""
        self._decided.append(row)
        if len(self._decided) == self._capacity:
            self.settle()

    def settle(self) -> None:
        """End the round: number, keep, count and write what was decided in it. Whoever reads here does so first."""
        when, self.round = self.round, None
        if when is None:
            return
        when.waited = time.monotonic() - when.began
        rows, self._decided = self._decided, []
        if not rows:
            return
        first = self._last + 1
        at = first % self._capacity
        behind = at + len(rows) - self._capacity  # so many go on at the ring's beginning
        if behind <= 0:
            self._ring[at : at + len(rows)] = rows
        else:
            self._ring[at:], self._ring[:behind] = rows[:-behind], rows[-behind:]
        self._last += len(rows)
        if self._counts is not None:
            self._counts.count_decided(rows, when.waited)
        if self._file is not None:
            self._file.add(lines(first, rows, when))
        if self._waiting:
            self._wake()

    def flush(self) -> None:
        """Hand what was recorded to the operating system, before it is acknowledged to anybody.

        Never raises: a file that cannot be written is ``problem``, and the server goes on.
        """
        self.settle()
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file, and end all following; safe to call twice."""
        self.settle()
        self._closed = True
        if self._file is not None:
            self._file.close()
        self._wake()

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The number of the newest entry; 0 before the first."""
        self.settle()
        return self._last

    @property
    def recorded(self) -> int:
        """How many entries were made in this server's life."""
        return self.last - self._before

    @property
    def dropped(self) -> int:
        """How many entries of this server's life the memory no longer has."""
        return max(0, self.recorded - self._capacity)

    @property
    def first(self) -> int:
        """The number of the oldest entry that the memory has, or will have."""
        return self._before + self.dropped + 1

    @property
    def problem(self) -> str | None:
        """Why the file is not complete, for people; None while all is well."""
        return None if self._file is None else self._file.problem

    def since(self, number: int, *, limit: int | None = None) -> Batch:
        """The entries after ``number``, oldest first, at most ``limit`` of them."""
        start = max(number + 1, self.first)
        end = self.last if limit is None else min(self.last, start + limit - 1)
        return Batch(missed=start - max(number, self._before) - 1, entries=tuple(self._between(start, end)))

    def walk(self, after: int) -> Iterator[Entry]:
        """The entries after this number, made one by one."""
        return self._between(max(after + 1, self.first), self.last)

    def follow(self, after: int | None = None) -> Subscription:
        """Follow the journal from the entry after this number; by default from now on."""
        return Subscription(self, self.last if after is None else after)

    async def grown(self, beyond: int) -> None:
        """Wait until there is an entry after this number, or the journal is closed."""
        if self.last > beyond or self._closed:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def _between(self, start: int, end: int) -> Iterator[Entry]:
        for number in range(start, end + 1):
            row = self._ring[number % self._capacity]
            assert row is not None, "every number from first to last was recorded"
            yield entry_of(number, row)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Subscription:
    """A place in the journal: ``after`` is the number of the last entry that was got. ``next`` moves it on."""

    def __init__(self, journal: Journal, after: int) -> None:
        self._journal = journal
        # A number beyond the last is of an earlier server: it knows nothing of this one's entries.
        self.after = min(after, journal.last)

    async def next(self, *, limit: int = 500) -> Batch:
        """The entries since the last time, at least one unless the journal was closed: waits for it."""
        await self._journal.grown(self.after)
        batch = self._journal.since(self.after, limit=limit)
        if batch.entries:
            self.after = batch.entries[-1].number
        return batch
