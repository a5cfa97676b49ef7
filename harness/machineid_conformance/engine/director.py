"""The scenario of one run, as the gateways see it: what is recorded, what is held, what is answered.

Everything that is pinned to a boundary happens here, in the order: the request is recorded, the steps before it are done, the
control plane is asked, the steps during it are done, the answer is held if the scenario holds it, pending output is drained,
the answer goes out, how it ended is recorded, the steps after it are done. Between the last byte of an answer and its event
nothing else runs and nothing is drained: what the target writes in reply to an answer can only stand after it.
"""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fake_control_plane import faults
from fake_control_plane.answers import Answer
from fake_control_plane.api import Call, handle
from fake_control_plane.faults.api import AnswerFault, Ending, Fault, ListenerFault, Receipt
from fake_control_plane.state import ControlPlane
from machineid_conformance.engine.console import Console
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.target_time import TargetTime
from machineid_conformance.gateway.api import Ruling
from machineid_conformance.scenario.model import Moment, Step, Until
from machineid_conformance.trace.events import (
    ControlAnswered,
    ControlFailed,
    ControlRequest,
    EffectAborted,
    EffectAnswered,
    EffectStarted,
    Event,
    Exited,
    FaultArmed,
    FaultCleared,
    FaultDelivered,
    FaultWithheld,
    Gone,
    Operation,
    Output,
    RunEnded,
    Signalled,
    StimulusSent,
)
from machineid_conformance.trace.writer import TraceWriter

E = TypeVar("E", bound=Event)

NOT_WORK = frozenset({"log", "release", "ignore"})
HELD_AT_ONCE = 1.0
"""Seconds of an answer that is held back in which target time stays real time: work that does not wait for its decision starts in them."""
OUTAGE_SECONDS = 60.0
"""requirements.md, How runs are judged: an outage that ends does so after its failed calls, or after 60 s of target time."""

_UNDRAINED = (ControlAnswered, ControlFailed, FaultDelivered, EffectAnswered, EffectAborted, StimulusSent, Output)
"""Written at once: pending output belongs after them, or was drained before."""
_AFTER_THE_END = (Output, Exited, Gone, Signalled, RunEnded)
"""What is still recorded once the run has been ended."""
_HOW = {"tcp": "refused", "dns": "dns", "tls": "tls"}


@dataclass
class ActiveFault:
    """A fault in force. ``everything``: it hits every operation, not only validate (it is pinned to the start or to register)."""

    fault: Fault
    name: str
    variant: str | None
    until: Until | None
    everything: bool
    failures: int = 0
    struck: int = 0  # calls that it was to be delivered on
    timer: asyncio.Task[None] | None = None


@dataclass
class _Call:
    number: int
    n: int
    call: Call
    began: float
    operation: Operation = "unknown"


@dataclass
class Progress:
    """What the watcher of a run decides by. Times are target seconds; ``bell`` rings whenever something here changes."""

    bell: asyncio.Event = field(default_factory=asyncio.Event)
    contacted: bool = False  # the first call or effect of this start was seen
    started_at: float = 0.0
    last_activity: float = 0.0
    open_calls: int = 0
    open_effects: int = 0
    withheld: int = 0  # of the open calls: those that a fault has taken over, and that may last
    validates: int = 0
    effects: int = 0
    effects_since_validate: int = 0
    refused_at: float | None = None  # the last refusal that no fresh allow followed
    first_refusal_at: float | None = None
    validates_since_refusal: int = 0
    validates_before_restart: int = 0

    @property
    def owes(self) -> bool:
        """Whether the target waits for something that the harness is about to give."""
        return self.open_calls > self.withheld or self.open_effects > 0

    def restarted(self, now: float) -> None:
        """The target was started again: what it was refused before no longer says anything."""
        self.refused_at = self.first_refusal_at = None
        self.validates_since_refusal = self.effects_since_validate = 0
        self.validates_before_restart = self.validates
        self.contacted = False
        self.started_at = self.last_activity = now
        self.bell.set()

    def ring(self, now: float) -> None:
        """Something that counts as activity happened."""
        self.contacted = True
        self.last_activity = now
        self.bell.set()


class RunDirector:
    """See ``gateway.api.Director``. One for each run, shared by the gateways of its instances."""

    def __init__(
        self,
        run: PlannedRun,
        *,
        plane: ControlPlane,
        console: Console,
        writer: TraceWriter,
        time: TargetTime,
        hold_for: Callable[[float], float],
        registers: bool = True,
    ) -> None:
        self.run = run
        self.progress = Progress()
        self.plane = plane
        self.console = console
        self.closing = False
        self.toxiproxy = False
        """Whether connects are refused because a proxy of Toxiproxy is down (``--faults toxiproxy``)."""
        self.fault: ActiveFault | None = None
        # Set by the run: it owns the worlds.
        self.drain: Callable[[], None] = lambda: None
        self.settle: Callable[[], None] = lambda: None
        self.refuse: Callable[[bool], None] = lambda _refuse: None
        self.restart: Callable[[], Awaitable[None]] | None = None
        self.send_signal: Callable[[signal.Signals], Awaitable[None]] | None = None
        self.stimulate: Callable[[int], None] | None = None
        self.heard: Callable[[], None] = lambda: None
        self._writer = writer
        self._time = time
        self._clock = time.now
        self._hold_for = hold_for
        self._hold: float | None = None
        self._counts: Counter[str] = Counter()
        self._truths: dict[tuple[str, str | None], list[Answer]] = {}  # by operation and device, oldest first
        self._calls: dict[tuple[int, int], _Call] = {}
        self._call_number = 0
        self._effect_number = 0
        self._connection_number = 0
        self._effect_index: dict[int, int] = {}
        self._effect_times: list[tuple[int, float]] = []
        self._first_registered: str | None = None
        self._pending = [self._arm_early(step, registers=registers) for step in run.steps]
        self._closes = any(isinstance(fault, ListenerFault) for fault in map(self._fault_of, run.steps) if fault)

    # -- recording -----------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self._clock()

    def record(self, event: E) -> E:
        self.heard()
        if self.closing and not isinstance(event, _AFTER_THE_END):
            return event
        if not isinstance(event, _UNDRAINED):
            self.settle()
            self.drain()
        return self._writer.write(event)

    async def pause(self, seconds: float) -> None:
        """Let target seconds pass."""
        await self._time.pause(seconds)

    def next_effect(self) -> int:
        self._effect_number += 1
        return self._effect_number

    def next_connection(self) -> int:
        self._connection_number += 1
        return self._connection_number

    # -- the control plane ---------------------------------------------------------------------------------------------

    def listener_fault(self) -> ListenerFault | None:
        return self.fault.fault if self.fault and isinstance(self.fault.fault, ListenerFault) else None

    async def listener_fault_delivered(
        self,
        fault: ListenerFault,
        *,
        instance: int,
        connection: int | None,
        evidence: str,
        ending: Ending | None = None,
        waited: float | None = None,
    ) -> None:
        self._struck(
            fault, instance=instance, connection=connection, evidence=evidence, how=ending, waited=_rounded(waited)
        )

    @contextmanager
    def withholding(self) -> Iterator[None]:
        progress = self.progress
        progress.open_calls += 1
        progress.withheld += 1
        progress.ring(self._clock())
        self.heard()
        try:
            yield
        finally:
            progress.open_calls -= 1
            progress.withheld -= 1
            progress.ring(self._clock())

    def connect_refused(self, instance: int, *, also: str | None = None) -> None:
        """The kernel answered a connect to the control plane with RST, while it was to be refused. ``also``: what else shows it."""
        fault = self.listener_fault()
        if fault is not None and fault.layer == "tcp":
            seen = "the kernel answered the SYN with RST (seen on the wire)"
            self._struck(
                fault, instance=instance, connection=None, evidence=seen if also is None else f"{also}; {seen}"
            )

    def _struck(
        self,
        fault: ListenerFault,
        *,
        instance: int,
        connection: int | None,
        evidence: str,
        how: Ending | None = None,
        waited: float | None = None,
    ) -> None:
        active = self.fault
        if active is None or active.fault is not fault:
            return
        self.record(
            FaultDelivered(
                fault=active.name,
                variant=active.variant,
                call=None,
                connection=connection,
                operation="unknown",
                device=None,
                evidence=evidence,
                by="toxiproxy" if self.toxiproxy and fault.layer == "tcp" else "built-in",
            )
        )
        self.record(
            ControlFailed(
                call=None,
                connection=connection,
                instance=instance,
                operation="unknown",
                device=None,
                how=how or _HOW[fault.layer],
                waited=waited,
            )
        )
        self._refused()
        self._failed()

    async def control(self, call: Call, *, number: int, connection: int, instance: int) -> Ruling:
        operation: Operation = call.operation
        self._counts[operation] += 1
        self._call_number += 1
        seen = _Call(
            number=self._call_number, n=self._counts[operation], call=call, began=self._clock(), operation=operation
        )
        self._calls[instance, number] = seen
        self.record(
            ControlRequest(
                call=seen.number, connection=connection, instance=instance, operation=operation, n=seen.n, method=call.method,
                path=call.path, device=call.device, key=self.console.key_state(call.key), secrets=self._secrets(call),
            )
        )  # fmt: skip
        progress = self.progress
        progress.open_calls += 1
        if operation == "validate":
            progress.validates += 1
            progress.effects_since_validate = 0
            if progress.refused_at is not None:
                progress.validates_since_refusal += 1
        progress.ring(self._clock())
        await self.fire("before", operation, seen.n, device=call.device)
        answer = handle(self.plane, call)
        truths = self._truths.setdefault((operation, call.device), [])
        before = len(truths)
        truths.append(answer)
        if operation == "register" and self._first_registered is None and answer.status < 300:
            self._first_registered = call.device
        await self.fire("during", operation, seen.n, device=call.device)
        if self._hold is not None and operation == "validate":
            await self._hold_back(self._hold_for(self._hold))
        allow = self.plane.allow_answer(call.device or "")
        fault = self._answer_fault(operation)
        earlier = truths[max(0, before - fault.earlier_answers) : before] if fault is not None else ()
        self.settle()
        self.drain()
        if fault is not None:
            progress.withheld += 1
        self.heard()
        return Ruling(answer=answer, allow=allow, earlier=earlier, fault=fault, close=self._closes)

    async def _hold_back(self, seconds: float) -> None:
        """Keep an answer back. What does not wait for it starts at once; of a target that does wait, the rest may pass in fast time."""
        at_once = min(seconds, HELD_AT_ONCE)
        await self.pause(at_once)
        if seconds > at_once:
            self.progress.withheld += 1
            self.heard()
            await self.pause(seconds - at_once)
            self.progress.withheld -= 1
            self.heard()

    async def control_ended(
        self, number: int, call: Call, ruling: Ruling, receipt: Receipt, *, connection: int, instance: int
    ) -> None:
        seen = self._calls.pop((instance, number))
        answer, active = receipt.answer, self.fault
        if ruling.fault is not None:
            self.progress.withheld -= 1
            self._record_receipt(seen, ruling.fault, receipt, active, connection)
        decision = answer.decision if answer is not None and seen.operation == "validate" else None
        if answer is not None:
            body = answer.body if isinstance(answer.body, dict) else {}
            self.record(
                ControlAnswered(
                    call=seen.number, operation=seen.operation, device=call.device, status=answer.status, decision=decision,
                    code=_word(body.get("code")), request_id=_word(body.get("request_id")),
                )
            )  # fmt: skip
        else:
            self.record(
                ControlFailed(
                    call=seen.number, connection=connection, instance=instance, operation=seen.operation, device=call.device,
                    how=receipt.ending, waited=_rounded(receipt.waited), silent=_rounded(receipt.silent),
                )
            )  # fmt: skip
        progress = self.progress
        progress.open_calls -= 1
        if seen.operation == "validate":
            if decision == "allow":
                progress.refused_at = None
            else:
                self._refused()
        progress.ring(self._clock())
        if answer is None or answer.status >= 300 or decision == "failure":
            self._failed()
        await self.fire("after", seen.operation, seen.n, device=call.device)

    # -- effects -------------------------------------------------------------------------------------------------------

    async def effect_started(self, effect: EffectStarted) -> None:
        if effect.role in NOT_WORK or effect.joins is not None:
            self.progress.contacted = True
            return
        progress = self.progress
        progress.effects += 1
        progress.effects_since_validate += 1
        progress.open_effects += 1
        self._effect_times.append((effect.instance, self._clock()))
        progress.ring(self._clock())
        self._effect_index[effect.effect] = progress.effects
        await self.fire("during", "effect", progress.effects, device=effect.device, held=effect.effect)
        self.settle()
        self.drain()

    async def effect_ended(self, effect: EffectStarted) -> None:
        index = self._effect_index.pop(effect.effect, None)
        if index is None:
            return
        self.progress.open_effects -= 1
        self.progress.ring(self._clock())
        await self.fire("after", "effect", index, device=effect.device)

    def effects_of_others_since(self, own: int, since: float) -> int:
        """How many effects instances beyond the first ``own`` started after ``since`` (target seconds)."""
        return sum(instance > own and at > since for instance, at in self._effect_times)

    def count_silent(self, effect: EffectStarted) -> None:
        """An effect that can be neither held nor answered: it only counts."""
        if effect.role not in NOT_WORK and effect.joins is None:
            self.progress.effects += 1
            self.progress.effects_since_validate += 1
            self.progress.ring(self._clock())

    # -- steps ---------------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> tuple[Step, ...]:
        """The steps that have not been done yet."""
        return tuple(self._pending)

    async def fire(
        self, relation: str, subject: str, n: int, *, device: str | None = None, held: int | None = None
    ) -> bool:
        """Do the steps that are pinned to this moment, in their order; whether there were any."""
        due = [
            step for step in self._pending if (step.at.relation, step.at.subject, step.at.n) == (relation, subject, n)
        ]
        for step in due:
            self._pending.remove(step)
        for step in due:
            await self._do(step, device=device, held=held)
        return bool(due)

    async def _do(self, step: Step, *, device: str | None, held: int | None) -> None:
        kind, argument = step.do.kind, step.do.argument
        if kind == "fault":
            self._start_fault(step)
        elif kind == "hold":
            self._hold = float(argument["validate"])
        elif kind == "restart":
            assert self.restart is not None
            await self.restart()
        elif kind == "signal":
            assert self.send_signal is not None
            await self.send_signal(signal.Signals[argument])
        elif kind == "stimulus":
            assert self.stimulate is not None
            self.stimulate(int(argument))
        else:
            self.operate(kind, argument, device=device, held=held)

    def operate(
        self,
        action: str,
        argument: Any = None,
        *,
        device: str | None = None,
        held: int | None = None,
        why: str = "scenario",
    ) -> None:
        """One action of the operator. ``$device`` is the device at the boundary, if it is declared; else the target's first."""
        if argument == "$device":
            argument = self.subject_device(device)
        self.record(self.console.perform(action, argument, why=why, held=held))
        self.progress.bell.set()

    def subject_device(self, at_boundary: str | None = None) -> str:
        """The device that a scenario means by ``$device``."""
        declared = self.run.target.devices
        if at_boundary is not None and (at_boundary in declared or not declared):
            return at_boundary
        return declared[0] if declared else self._first_registered or self.console.default_device

    @property
    def first_registered(self) -> str | None:
        """The first device that the control plane registered in this run."""
        return self._first_registered

    # -- faults --------------------------------------------------------------------------------------------------------

    def _fault_of(self, step: Step) -> Fault | None:
        if step.do.kind != "fault":
            return None
        ((name, parameters),) = step.do.argument.items()
        return faults.make(name, parameters or {})

    def _arm_early(self, step: Step, *, registers: bool) -> Step:
        """A listener fault at the n-th validate must stand before its connection is made: after the control call before it."""
        fault = self._fault_of(step)
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

    def _start_fault(self, step: Step) -> None:
        fault = self._fault_of(step)
        assert fault is not None
        self.clear_fault()
        self.fault = active = ActiveFault(
            fault=fault,
            name=fault.name,
            variant=self.run.variant.id if self.run.variant else None,
            until=step.until,
            everything=step.at.subject in ("start", "register"),
        )
        self.record(FaultArmed(fault=active.name, variant=active.variant))
        if isinstance(fault, ListenerFault) and fault.layer == "tcp":
            self.refuse(True)
        if active.until is not None:
            seconds = active.until.seconds if active.until.seconds is not None else OUTAGE_SECONDS
            active.timer = asyncio.create_task(self._clear_later(active, seconds))

    async def _clear_later(self, active: ActiveFault, seconds: float) -> None:
        await self.pause(seconds)
        if self.fault is active:
            active.timer = None
            self.clear_fault()

    def clear_fault(self) -> None:
        """End the fault in force, if there is one: the control plane is back."""
        active, self.fault = self.fault, None
        if active is None:
            return
        if active.timer is not None:
            active.timer.cancel()
        if isinstance(active.fault, ListenerFault) and active.fault.layer == "tcp":
            self.refuse(False)
        self.record(FaultCleared(fault=active.name, variant=active.variant))
        self.progress.ring(self._clock())

    def clear_timers(self) -> None:
        """The run is over: nothing of it may fire any more."""
        if self.fault is not None and self.fault.timer is not None:
            self.fault.timer.cancel()

    def _answer_fault(self, operation: str) -> AnswerFault | None:
        active = self.fault
        if active is None or not isinstance(active.fault, AnswerFault):
            return None
        if operation != "validate" and not active.everything:
            return None
        active.struck += 1
        return active.fault.at(active.struck)

    def _record_receipt(
        self, seen: _Call, fault: AnswerFault, receipt: Receipt, active: ActiveFault | None, connection: int
    ) -> None:
        variant = self.run.variant.id if self.run.variant else None
        name = active.name if active is not None and active.fault is fault else fault.name
        if receipt.delivered:
            self.record(
                FaultDelivered(
                    fault=name, variant=variant, call=seen.number, connection=connection, operation=seen.operation,
                    device=seen.call.device, evidence=receipt.evidence, by=receipt.by,
                )
            )  # fmt: skip
        else:
            self.record(FaultWithheld(fault=name, variant=variant, why=receipt.evidence))

    def _failed(self) -> None:
        active = self.fault
        if active is None:
            return
        active.failures += 1
        if active.until is not None and active.until.calls is not None and active.failures >= active.until.calls:
            self.clear_fault()

    def _refused(self) -> None:
        progress, now = self.progress, self._clock()
        if progress.refused_at is None:
            progress.refused_at = now
            progress.validates_since_refusal = 0
        if progress.first_refusal_at is None:
            progress.first_refusal_at = now
        progress.ring(now)

    def _secrets(self, call: Call) -> tuple[str, ...]:
        found = []
        if call.key_in_url:
            found.append("url")
        if call.device and self.console.is_secret(call.device):
            found.append("device")
        return tuple(found)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None
