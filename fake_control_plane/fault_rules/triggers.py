"""When a rule strikes: a pure function of the call's number among those that match, counted from 1.

No trigger has a state, so a rule goes on after a restart where it was if its number is kept, and chance is a seed and a number.
The fields of a trigger are its words, in JSON (``{"first": 2}``) and on a line (``first=2``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from fake_control_plane.faults.parameters import nearest

_WHOLE = "a whole number of 1 or more"
_MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Trigger:
    """From now until it is cleared. The other triggers are narrower."""

    def fires(self, n: int) -> bool:
        """Whether it strikes the ``n``-th matching call."""
        del n
        return True

    def describe(self) -> dict[str, Any]:
        """The trigger as JSON."""
        return dict(vars(self)) or {"always": True}


@dataclass(frozen=True)
class Nth(Trigger):
    """That matching call alone."""

    nth: int

    def fires(self, n: int) -> bool:
        return n == self.nth


@dataclass(frozen=True)
class First(Trigger):
    """So many matching calls, then none."""

    first: int

    def fires(self, n: int) -> bool:
        return n <= self.first


@dataclass(frozen=True)
class Every(Trigger):
    """With 3: the third, the sixth, and so on."""

    every: int

    def fires(self, n: int) -> bool:
        return n % self.every == 0


@dataclass(frozen=True)
class Flap(Trigger):
    """``down`` matching calls that it strikes, ``up`` that it spares, and so on."""

    down: int
    up: int

    def fires(self, n: int) -> bool:
        return (n - 1) % (self.down + self.up) < self.down


@dataclass(frozen=True)
class Share(Trigger):
    """A brown-out: each matching call with this probability. The seed says which."""

    share: float
    seed: int = 0

    def fires(self, n: int) -> bool:
        # splitmix64's output function over seed and number: a generator would have a state.
        mixed = (self.seed * 0xD1342543DE82EF95 + n * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53) < self.share


ALWAYS = Trigger()
KINDS: Mapping[str, type[Trigger]] = MappingProxyType(
    {"nth": Nth, "first": First, "every": Every, "down": Flap, "share": Share, "always": Trigger}
)
"""Each trigger by its first word."""
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "nth": f"{_WHOLE}: the matching call of that number alone",
        "first": f"{_WHOLE}: so many matching calls, then none",
        "every": f"{_WHOLE}: with 3 the third matching call, the sixth, and so on",
        "down": f"{_WHOLE}: flapping, so many matching calls struck, then as many spared as up says, and so on",
        "up": f"{_WHOLE}, with down",
        "share": "a number above 0 and up to 1: a brown-out, each matching call with this probability",
        "seed": "a whole number of 0 or more, with share: which calls (default 0)",
        "always": "true: from now until it is cleared (the default)",
    }
)
"""Each word and what it may be."""


def parse_trigger(value: object) -> Trigger:
    """The trigger of its words.

    Raises:
        ValueError: a word is unknown or missing, contradicts another, or has a value that is none of those expected.
    """
    if not isinstance(value, Mapping):
        # ValueError: what is wrong with a trigger, and how, is for people to read.
        raise ValueError(f"trigger: got {value!r}; expected an object such as {{'first': 2}}")  # noqa: TRY004
    for word in value:
        if word not in WORDS:
            raise ValueError(f"trigger: {word!r} is unknown{nearest(word, WORDS)}; expected {', '.join(WORDS)}")
    kinds = [word for word in KINDS if word in value]
    if len(kinds) > 1:
        raise ValueError(f"trigger: {' and '.join(kinds)} contradict each other: a rule has one trigger; keep one")
    kind = KINDS[kinds[0]] if kinds else Trigger
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for word, found in value.items():
        if not _accepts(word, found):
            raise ValueError(f"trigger: {word}: got {found!r}; expected {WORDS[word]}")
        if word not in fields and word != "always":
            raise ValueError(f"trigger: {word} stands alone; expected {WORDS[word]}")
    for word, field in fields.items():
        if word not in value and field.default is dataclasses.MISSING:
            raise ValueError(f"trigger: {word} is missing; expected {WORDS[word]}")
    return cast("Callable[..., Trigger]", kind)(**{word: found for word, found in value.items() if word in fields})


def _accepts(word: str, value: object) -> bool:
    if word == "always":
        return value is True
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if word == "share":
        return math.isfinite(value) and 0 < value <= 1
    return isinstance(value, int) and value >= (0 if word == "seed" else 1)
