"""Durations as people write them: ``"250ms"``, ``"5s"``, ``"15m"``, ``"1h"``, or a number of seconds."""

from __future__ import annotations

import math
import re

EXPECTED = 'a duration above zero: "250ms", "5s", "15m", "1h", or a number of seconds'

_PATTERN = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|m|h)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: object) -> float:
    """Seconds of a duration.

    Raises:
        ValueError: it is none, or not above zero; the message is ``EXPECTED``.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str) and (match := _PATTERN.fullmatch(value)):
        found = float(match["number"]) * _SECONDS[match["unit"]]
    else:
        raise ValueError(EXPECTED)
    if not math.isfinite(found) or found <= 0:
        raise ValueError(EXPECTED)
    return found
