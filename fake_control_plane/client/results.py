"""What the admin API says, as values. Times are seconds since the epoch, on the server's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from fake_control_plane.client.errors import UnexpectedAnswer

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Org:
    """``limit`` is the cap in force; ``used`` may exceed it. ``access_until``: the end of a cancelled plan's cycle."""

    id: str
    plan: str
    plan_state: str
    limit: int
    used: int
    access_until: float | None
    disabled: bool


@dataclass(frozen=True, kw_only=True)
class OrgWithKey:
    """An org and its new key: a secret, said this once. It is left out of ``repr``."""

    org: Org
    key: str

    def __repr__(self) -> str:
        return f"OrgWithKey(org={self.org!r}, key=…)"


@dataclass(frozen=True, kw_only=True)
class Device:
    """``now``: what a validate would decide, ``allow`` or the reason of a deny. ``calls``: its validates since the server
    began; ``last`` and ``last_at`` are the last one's, None before it.
    """

    id: str
    revoked: bool
    now: str
    calls: int
    last: str | None
    last_at: float | None


@dataclass(frozen=True, kw_only=True)
class Devices:
    """A page: ``matching`` devices pass search and state, of ``total`` that are registered."""

    devices: tuple[Device, ...]
    matching: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Registered:
    """``registered``: the ids that are new."""

    org: Org
    registered: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FaultRule:
    """``line`` is the rule as one line, ``value`` as JSON. ``seen`` calls matched it, ``hits`` were struck."""

    id: str
    line: str
    value: Mapping[str, Any]
    seen: int
    hits: int


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """``level`` is ``answer`` or ``listener``. ``parameters``: each, and what it may be."""

    name: str
    summary: str
    level: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Clock:
    """``moved``: seconds by which the server's clock is ahead of the machine's."""

    now: float
    moved: float


@dataclass(frozen=True, kw_only=True)
class Code:
    """``assumed``: no public source names the original's. ``overridden``: somebody chose this one."""

    code: str
    assumed: bool
    overridden: bool


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """``codes`` by reason."""

    dialect: str
    codes: Mapping[str, Code]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One call or action: see the admin API's ``Entry`` (docs/admin-api.md)."""

    number: int
    time: float
    kind: str
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


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A page. ``journal`` is the journal's name; ``missed`` entries were dropped before; the next begins behind ``last``."""

    journal: str
    missed: int
    entries: tuple[Entry, ...]
    last: int


@dataclass(frozen=True, kw_only=True)
class Began:
    """The first event of a stream: it goes on behind entry ``after`` of the journal with this name."""

    journal: str
    after: int


@dataclass(frozen=True, kw_only=True)
class Missed:
    """So many entries were dropped before they could be sent."""

    missed: int


@dataclass(frozen=True, kw_only=True)
class Health:
    """``problems`` for people; empty without a token where one is needed."""

    healthy: bool
    problems: tuple[str, ...]


def read(kind: type[T], value: object, /, **parts: Any) -> T:
    """A value of this kind from a JSON object. ``parts`` are fields that were read already. Unknown fields are left out:
    a newer server may say more.

    Raises:
        UnexpectedAnswer: it is no object, or a field is missing.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass: the caller's choice
    if not isinstance(value, dict) or any(name not in value for name in names if name not in parts):
        raise UnexpectedAnswer(f"expected {kind.__name__} with {', '.join(names)}; got {str(value)[:200]}")
    return kind(**{name: parts[name] if name in parts else value[name] for name in names})


def part(value: object, name: str) -> Any:
    """One field of a JSON object. Raises UnexpectedAnswer."""
    if not isinstance(value, dict) or name not in value:
        raise UnexpectedAnswer(f"expected an object with {name!r}; got {str(value)[:200]}")
    return value[name]
