"""The scenario of one run, as the gateways see it: what is recorded, what is held, what is answered.

Everything that is pinned to a boundary happens here, in the order: the request is recorded, the steps before it are done, the
control plane is asked, the steps during it are done, the answer is held if the scenario holds it, pending output is drained,
the answer goes out, how it ended is recorded, the steps after it are done. Between the last byte of an answer and its event
nothing else runs and nothing is drained: what the target writes in reply to an answer can only stand after it.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fake_control_plane.answers import Answer
from fake_control_plane.api import Call, handle
from fake_control_plane.faults.api import Ending, ListenerFault, Receipt
from fake_control_plane.state import ControlPlane
from machineid_conformance.engine.console import Console
from machineid_conformance.engine.faults import Faults, armed_early, fault_of
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.progress import Progress
from machineid_conformance.engine.target_time import TargetTime
from machineid_conformance.engine.writes import Writes
from machineid_conformance.gateway.api import Ruling
from machineid_conformance.scenario.model import Step
from machineid_conformance.trace.events import (
    ControlAnswered,
    ControlFailed,
    ControlRequest,
    EffectAborted,
    EffectAnswered,
    EffectStarted,
    Event,
    Exited,
    FaultDelivered,
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

_UNDRAINED = (ControlAnswered, ControlFailed, FaultDelivered, EffectAnswered, EffectAborted, StimulusSent, Output)
"""Written at once: pending output belongs after them, or was drained before."""
_AFTER_THE_END = (Output, Exited, Gone, Signalled, RunEnded)
"""What is still recorded once the run has been ended."""


@dataclass
class _Call:
    number: int
    n: int
    call: Call
    began: float
    operation: Operation = "unknown"


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
        self.writes = Writes()
        variant = run.variant.id if run.variant else None
        self.faults = Faults(
            record=self.record, pause=time.pause, clock=time.now, progress=self.progress, variant=variant
        )
        # Set by the run: it owns the worlds.
        self.drain: Callable[[], None] = lambda: None
        self.settle: Callable[[], None] = lambda: None
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
        self._pending = [armed_early(step, registers=registers) for step in run.steps]
        self._closes = any(isinstance(fault, ListenerFault) for fault in map(fault_of, run.steps))

    # -- recording -----------------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self._clock()

    def record(self, event: E) -> E:
        self.heard()
        if self.closing and not isinstance(event, _AFTER_THE_END):
            return event
        if not isinstance(event, _UNDRAINED):
            self.settle()
            if not (isinstance(event, EffectStarted) and event.silent):  # it was pending itself, before what still is
                self.drain()
        self.writes.recorded(event)
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
        return self.faults.listener

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
        self.faults.struck(
            fault, instance=instance, connection=connection, evidence=evidence, ending=ending, waited=_rounded(waited)
        )

    def connect_refused(self, instance: int, *, also: str | None = None) -> None:
        """The kernel answered a connect to the control plane with RST, while it was to be refused. ``also``: what else shows it."""
        fault = self.faults.listener
        if fault is not None and fault.layer == "tcp":
            seen = "the kernel answered the SYN with RST (seen on the wire)"
            evidence = seen if also is None else f"{also}; {seen}"
            self.faults.struck(fault, instance=instance, connection=None, evidence=evidence)

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
        fault = self.faults.on_answer(operation)
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
        answer = receipt.answer
        if ruling.fault is not None:
            self.progress.withheld -= 1
            self.faults.receive(
                receipt, fault=ruling.fault, call=seen.number, connection=connection, operation=seen.operation, device=call.device
            )  # fmt: skip
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
                progress.refused(self._clock())
        progress.ring(self._clock())
        if answer is None or answer.status >= 300 or decision == "failure":
            self.faults.failed()
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
            self.faults.start(step)
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
