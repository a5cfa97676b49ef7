"""What was called and what was done, in order: a bounded ring in memory, a file that is complete, and those who follow.

``record`` is on the path of every call, so it stores a tuple and nothing else; an ``Entry`` is made of it only when
somebody looks. Entries are numbered from 1 without a gap. The ring keeps the last ``capacity`` of them: what it no
longer has is counted, and a follower who was too slow is told how many it missed. The ring is the queue of every
follower, so that no number of them can make the memory grow.

No org key ever stands in an entry: orgs are named by id, and what looks like a key in a device id (clients mix the two
up) or in a detail is blacked out.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, TypeAlias

from fake_control_plane.serving.journal_file import JournalFile

CAPACITY = 10_000
"""How many entries the memory keeps by default: about 5 MB."""

Kind = Literal["call", "action"]
"""``call``: a client called the data port. ``action``: an operator did something (admin port, command line, dashboard)."""

Row: TypeAlias = tuple[
    float,
    Kind,
    str | None,
    str,
    str | None,
    int | None,
    str | None,
    str | None,
    str | None,
    str | None,
    str | None,
    float | None,
    str | None,
]
"""An entry as the ring holds it: the fields of ``Entry`` after ``number``, in their order."""

_KEY = re.compile(r"org_[A-Za-z0-9_\-]{6,}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal.

    ``time`` in seconds since the epoch. ``org`` is an id (``org-1``), None where no org is meant or the key was wrong.
    ``operation`` is ``validate``, ``register``, … of a call, ``revoke``, ``set-cap``, … of an action. ``status``,
    ``decision`` (``allow``, ``deny``, ``failure``; None unless it is a validate), ``code`` and ``request_id`` are what the
    client got, not the truth, if a fault came between; None where no whole answer reached it. ``rule`` is the id of the
    fault rule that came between, ``ending`` how the exchange ended (``answered``, ``reset``, ``cut-off``, ``gave-up``).
    ``waited`` in seconds, from the complete request to the ending. ``detail`` says what an action set.
    """

    number: int
    time: float
    kind: Kind
    org: str | None
    operation: str
    device: str | None
    status: int | None
    decision: str | None
    code: str | None
    request_id: str | None
    rule: str | None
    ending: str | None
    waited: float | None
    detail: str | None

    def to_json(self) -> dict[str, Any]:
        """The entry as a line of the file shows it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What a follower gets at a time: ``missed`` entries were dropped before it asked, then come ``entries``."""

    missed: int
    entries: tuple[Entry, ...]


class Journal:
    """The journal of one server. One thread; following needs a running event loop, the rest does not.

    ``name`` is new for each journal: entry numbers start over when a server does (unless a file carries them on), so
    that a follower who comes back must be able to tell. ``counted`` is told every entry, for the metrics.
    """

    def __init__(
        self,
        *,
        capacity: int = CAPACITY,
        file: JournalFile | None = None,
        counted: Callable[[Row], None] | None = None,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"journal: got a capacity of {capacity}; expected 1 entry or more")
        self.name = secrets.token_hex(4)
        self._capacity = capacity
        self._file = file
        self._counted = counted
        self._before = 0 if file is None else file.last_number
        self._last = self._before
        self._ring: list[Row | None] = [None] * capacity
        self._waiting: list[asyncio.Future[None]] = []
        self._closed = False

    # -- writing -------------------------------------------------------------------------------------------------------

    def record(  # noqa: PLR0917 -- called for every call: by position is fastest
        self,
        time: float,
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
        if device is not None and "org_" in device:
            device = _KEY.sub("org_[redacted]", device)
        if detail is not None and "org_" in detail:
            detail = _KEY.sub("org_[redacted]", detail)
        number = self._last + 1
        row: Row = (
            time, kind, org, operation, device, status, decision, code, request_id, rule, ending, waited, detail,
        )  # fmt: skip
        self._ring[number % self._capacity] = row
        self._last = number
        if self._counted is not None:
            self._counted(row)
        if self._file is not None:
            self._file.add(render(number, row))
        if self._waiting:
            self._wake()
        return number

    @property
    def in_file(self) -> bool:
        """Whether there is a file: then ``flush`` comes before an answer leaves."""
        return self._file is not None

    def flush(self) -> None:
        """Hand what was recorded to the operating system, before it is acknowledged to anybody.

        Never raises: a file that cannot be written is ``problem``, and the server goes on.
        """
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Close the file, and end all following; safe to call twice."""
        self._closed = True
        if self._file is not None:
            self._file.close()
        self._wake()

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The number of the newest entry; 0 before the first."""
        return self._last

    @property
    def recorded(self) -> int:
        """How many entries were made in this server's life."""
        return self._last - self._before

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
        end = self._last if limit is None else min(self._last, start + limit - 1)
        return Batch(missed=start - max(number, self._before) - 1, entries=tuple(self._between(start, end)))

    def walk(self, after: int) -> Iterator[Entry]:
        """The entries after this number, made one by one."""
        return self._between(max(after + 1, self.first), self._last)

    def follow(self, after: int | None = None) -> Subscription:
        """Follow the journal from the entry after this number; by default from now on."""
        return Subscription(self, self._last if after is None else after)

    async def grown(self, beyond: int) -> None:
        """Wait until there is an entry after this number, or the journal is closed."""
        if self._last > beyond or self._closed:
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


def entry_of(number: int, row: Row) -> Entry:
    """The entry that a row of the ring stands for."""
    return Entry(number, *row)


def render(number: int, row: Row) -> str:
    """The entry as one line of JSON, without the line's end: ``Entry.to_json``, three times as fast."""
    at, kind, org, operation, device, status, decision, code, request_id, rule, ending, waited, detail = row
    if (
        (ending == "answered" and operation == "validate")
        and (org and device and decision and code and request_id)
        and (rule is None and detail is None)
    ):
        # Nearly all of them, in half the time: only these two can have anything in them that JSON has to escape.
        return (
            f'{{"number":{number},"time":{at!r},"kind":"{kind}","org":"{org}","operation":"validate",'
            f'"device":{encode_basestring_ascii(device)},"status":{status},"decision":"{decision}",'
            f'"code":{encode_basestring_ascii(code)},"request_id":"{request_id}","rule":null,"ending":"answered",'
            f'"waited":{waited!r},"detail":null}}'
        )
    return (
        f'{{"number":{number},"time":{at!r},"kind":"{kind}","org":{_text(org)},"operation":{_text(operation)},'
        f'"device":{_text(device)},"status":{"null" if status is None else status},'
        f'"decision":{_text(decision)},"code":{_text(code)},"request_id":{_text(request_id)},"rule":{_text(rule)},'
        f'"ending":{_text(ending)},"waited":{"null" if waited is None else repr(waited)},"detail":{_text(detail)}}}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)
