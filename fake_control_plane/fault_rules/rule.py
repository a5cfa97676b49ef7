"""One fault rule: its faults, its target, its trigger. A frozen value; what contradicts itself cannot be made."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

from fake_control_plane.api import Operation
from fake_control_plane.fault_rules.composed import Composed
from fake_control_plane.fault_rules.triggers import ALWAYS, Trigger
from fake_control_plane.faults.api import AnswerFault, Fault, ListenerFault, describe
from fake_control_plane.faults.parameters import nearest
from fake_control_plane.faults.stages import StagedFault

OPERATIONS: tuple[Operation, ...] = get_args(Operation)

ID = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What an id may be: it stands in URLs and, joined by ``+``, in journals."""

TARGET = {
    "operation": f"one of {', '.join(OPERATIONS)}; every call if it is left out",
    "device": "a glob of device ids (* ? [a-c]), case included; every call, about a device or not, if it is left out",
    "org": "an org's id, such as org-1; every call, of an org or not, if it is left out",
}
"""The words of a target and what each may be."""


@dataclass(frozen=True, kw_only=True)
class Match:
    """Which calls a rule is for; None: all of them.

    Raises:
        ValueError: there is no such operation; the glob or the id is empty.
    """

    operation: str | None = None
    device: str | None = None
    org: str | None = None

    def __post_init__(self) -> None:
        if self.operation is not None and self.operation not in OPERATIONS:
            near = nearest(self.operation, OPERATIONS)
            raise ValueError(f"operation: got {self.operation!r}{near}; expected {TARGET['operation']}")
        for word, value in (("device", self.device), ("org", self.org)):
            if value is not None and (not isinstance(value, str) or not value):
                raise ValueError(f"{word}: got {value!r}; expected {TARGET[word]}")

    def device_matcher(self) -> Callable[[str], object] | None:
        """What tells, true or false, whether a device id is meant; None: any call."""
        return None if self.device is None else re.compile(fnmatch.translate(self.device)).match

    def describe(self) -> dict[str, str]:
        """The target as JSON: only what narrows it."""
        return {word: value for word, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class FaultRule:
    """``faults``: one of the listener alone, or one of the answer for each stage. ``id`` names it, ``fault-1``.

    Raises:
        ValueError: there is no fault, two contradict each other, or target or trigger are none that these faults can have.
    """

    id: str
    faults: tuple[Fault, ...]
    match: Match = field(default_factory=Match)
    trigger: Trigger = ALWAYS

    def __post_init__(self) -> None:
        if not self.faults:
            raise ValueError("fault: there is none; expected one such as {'status': {'status': 503}}")
        listening = self.listener
        if listening is None:
            Composed(parts=self.parts)  # which knows what contradicts itself
            return
        if len(self.faults) > 1:
            other = next(fault for fault in self.faults if fault is not listening)
            raise ValueError(
                f"faults {listening.name!r} and {other.name!r} contradict each other: {listening.name!r} acts on the "
                f"listener, before there is a call; put {other.name!r} into a rule of its own"
            )
        narrowed = self.match.describe()
        if narrowed:
            words = " and ".join(narrowed)
            raise ValueError(
                f"fault {listening.name!r} acts on the listener, before anyone knows what call will come: it cannot be "
                f"narrowed by {words}; leave {words} out, or take a fault that acts on a call, such as 'reset' or 'status'"
            )
        if listening.layer != "tls" and self.trigger != ALWAYS:
            words = " ".join(f"{word}={value}" for word, value in self.trigger.describe().items())
            raise ValueError(
                f"fault {listening.name!r} lasts until it is cleared: nobody can count what never reaches the fake, so "
                f"it cannot be triggered by {words}; leave that out, or take 'reset', which strikes single calls"
            )

    @property
    def listener(self) -> ListenerFault | None:
        """Its listener fault, if that is what it is."""
        return next((fault for fault in self.faults if isinstance(fault, ListenerFault)), None)

    @property
    def parts(self) -> tuple[StagedFault, ...]:
        """Its answer faults."""
        return tuple(fault for fault in self.faults if isinstance(fault, StagedFault))

    @property
    def earlier_answers(self) -> int:
        """How many earlier answers its faults need to be given."""
        return max((fault.earlier_answers for fault in self.faults if isinstance(fault, AnswerFault)), default=0)

    def describe(self) -> dict[str, Any]:
        """The rule as JSON; ``form.parse`` reads it back."""
        faults = {
            fault.name: {name: value for name, value in describe(fault).items() if name != "name"}
            for fault in self.faults
        }
        return {"id": self.id, "fault": faults, **self.match.describe(), "trigger": self.trigger.describe()}
