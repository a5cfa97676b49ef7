"""One step of a scenario: at a moment, do something, for a while."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from fake_control_plane import faults
from machineid_conformance.config.errors import did_you_mean
from machineid_conformance.scenario.model import Action, Moment, Relation, Step, Subject, Until
from machineid_conformance.scenario.nodes import Located

MOMENTS: Mapping[Relation, tuple[Subject, ...]] = {
    "before": ("start", "register", "validate", "effect"),
    "during": ("register", "validate", "effect"),
    "after": ("start", "register", "validate", "effect", "stop", "exit"),
}
"""Which moments there are. Nobody knows of a stop or an exit before it is there, and neither lasts; a start is over at
once."""

OPERATIONS = ("revoke", "restore", "remove")
PLAN_STATES = ("active", "frozen", "not_active")
SIGNALS = ("SIGSTOP", "SIGCONT")
ACTIONS = (*OPERATIONS, "disable", "enable", "rotate", "plan", "cap", "fault", "hold", "restart", "stimulus", "signal")
FIXED = {"disable": "org", "enable": "org", "rotate": "key", "restart": "target"}
"""Actions with one possible object, which is written out so that a step reads as a sentence."""
LASTING = ("fault", "hold")
VARIANT = "$variant"
DEVICE = "$device"

STEP_KEYS = ("at", "do", "until")


def step(located: Located) -> Step:
    """One item of ``steps``."""
    entries = located.mapping(STEP_KEYS, expected="a mapping with at and do")
    for key in ("at", "do"):
        if key not in entries:
            raise located.error(f"has no {key}; expected at (when) and do (what)")
    action = _action(entries["do"])
    until = None
    if "until" in entries:
        if action.kind not in LASTING:
            raise entries["until"].error(f"{action.kind} is over at once; until goes with {' and '.join(LASTING)}")
        until = _until(entries["until"])
    return Step(at=_moment(entries["at"]), do=action, until=until)


def _moment(located: Located) -> Moment:
    example = "one of before, during, after, such as { before: validate, n: each }"
    entries = located.mapping((*MOMENTS, "n"), expected=example)
    relations = [key for key in entries if key != "n"]
    if len(relations) != 1:
        raise located.error(f"found {' and '.join(relations) or 'none'}; expected {example}")
    relation = typing.cast("Relation", relations[0])
    at = entries[relation]
    subject = at.word(
        typing.get_args(Subject), expected=f"a subject that {relation} goes with: {', '.join(MOMENTS[relation])}"
    )
    if subject not in MOMENTS[relation]:
        raise at.error(f"there is no {relation} {subject}; {relation} goes with {', '.join(MOMENTS[relation])}")
    return Moment(relation=relation, subject=subject, n=_number(entries.get("n")))


def _number(located: Located | None) -> int | typing.Literal["each"]:
    if located is None:
        return 1
    value = located.plain()
    if value == "each":
        return "each"
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise located.wrong("each, or a whole number of 1 or more")
    return value


def _action(located: Located) -> Action:
    kind, value = located.only(ACTIONS, expected="one action, such as { revoke: $device }")
    return Action(kind=kind, argument=_argument(kind, value))


def _argument(kind: str, value: Located) -> Any:
    if kind in OPERATIONS:
        device = value.text(expected="$device, or a device id")
        if device.startswith("$") and device != DEVICE:
            raise value.wrong("$device, or a device id")
        return device
    if kind in FIXED:
        value.word((FIXED[kind],), expected=f"{{ {kind}: {FIXED[kind]} }}")
        return None
    if kind == "plan":
        return value.word(PLAN_STATES)
    if kind == "cap":
        return value.integer(least=0)
    if kind == "stimulus":
        return value.integer()
    if kind == "signal":
        return value.word(SIGNALS)
    if kind == "hold":
        share = value.only(("validate",), expected="{ validate: 0.5 }: the share of the measured deadline")[1]
        return {"validate": share.number(expected="a share of the measured deadline, above 0 and below 1", below=1.0)}
    return _fault_or_variant(value)


def _fault_or_variant(value: Located) -> Any:
    if value.plain() == VARIANT:
        return VARIANT
    name, parameters = fault(value)
    return {name: parameters}


def fault(located: Located) -> tuple[str, dict[str, Any]]:
    """A fault and its parameters, ``{ status: { status: 503 } }``; the fake control plane says which there are."""
    example = "{ NAME: { parameters } }, such as { status: { status: 503, body: html } }"
    known = faults.names()
    plain = located.plain()
    if not isinstance(plain, dict):
        hint = f"write {{ {plain}: {{}} }}" if isinstance(plain, str) and plain in known else None
        raise located.wrong(f"a fault as {example}", hint=hint)
    name, value = located.only(None, expected=example)
    if name not in known:
        raise value.error(f"unknown fault {name!r}; {did_you_mean(name, known)}")
    parameters = {} if plain[name] is None else plain[name]
    if not isinstance(parameters, dict):
        raise value.wrong("the fault's parameters as a mapping, or {}")
    # The fake owns the faults: parameters are checked by making one, not against a list kept here.
    try:
        faults.make(name, parameters)
    except ValueError as error:
        raise value.error(str(error)) from None
    return name, parameters


def _until(located: Located) -> Until | None:
    expected = "end, { calls: 3 } or { seconds: 20 }"
    if located.plain() == "end":
        return None
    entries = located.mapping(("calls", "seconds"), expected=expected)
    if not entries:
        raise located.wrong(expected)
    return Until(
        calls=entries["calls"].integer() if "calls" in entries else None,
        seconds=entries["seconds"].number(expected="target seconds above 0") if "seconds" in entries else None,
    )
