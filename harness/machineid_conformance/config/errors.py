"""What is wrong with a configuration, in one line that can be acted on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from datetime import date, datetime, time
from typing import Any


class ConfigurationError(ValueError):
    """A configuration that cannot be used. The message reads ``file: key: found …; expected …; remedy``.

    ``file`` is the file as it was given, or ``command line``; ``key`` is the dotted key, or None when the file as a
    whole is meant.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str,
        key: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.file = file
        self.key = key
        self.problem = problem
        self.expected = expected
        self.hint = hint
        parts = [problem]
        if expected is not None:
            parts.append(f"expected {expected}")
        if hint is not None:
            parts.append(hint)
        where = f"{file}: {key}: " if key else f"{file}: "
        super().__init__(where + "; ".join(parts))


def nearest(word: str, known: Collection[str]) -> str | None:
    """The known word that ``word`` was probably meant to be, or None when nothing is near."""
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in sorted(known)}
    close = difflib.get_close_matches(word.lower().replace("-", "_"), list(folded), n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Collection[str]) -> str:
    """``did you mean 'x'? known: …``, or only what is known."""
    near = nearest(word, known)
    listed = f"known: {', '.join(sorted(known))}" if known else "nothing is known here"
    return f"did you mean {near!r}? {listed}" if near else listed


def shown(value: Any) -> str:
    """A TOML value as a person would write it, shortened, with the name of its type."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),
        (str, "a string"),
        (int, "an integer"),
        (float, "a number"),
        ((datetime, date, time), "a date"),
        (list, "a list"),
        (dict, "a table"),
    )
    kind = next((name for types, name in kinds if isinstance(value, types)), type(value).__name__)
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        kind = "not a finite number"
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({kind})"
