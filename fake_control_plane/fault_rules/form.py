"""A rule from what people and programs write: JSON, or one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fake_control_plane import faults
from fake_control_plane.fault_rules.line import read_line
from fake_control_plane.fault_rules.rule import ID, TARGET, FaultRule, Match
from fake_control_plane.fault_rules.triggers import parse_trigger
from fake_control_plane.faults.parameters import nearest

WORDS = ("id", "fault", *TARGET, "trigger")


def parse(value: object, *, id: str | None = None) -> FaultRule:  # noqa: A002 -- it is the rule's id
    """The rule of a line, or of JSON: ``fault`` (as scenarios write it, ``{NAME: {PARAMETER: VALUE}}``, one or several), ``operation``,
    ``device``, ``org``, ``trigger``, ``id``. ``id`` is the rule's where it names none.

    Raises:
        ValueError: a word, a fault, a parameter or a value is none of those expected, or two contradict each other. The message
        names it, what came, what was expected, and the nearest known name.
    """
    if isinstance(value, str):
        value = read_line(value)
    if not isinstance(value, Mapping):
        # Every refusal of a rule is one ValueError, whatever is wrong with it: callers show its message.
        raise ValueError(  # noqa: TRY004
            f"fault rule: got {value!r}; expected an object such as {{'fault': {{'status': {{'status': 503}}}}}}"
        )
    for word in value:
        if word not in WORDS:
            raise ValueError(f"fault rule: {word!r} is unknown{nearest(word, WORDS)}; expected {', '.join(WORDS)}")
    if "fault" not in value:
        raise ValueError("fault rule: fault is missing; expected one such as {'status': {'status': 503}}")
    for word in TARGET:
        if word in value and value[word] is None:
            raise ValueError(f"{word}: got None; expected {TARGET[word]}")
    rule_id = value.get("id", id)
    if not isinstance(rule_id, str) or re.fullmatch(ID, rule_id) is None or rule_id.endswith("\n"):
        raise ValueError(f"id: got {rule_id!r}; expected up to 64 letters, digits, dots, dashes and underscores")
    return FaultRule(
        id=rule_id,
        faults=_faults(value["fault"]),
        match=Match(**{word: value[word] for word in TARGET if word in value}),
        trigger=parse_trigger(value.get("trigger", {})),
    )


def _faults(value: object) -> tuple[Any, ...]:
    if not isinstance(value, Mapping) or not value:
        hint = f" (write {{{value!r}: {{}}}})" if isinstance(value, str) and value in faults.kinds() else ""
        raise ValueError(f"fault: got {value!r}{hint}; expected an object such as {{'status': {{'status': 503}}}}")
    made = []
    for name, parameters in value.items():
        if not isinstance(parameters, Mapping):
            raise ValueError(  # noqa: TRY004 -- as above
                f"fault {name!r}: got {parameters!r}; expected its parameters as an object, or {{}}"
            )
        made.append(faults.make(name, parameters))
    return tuple(made)
