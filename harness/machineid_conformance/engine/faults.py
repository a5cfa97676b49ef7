"""The faults of one run: armed at their moments, delivered on what they are aimed at, each with its receipt, and cleared."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from fake_control_plane import faults
from fake_control_plane.faults.api import AnswerFault, Ending, Fault, ListenerFault, Receipt
from machineid_conformance.engine.progress import Progress
from machineid_conformance.scenario.model import Moment, Step, Until
from machineid_conformance.trace.events import (
    ControlFailed,
    Event,
    FaultArmed,
    FaultCleared,
    FaultDelivered,
    FaultWithheld,
    Operation,
)

E = TypeVar("E", bound=Event)

OUTAGE_SECONDS = 60.0
"""requirements.md, How runs are judged: an outage that ends does so after its failed calls, or after 60 s of target time."""

_HOW = {"tcp": "refused", "dns": "dns", "tls": "tls"}


class Record(Protocol):
    """Writes an event into the trace."""

    def __call__(self, event: E) -> E: ...


@dataclass
class ActiveFault:
    """A fault in force. ``everything``: it hits every operation, not only validate (it is pinned to the start or to register)."""

    fault: Fault
    until: Until | None
    everything: bool
    failures: int = 0
    struck: int = 0  # calls that it was to be delivered on
    timer: asyncio.Task[None] | None = None


class Faults:
    """At most one of them is in force. ``variant`` is the run's, as its scenario calls it."""

    def __init__(
        self,
        *,
        record: Record,
        pause: Callable[[float], Awaitable[None]],
        clock: Callable[[], float],
        progress: Progress,
        variant: str | None,
    ) -> None:
        self.active: ActiveFault | None = None
        self.refuse: Callable[[bool], None] = lambda _refuse: None
        """Makes the worlds refuse connects to the control plane, or no more. Set by the run: it owns the worlds."""
        self.toxiproxy = False
        """Whether connects are refused because a proxy of Toxiproxy is down (``--faults toxiproxy``)."""
        self._record = record
        self._pause = pause
        self._clock = clock
        self._progress = progress
        self._variant = variant

    # -- armed and cleared ---------------------------------------------------------------------------------------------

    def start(self, step: Step) -> None:
        """The moment of a fault's step has come: it takes the place of the one that is in force."""
        fault = fault_of(step)
        assert fault is not None
        self.clear()
        everything = step.at.subject in ("start", "register")
        self.active = active = ActiveFault(fault=fault, until=step.until, everything=everything)
        self._record(FaultArmed(fault=fault.name, variant=self._variant))
        if isinstance(fault, ListenerFault) and fault.layer == "tcp":
            self.refuse(True)
        if active.until is not None:
            seconds = active.until.seconds if active.until.seconds is not None else OUTAGE_SECONDS
            active.timer = asyncio.create_task(self._clear_later(active, seconds))

    async def _clear_later(self, active: ActiveFault, seconds: float) -> None:
        await self._pause(seconds)
        if self.active is active:
            active.timer = None
            self.clear()

    def clear(self) -> None:
        """End the fault in force, if there is one: the control plane is back."""
        active, self.active = self.active, None
        if active is None:
            return
        if active.timer is not None:
            active.timer.cancel()
        if isinstance(active.fault, ListenerFault) and active.fault.layer == "tcp":
            self.refuse(False)
        self._record(FaultCleared(fault=active.fault.name, variant=self._variant))
        self._progress.ring(self._clock())

    def clear_timers(self) -> None:
        """The run is over: nothing of it may fire any more."""
        if self.active is not None and self.active.timer is not None:
            self.active.timer.cancel()

    def failed(self) -> None:
        """A call failed. Enough of them end an outage that lasts for so many."""
        active = self.active
        if active is None:
            return
        active.failures += 1
        if active.until is not None and active.until.calls is not None and active.failures >= active.until.calls:
            self.clear()

    # -- below HTTP ----------------------------------------------------------------------------------------------------

    @property
    def listener(self) -> ListenerFault | None:
        """What is in force for new connections."""
        return self.active.fault if self.active and isinstance(self.active.fault, ListenerFault) else None

    def struck(
        self,
        fault: ListenerFault,
        *,
        instance: int,
        connection: int | None,
        evidence: str,
        ending: Ending | None = None,
        waited: float | None = None,
    ) -> None:
        """It was delivered on a connection: a receipt, and a failed call."""
        active = self.active
        if active is None or active.fault is not fault:
            return
        self._record(
            FaultDelivered(
                fault=fault.name, variant=self._variant, call=None, connection=connection, operation="unknown", device=None,
                evidence=evidence, by="toxiproxy" if self.toxiproxy and fault.layer == "tcp" else "built-in",
            )
        )  # fmt: skip
        self._record(
            ControlFailed(
                call=None, connection=connection, instance=instance, operation="unknown", device=None,
                how=ending or _HOW[fault.layer], waited=waited,
            )
        )  # fmt: skip
        self._progress.refused(self._clock())
        self.failed()

    # -- on answers ----------------------------------------------------------------------------------------------------

    def on_answer(self, operation: Operation) -> AnswerFault | None:
        """What is to be done instead of answering this call. A flapping fault counts it."""
        active = self.active
        if active is None or not isinstance(active.fault, AnswerFault):
            return None
        if operation != "validate" and not active.everything:
            return None
        active.struck += 1
        return active.fault.at(active.struck)

    def receive(
        self, receipt: Receipt, *, fault: AnswerFault, call: int, connection: int, operation: Operation, device: str | None
    ) -> None:  # fmt: skip
        """The receipt of a fault on an answer."""
        if receipt.delivered:
            self._record(
                FaultDelivered(
                    fault=fault.name, variant=self._variant, call=call, connection=connection, operation=operation, device=device,
                    evidence=receipt.evidence, by=receipt.by,
                )
            )  # fmt: skip
        else:
            self._record(FaultWithheld(fault=fault.name, variant=self._variant, why=receipt.evidence))


def fault_of(step: Step) -> Fault | None:
    """The fault that a step arms."""
    if step.do.kind != "fault":
        return None
    ((name, parameters),) = step.do.argument.items()
    return faults.make(name, parameters or {})


def armed_early(step: Step, *, registers: bool) -> Step:
    """A listener fault at the n-th validate must stand before its connection is made: after the control call before it."""
    fault = fault_of(step)
    if not isinstance(fault, ListenerFault) or step.at.relation != "before":
        return step
    n = step.at.n if isinstance(step.at.n, int) else 1
    if step.at.subject == "validate" and n > 1:
        moment = Moment(relation="after", subject="validate", n=n - 1)
    elif step.at.subject == "validate" and registers:
        moment = Moment(relation="after", subject="register", n=1)
    else:
        moment = Moment(relation="before", subject="start", n=1)
    return replace(step, at=moment)
