"""What acts on the whole server: faults, clock, dialect and codes; and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fake_control_plane import faults
from fake_control_plane.dialects import ASSUMED, CODES
from fake_control_plane.fault_rules import parse, write_line
from fake_control_plane.faults.api import ListenerFault
from fake_control_plane.serving.admin.endpoints import Asked, Endpoint
from fake_control_plane.serving.admin.fields import Field
from fake_control_plane.serving.admin.held import Held
from fake_control_plane.serving.core import DIALECTS
from fake_control_plane.serving.views import Conflict

_FARTHEST = 1e9
"""Seconds by which a clock can be moved at once: 31 years."""

_RULE = {"rule": "the fault rule's id, such as fault-1"}


def _list_faults(held: Held, _: Asked) -> Any:
    return {"rules": [_shown(rule) for rule in held.service.faults()]}


def _shown(described: Mapping[str, Any]) -> dict[str, Any]:
    """A rule with its line."""
    rule = {word: value for word, value in described.items() if word not in ("seen", "hits")}
    return {**described, "line": write_line(parse(rule))}


def _add_fault(held: Held, asked: Asked) -> Any:
    line = asked.body.get("line")
    added = held.service.add_fault(line if isinstance(line, str) and len(asked.body) == 1 else asked.body)
    return _shown(held.service.fault(added.id))


def _get_fault(held: Held, asked: Asked) -> Any:
    return _shown(held.service.fault(asked.path["rule"]))


def _remove_fault(held: Held, asked: Asked) -> Any:
    rule = _get_fault(held, asked)
    held.service.remove_fault(asked.path["rule"])
    return rule


def _clear_faults(held: Held, _: Asked) -> Any:
    return {"removed": list(held.service.clear_faults())}


def _list_fault_kinds(_: Held, __: Asked) -> Any:
    return {
        "kinds": [
            {
                "name": kind.name,
                "summary": kind.summary,
                "level": "listener" if issubclass(kind, ListenerFault) else "answer",
                "parameters": dict(kind.parameters),
            }
            for _, kind in sorted(faults.kinds().items())
        ]
    }


def _get_clock(held: Held, _: Asked) -> Any:
    clock = held.service.clock
    return {"now": clock.now(), "moved": clock.moved}


def _advance_clock(held: Held, asked: Asked) -> Any:
    try:
        held.service.move_clock(asked.body["seconds"])
    except ValueError as error:  # each step is within bounds, and all of them together are not
        raise Conflict(str(error)) from error
    return _get_clock(held, asked)


def _get_dialect(held: Held, _: Asked) -> Any:
    dialect = held.service.dialect
    codes = {
        reason: {"code": dialect.code(reason), "assumed": reason in ASSUMED, "overridden": reason in dialect.codes}
        for reason in CODES
    }
    return {"dialect": dialect.name, "codes": codes}


def _set_dialect(held: Held, asked: Asked) -> Any:
    held.service.set_dialect(asked.body["dialect"])
    return _get_dialect(held, asked)


def _set_codes(held: Held, asked: Asked) -> Any:
    held.service.set_codes(asked.body["codes"])
    return _get_dialect(held, asked)


def _get_status(held: Held, _: Asked) -> Any:
    service, journal = held.service, held.journal
    return {
        **held.about,
        "healthy": not held.problems(),
        "problems": held.problems(),
        "orgs": len(service.orgs()),
        "rules": len(service.faults()),
        "dialect": service.dialect.name,
        "expired": service.guards.expired,
        "expires_in": service.guards.remaining,
        "allow_prod": service.guards.allow_prod,
        "journal": {
            "name": journal.name,
            "first": journal.first,
            "last": journal.last,
            "dropped": journal.dropped,
        },
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/faults",
        name="faults",
        summary="The fault rules in force, in the order in which they were added.",
        act=_list_faults,
        answer="FaultRules",
        answered="The rules, each with what it counted.",
    ),
    Endpoint(
        method="POST",
        path="/faults",
        name="add_fault",
        summary="Add a fault rule, as JSON or as one line.",
        act=_add_fault,
        status=201,
        body="rule",
        answer="FaultRule",
        answered="The rule, with its id.",
        errors=("not_stored",),
    ),
    Endpoint(
        method="DELETE",
        path="/faults",
        name="clear_faults",
        summary="Remove all fault rules.",
        act=_clear_faults,
        answer="Removed",
        answered="The ids of the rules that were in force.",
        errors=("not_stored",),
    ),
    Endpoint(
        method="GET",
        path="/faults/{rule}",
        name="fault",
        summary="One fault rule.",
        act=_get_fault,
        parameters=_RULE,
        answer="FaultRule",
        answered="The rule, with what it counted.",
        errors=("unknown_rule",),
    ),
    Endpoint(
        method="DELETE",
        path="/faults/{rule}",
        name="remove_fault",
        summary="Remove a fault rule.",
        act=_remove_fault,
        parameters=_RULE,
        answer="FaultRule",
        answered="The rule as it was.",
        errors=("unknown_rule", "not_stored"),
    ),
    Endpoint(
        method="GET",
        path="/fault-kinds",
        name="fault_kinds",
        summary="Every fault that a rule can have.",
        act=_list_fault_kinds,
        answer="FaultKinds",
        answered="Their names and parameters.",
    ),
    Endpoint(
        method="GET",
        path="/clock",
        name="clock",
        summary="The server's clock, which ends the cycle of a cancelled plan.",
        act=_get_clock,
        answer="Clock",
        answered="The time.",
    ),
    Endpoint(
        method="POST",
        path="/clock/advance",
        name="advance_clock",
        summary="Move the clock forward, or back.",
        act=_advance_clock,
        body=(
            Field(
                name="seconds",
                kind="number",
                meaning="by how much; below 0 moves it back",
                least=-_FARTHEST,
                most=_FARTHEST,
            ),
        ),
        answer="Clock",
        answered="The time then.",
        errors=("conflict", "not_stored"),
    ),
    Endpoint(
        method="GET",
        path="/dialect",
        name="dialect",
        summary="How decisions are said: the dialect, and the code of each reason.",
        act=_get_dialect,
        answer="Dialect",
        answered="The dialect in force.",
    ),
    Endpoint(
        method="PUT",
        path="/dialect",
        name="set_dialect",
        summary="Choose the dialect; overridden codes stay.",
        act=_set_dialect,
        body=(Field(name="dialect", kind="text", meaning="which of the sources' ways", choices=tuple(DIALECTS)),),
        answer="Dialect",
        answered="The dialect in force.",
        errors=("not_stored",),
    ),
    Endpoint(
        method="PUT",
        path="/codes",
        name="set_codes",
        summary="Override codes, in place of all overrides before.",
        act=_set_codes,
        body=(
            Field(
                name="codes",
                kind="words",
                meaning="reason to code; those left out get their own again",
                choices=tuple(CODES),
            ),
        ),
        answer="Dialect",
        answered="The dialect in force.",
        errors=("not_stored",),
    ),
    Endpoint(
        method="GET",
        path="/status",
        name="status",
        summary="What this server is, and whether it is well.",
        act=_get_status,
        answer="Status",
        answered="The server.",
    ),
)
