"""What acts on the whole server, and what it says of itself: a function for each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_control_plane.client.ask import Ask, path, query
from fake_control_plane.client.results import (
    Clock,
    Code,
    Dialect,
    Entry,
    FaultKind,
    FaultRule,
    Health,
    Journal,
    part,
    read,
)

# -- faults ----------------------------------------------------------------------------------------------------------------


def faults() -> Ask[tuple[FaultRule, ...]]:
    """The fault rules in force, in the order in which they were added."""
    return Ask(
        method="GET", path=path("faults"), read=lambda value: tuple(_rule(rule) for rule in part(value, "rules"))
    )


def add_fault(rule: str | Mapping[str, Any]) -> Ask[FaultRule]:
    """Add a fault rule, as one line (``status=503 operation=validate first=2``) or as JSON."""
    body = {"line": rule} if isinstance(rule, str) else rule
    return Ask(method="POST", path=path("faults"), body=body, read=_rule)


def fault(rule: str) -> Ask[FaultRule]:
    """One fault rule, by its id."""
    return Ask(method="GET", path=path("faults", rule), read=_rule)


def remove_fault(rule: str) -> Ask[FaultRule]:
    """Remove a fault rule; returns it as it was."""
    return Ask(method="DELETE", path=path("faults", rule), read=_rule)


def clear_faults() -> Ask[tuple[str, ...]]:
    """Remove all fault rules; returns their ids."""
    return Ask(method="DELETE", path=path("faults"), read=lambda value: tuple(part(value, "removed")))


def fault_kinds() -> Ask[tuple[FaultKind, ...]]:
    """Every fault that a rule can have."""
    return Ask(
        method="GET",
        path=path("fault-kinds"),
        read=lambda value: tuple(read(FaultKind, kind) for kind in part(value, "kinds")),
    )


# -- the server ------------------------------------------------------------------------------------------------------------


def clock() -> Ask[Clock]:
    """The server's clock."""
    return Ask(method="GET", path=path("clock"), read=lambda value: read(Clock, value))


def advance_clock(seconds: float) -> Ask[Clock]:
    """Move the server's clock forward, or back."""
    return Ask(
        method="POST",
        path=path("clock", "advance"),
        body={"seconds": seconds},
        read=lambda value: read(Clock, value),
    )


def dialect() -> Ask[Dialect]:
    """The dialect in force, and the code of each reason."""
    return Ask(method="GET", path=path("dialect"), read=_dialect)


def set_dialect(dialect: str) -> Ask[Dialect]:
    """``current`` or ``legacy``; overridden codes stay."""
    return Ask(method="PUT", path=path("dialect"), body={"dialect": dialect}, read=_dialect)


def set_codes(codes: Mapping[str, str]) -> Ask[Dialect]:
    """Override codes (reason to code), in place of all overrides before."""
    return Ask(method="PUT", path=path("codes"), body={"codes": dict(codes)}, read=_dialect)


def status() -> Ask[Mapping[str, Any]]:
    """What the server is, as JSON."""
    return Ask(method="GET", path=path("status"), read=dict)


def health() -> Ask[Health]:
    """Whether state and journal can be written. Not well is a result, no error."""
    return Ask(
        method="GET",
        path="/healthz",
        read=lambda value: read(Health, value, problems=tuple(part(value, "problems"))),
        also=(503,),
    )


def metrics() -> Ask[str]:
    """Prometheus text."""
    return Ask(method="GET", path="/metrics", read=str, text=True)


def openapi() -> Ask[Mapping[str, Any]]:
    """The OpenAPI document of the admin port."""
    return Ask(method="GET", path="/openapi.json", read=dict)


def control_plane_openapi() -> Ask[Mapping[str, Any]]:
    """The OpenAPI document of the data port."""
    return Ask(method="GET", path="/openapi/control-plane.json", read=dict)


def journal(
    *,
    since: int = 0,
    limit: int = 1000,
    kind: str | None = None,
    org: str | None = None,
    device: str | None = None,
    operation: str | None = None,
    decision: str | None = None,
    rule: str | None = None,
) -> Ask[Journal]:
    """A page of calls and actions behind entry ``since``, oldest first. ``device`` is a glob."""
    filters = {"kind": kind, "org": org, "device": device, "operation": operation, "decision": decision, "rule": rule}
    return Ask(
        method="GET",
        path=path("journal"),
        query=query(since=since, limit=limit, **filters),
        read=lambda value: read(Journal, value, entries=tuple(read(Entry, entry) for entry in part(value, "entries"))),
    )


def follow(
    *,
    since: int | None = None,
    last_event_id: str | None = None,
    kind: str | None = None,
    org: str | None = None,
    device: str | None = None,
    operation: str | None = None,
    decision: str | None = None,
    rule: str | None = None,
) -> Ask[None]:
    """The journal as it grows: a context manager over its events.

    The first is ``Began``; then come ``Entry``, and ``Missed`` where some were dropped. It ends when the server does. ``since``:
    begin behind this entry, 0 for all that the server has; None: from now on. ``last_event_id`` (``Events.last_id``) goes before
    it: begin behind that event. ``device`` is a glob.
    """
    return Ask(
        method="GET",
        path=path("journal", "stream"),
        query=query(since=since, kind=kind, org=org, device=device, operation=operation, decision=decision, rule=rule),
        headers=None if last_event_id is None else {"last-event-id": last_event_id},
        read=lambda _: None,
        text=True,
    )


# -- of these ----------------------------------------------------------------------------------------------------------------


def _rule(value: object) -> FaultRule:
    part(value, "id")
    assert isinstance(value, dict)
    rule = {name: content for name, content in value.items() if name not in ("line", "seen", "hits")}
    return read(FaultRule, value, value=rule)


def _dialect(value: object) -> Dialect:
    codes = {reason: read(Code, code) for reason, code in part(value, "codes").items()}
    return read(Dialect, value, codes=codes)
