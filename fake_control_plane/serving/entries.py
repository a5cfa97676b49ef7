"""An entry of the journal: as people see it, as the memory holds it, as a line of the file.

The memory holds rows, which cost little to make: a ``Row`` has all the fields of an entry, a ``Decided`` stands for a validate that was
decided and answered without a fault, nearly every entry, and has only what differs from one of those to the next.

No org key ever stands in an entry: orgs are named by id, and what looks like a key in a device id (clients mix the two up) or in a
detail is blacked out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, TypeAlias

from fake_control_plane.org import Reason

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


class Verdict:
    """What the validates of one org have in common that were decided for one reason; ``code`` is the dialect's for it."""

    __slots__ = ("before", "behind", "between", "code", "decision", "org", "reason")

    def __init__(self, org: str, reason: Reason, code: str) -> None:
        self.org = org
        self.reason = reason
        self.code = code
        self.decision = "allow" if reason == "allow" else "deny"
        # The line of such an entry is made of these and what differs.
        self.before = f'{org}","operation":"validate","device":'
        self.between = (
            f',"status":200,"decision":"{self.decision}","code":{encode_basestring_ascii(code)},"request_id":"'
        )
        self.behind = '","rule":null,"ending":"answered","waited":'


class Round:
    """One round of the event loop: what is read in it is decided, journaled together, and answered at its end.

    ``at``: its beginning, in seconds since the epoch; ``began`` the same on ``time.monotonic``. ``waited``: seconds until its end, which
    is what each of its clients waited; 0 before.
    """

    __slots__ = ("at", "began", "waited")

    def __init__(self, *, at: float, began: float) -> None:
        self.at = at
        self.began = began
        self.waited = 0.0


Decided: TypeAlias = tuple[Verdict, str, str, Round]
"""A validate that was decided and answered: verdict, device, request id, and when."""

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


def without_key(text: str) -> str:
    """The text, with what looks like an org key blacked out."""
    return _KEY.sub("org_[redacted]", text) if "org_" in text else text


def entry_of(number: int, row: Row | Decided) -> Entry:
    """The entry that a row of the ring stands for."""
    return Entry(number, *(row_of(row) if len(row) == 4 else row))


def row_of(decided: Decided) -> Row:
    """All the fields of a validate that was decided."""
    verdict, device, request_id, when = decided
    return (
        when.at, "call", verdict.org, "validate", without_key(device), 200, verdict.decision, verdict.code, request_id, None,
        "answered", when.waited, None,
    )  # fmt: skip


def lines(number: int, rows: Iterable[Decided], when: Round) -> Iterator[str]:
    """The lines of the validates of one round, from this number on: each as ``render`` would make it of its ``row_of``."""
    at, end = f',"time":{when.at!r},"kind":"call","org":"', f'{when.waited!r},"detail":null}}'
    before = between = behind = ""
    last: Verdict | None = None
    for own, (verdict, device, request_id, _) in enumerate(rows, number):
        if verdict is not last:  # seldom: then this is all that differs from line to line
            last, between = verdict, verdict.between
            before, behind = f"{at}{verdict.before}", f"{verdict.behind}{end}"
        shown = encode_basestring_ascii(without_key(device) if "org_" in device else device)
        yield f'{{"number":{own}{before}{shown}{between}{request_id}{behind}'


def render(number: int, row: Row) -> str:
    """The entry as one line of JSON, without the line's end: ``Entry.to_json``, three times as fast."""
    at, kind, org, operation, device, status, decision, code, request_id, rule, ending, waited, detail = row
    return (
        f'{{"number":{number},"time":{at!r},"kind":"{kind}","org":{_text(org)},"operation":{_text(operation)},'
        f'"device":{_text(device)},"status":{"null" if status is None else status},'
        f'"decision":{_text(decision)},"code":{_text(code)},"request_id":{_text(request_id)},"rule":{_text(rule)},'
        f'"ending":{_text(ending)},"waited":{"null" if waited is None else repr(waited)},"detail":{_text(detail)}}}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)
