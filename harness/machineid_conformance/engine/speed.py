"""How fast the time of a target may go: whether it can be another than real time, and in which of its runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from machineid_conformance.config.model import Target
from machineid_conformance.dilation.build import Unavailable
from machineid_conformance.engine import time_probe
from machineid_conformance.engine.api import Ran, Session
from machineid_conformance.engine.pace import AUTO
from machineid_conformance.engine.plan import PlannedRun

REAL_TIME_RULES = frozenset({"stop/latency"})
"""A scenario that names one of these is about durations: its runs stay in real time (design.md, *Time dilation*)."""


@dataclass(kw_only=True)
class Speed:
    """Of one target. ``notice`` is told what a person should know."""

    target: Target
    session: Session
    notice: Callable[[str], None]
    real_time: str | None = None
    """Why the target's time is real time; None: it is not, outside of the runs that ask for it."""

    async def find_out(self) -> None:
        """Try whether this target's time can be another than real time."""
        target, library = self.target, self.session.library
        if target.speed == 1:
            self.real_time = "speed = 1"
        elif isinstance(library, Unavailable):
            self.real_time = library.reason
        elif target.passthrough or target.expose:
            way = "passthrough" if target.passthrough else "expose"
            self.real_time = f"{way} leads to real services, which keep real time"
        elif self.session.toxiproxy is not None:
            self.real_time = "Toxiproxy keeps real time"
        else:
            self.real_time = await time_probe.probe(self.session, library, target)
            if self.real_time is not None:
                self.notice(f"time is real: {self.real_time}")

    def of(self, plan: PlannedRun) -> float:
        """The highest rate at which a run's target may be given its time."""
        if self.real_time is not None or plan.baseline or not REAL_TIME_RULES.isdisjoint(plan.scenario.rules):
            return 1.0
        if any(step.do.kind == "signal" for step in plan.steps):
            return 1.0  # a process that is stopped looks like one that waits
        return AUTO if self.target.speed == "auto" else self.target.speed

    def learn(self, ran: Ran) -> None:
        """A process of the target was seen in real time: from now on all of it is."""
        if ran.outside is not None and self.real_time is None:
            self.real_time = f"{ran.outside!r} does not load the library of target time (a static binary?)"
            self.notice(f"from {ran.run.id} on time is real: {self.real_time}")
