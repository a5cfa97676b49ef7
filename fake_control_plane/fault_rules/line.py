"""A rule on one line, for a command line: ``status=503 body=html operation=validate first=2``.

::

    line   = fault *("+" fault) with target and trigger words anywhere behind the first
    fault  = NAME | NAME=VALUE, the value of its first parameter; then PARAMETER=VALUE for others
    target = operation=NAME, device=GLOB, org=ID
    trigger= nth=3 | first=2 | every=3 | down=2 up=1 | share=0.3 [seed=7] | always

Words are separated as a shell does it, so quotes hold blanks. A value is JSON where it is JSON, else a string; a parameter that can
only be a string, and a target, is the string as it stands. ``not-boolean=deny`` is a word, ``not-boolean=0`` a number,
``not-boolean='"0"'`` the string of a digit. A word is a parameter of the fault before it if that has such a parameter.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Mapping
from typing import Any, cast

from fake_control_plane import faults
from fake_control_plane.fault_rules.rule import TARGET, FaultRule
from fake_control_plane.fault_rules.schema import types_of
from fake_control_plane.fault_rules.triggers import WORDS
from fake_control_plane.faults.api import Fault
from fake_control_plane.faults.parameters import nearest


def read_line(line: str) -> dict[str, Any]:
    """The rule as JSON, as it stands there: ``form.parse`` checks what it says.

    Raises:
        ValueError: a word is unknown, out of place or given twice, or a quote is not closed.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ValueError(f"fault rule {line!r}: {error}; expected words such as status=503 first=2") from None
    if not words:
        raise ValueError("fault rule: got an empty line; expected one such as status=503 operation=validate first=2")
    found: dict[str, dict[str, Any]] = {}
    target: dict[str, str] = {}
    trigger: dict[str, Any] = {}
    last: str | None = None
    joined = True  # a fault may begin here
    for word in words:
        key, equals, value = word.partition("=")
        if word == "+":
            if joined:
                raise ValueError("'+': stands between two faults; expected a fault before it")
            joined = True
        elif not joined and last is not None and key in faults.kinds()[last].parameters:
            _once(key, found[last], f"fault {last!r}: parameter")
            found[last][key] = _value(value if equals else None, key, faults.kinds()[last])
        elif key in TARGET:
            _once(key, target, "target")
            target[key] = value
        elif key in WORDS:
            _once(key, trigger, "trigger")
            trigger[key] = _json(value) if equals else True
        elif key in faults.kinds():
            if not joined:
                raise ValueError(f"fault {key!r}: stands behind another; write '+' between the two: {last} + {key}")
            _once(key, found, "fault")
            found[key], last, joined = _first(key, value if equals else None), key, False
        else:
            raise ValueError(_unknown(key, last))
    if joined:
        raise ValueError(
            f"fault rule {line!r}: expected a fault{' behind the +' if found else ''}; one of {', '.join(faults.names())}"
        )
    return {"fault": found, **target} | ({"trigger": trigger} if trigger else {})


def write_line(rule: FaultRule) -> str:
    """The rule on one line, without its id. What is as by default is left out."""
    parts = " + ".join(_write_fault(fault) for fault in rule.faults)
    target = [f"{word}={shlex.quote(value)}" for word, value in rule.match.describe().items()]
    trigger = [f"{word}={json.dumps(value)}" for word, value in rule.trigger.describe().items() if word != "always"]
    return " ".join([parts, *target, *trigger])


def _write_fault(fault: Fault) -> str:
    kind = type(fault)
    defaults = {field.name: field.default for field in dataclasses.fields(cast("Any", fault))}
    words = [fault.name]
    for number, name in enumerate(kind.parameters):
        value = getattr(fault, name)
        if type(value) is type(defaults[name]) and value == defaults[name]:
            continue
        text = shlex.quote(_text(value, name, kind))
        if number == 0:
            words[0] = f"{fault.name}={text}"
        else:
            words.append(f"{name}={text}")
    return " ".join(words)


def _first(name: str, value: str | None) -> dict[str, Any]:
    kind = faults.kinds()[name]
    if value is None:
        return {}
    if not kind.parameters:
        raise ValueError(f"fault {name!r}: got {value!r}; expected no value: this fault has no parameters")
    parameter = next(iter(kind.parameters))
    return {parameter: _value(value, parameter, kind)}


def _value(text: str | None, parameter: str, kind: type[Fault]) -> Any:
    if text is None:
        expected = kind.parameters[parameter]
        raise ValueError(
            f"fault {kind.name!r}: parameter {parameter!r} has no value; expected {parameter}= and {expected}"
        )
    return text if types_of(kind, parameter) == {"string"} else _json(text)


def _text(value: Any, parameter: str, kind: type[Fault]) -> str:
    """What ``_value`` reads as this value."""
    if not isinstance(value, str):
        return json.dumps(value)
    if types_of(kind, parameter) == {"string"} or _json(value) is value:
        return value
    return json.dumps(value)


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # NaN and Infinity are Python's, not JSON's (RFC 8259, 6).
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _once(key: str, found: Mapping[str, Any], what: str) -> None:
    if key in found:
        raise ValueError(f"{what} {key!r} is given twice; expected it once")


def _unknown(word: str, last: str | None) -> str:
    own = () if last is None else tuple(faults.kinds()[last].parameters)
    near = nearest(word, (*own, *TARGET, *WORDS, *faults.names()))
    of_fault = f"a parameter of {last!r} ({', '.join(own)}), " if own else ""
    return (
        f"{word!r} is unknown{near}; expected {of_fault}a target ({', '.join(TARGET)}), a trigger ({', '.join(WORDS)}) "
        f"or a fault ({', '.join(faults.names())})"
    )
