"""Checks of a fault's parameters: each raises a ValueError that names the fault, the parameter, and what it may be."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from fake_control_plane.faults.api import Fault


def check_choice(fault: Fault, parameter: str, choices: tuple[Any, ...]) -> None:
    """The parameter is one of the choices, of the same JSON type."""
    value = getattr(fault, parameter)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        words = [choice for choice in choices if isinstance(choice, str)]
        raise wrong(fault, parameter, nearest(value, words))


def check_seconds(fault: Fault, parameter: str) -> None:
    """The parameter is a finite number above 0."""
    value = getattr(fault, parameter)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise wrong(fault, parameter)


def check_seconds_or_none(fault: Fault, parameter: str) -> None:
    """The parameter is a finite number of 0 or more."""
    if getattr(fault, parameter) != 0 or isinstance(getattr(fault, parameter), bool):
        check_seconds(fault, parameter)


def check_whole(fault: Fault, parameter: str, *, least: int, most: int | None = None) -> None:
    """The parameter is a whole number from ``least`` to ``most``."""
    value = getattr(fault, parameter)
    if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
        raise wrong(fault, parameter)


def check_json(fault: Fault, parameter: str) -> None:
    """The parameter is a JSON value."""
    try:
        json.dumps(getattr(fault, parameter), allow_nan=False)
    except (TypeError, ValueError):
        raise wrong(fault, parameter) from None


def check_error_status(fault: Fault, parameter: str) -> None:
    """The parameter is a status of an error, 400 to 599 (RFC 9110, 15.5 and 15.6)."""
    check_whole(fault, parameter, least=400, most=599)


SECONDS: Mapping[str, Any] = {"exclusiveMinimum": 0}
"""``check_seconds`` as JSON Schema."""
ERROR_STATUS: Mapping[str, Any] = {"minimum": 400, "maximum": 599}
"""``check_error_status`` as JSON Schema."""


def wrong(fault: Fault, parameter: str, near: str = "") -> ValueError:
    """The error for a value that is none of those expected."""
    value, expected = getattr(fault, parameter), fault.parameters[parameter]
    return ValueError(f"fault {fault.name!r}: parameter {parameter!r}: got {value!r}{near}; expected {expected}")


def nearest(word: object, known: Iterable[str]) -> str:
    """`` (nearest known: 'reset')``, or nothing where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1) if isinstance(word, str) else []
    return f" (nearest known: {near[0]!r})" if near else ""
