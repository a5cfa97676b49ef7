"""A trace, folded into what checkers speak of: effects, validates, refusals, processes, stimuli.

Pure and total: it never raises on a trace that ``trace.reader`` accepted, and it judges nothing. Every position is a
sequence number of the trace, so "before" and "after" are comparisons of integers; times (``at``) are for figures only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from machineid_conformance.trace.events import (
    By,
    ConnectionOpened,
    ControlAnswered,
    ControlFailed,
    ControlRequest,
    Decision,
    Diagnosed,
    EffectAborted,
    EffectAnswered,
    EffectStarted,
    Event,
    Exited,
    FaultDelivered,
    Gone,
    Operator,
    Output,
    Role,
    RunEnded,
    RunStarted,
    Signalled,
    Spawned,
    StimulusAnswered,
    StimulusSent,
)

NOT_WORK: frozenset[Role] = frozenset({"log", "release", "ignore"})
"""Roles of effects that are no work (requirements.md, Words)."""
NO_PERMIT: frozenset[Role] = frozenset({"read", "task-source"})
"""Roles of work that spends no permit."""

Outcome = Literal["allow", "deny", "failure", "pending"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One effect, the later requests of its group folded in. ``began`` places it among the other events.

    ``ended`` is the sequence number at which the last of its requests was answered or aborted, None while in flight.
    """

    number: int
    instance: int
    start: int
    role: Role
    label: str
    device: str
    began: int
    at: float
    event: EffectStarted
    ended: int | None = None
    status: int | None = None
    holds_unit: bool = False
    aborted_by: By | None = None
    followers: tuple[int, ...] = ()

    @property
    def is_work(self) -> bool:
        """Any effect but ``log``, ``release`` and ``ignore``."""
        return self.role not in NOT_WORK

    @property
    def may_spend(self) -> bool:
        """Work that needs a permit at some profile: neither a read nor a dequeue."""
        return self.is_work and self.role not in NO_PERMIT


@dataclass(frozen=True, kw_only=True)
class Validate:
    """One validate call, or a connection to the control plane that failed before a request arrived (``call`` is None).

    ``n`` is its number among the validate requests of the run (None for a failed connection), ``asked`` and ``ended``
    are positions. ``outcome`` is ``pending`` when the trace ends first.
    """

    n: int | None
    call: int | None
    instance: int
    start: int
    device: str | None
    asked: int
    asked_at: float
    outcome: Outcome = "pending"
    ended: int | None = None
    ended_at: float | None = None
    how: str | None = None
    status: int | None = None
    code: str | None = None
    request_id: str | None = None
    retry: bool = False

    @property
    def refused(self) -> bool:
        """A deny or a failure."""
        return self.outcome in ("deny", "failure")


@dataclass(frozen=True, kw_only=True)
class Register:
    """One register call. ``status`` is None when it got no whole answer; its answer is never a decision."""

    call: int | None
    instance: int
    start: int
    device: str | None
    asked: int
    ended: int | None = None
    status: int | None = None
    code: str | None = None
    how: str | None = None


@dataclass(frozen=True, kw_only=True)
class Process:
    """One start of one instance, from its spawn to its end."""

    instance: int
    start: int
    spawned: int
    device: str | None
    exited: Exited | None = None
    gone: Gone | None = None

    @property
    def ended_by_itself(self) -> bool:
        """The main process and all its descendants ended, and the harness ended none of them."""
        return (
            self.exited is not None
            and self.exited.by == "target"
            and (self.gone is not None and self.gone.by == "target")
        )


@dataclass(frozen=True, kw_only=True)
class StimulusView:
    """One stimulus. ``status`` is None when no whole answer came; ``error`` then says why, if it is known."""

    number: int
    instance: int
    sent: int
    answered: int | None = None
    status: int | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunView:
    """One run. Made by ``of``; compared by identity, so that what is computed from it can be remembered."""

    events: tuple[Event, ...]
    started: RunStarted
    ended: RunEnded | None
    effects: tuple[Effect, ...]  # in the order in which they began
    validates: tuple[Validate, ...]  # in the order in which they were asked
    registers: tuple[Register, ...]
    control: tuple[ControlRequest, ...]
    processes: tuple[Process, ...]
    stimuli: tuple[StimulusView, ...]
    outputs: tuple[Output, ...]
    operators: tuple[Operator, ...]
    faults: tuple[FaultDelivered, ...]
    signals: tuple[Signalled, ...]
    diagnoses: tuple[Diagnosed, ...]
    connections: Mapping[int, ConnectionOpened] = field(default_factory=dict)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.started.run

    @property
    def work(self) -> tuple[Effect, ...]:
        """The effects that are work."""
        return tuple(effect for effect in self.effects if effect.is_work)

    @property
    def refusals(self) -> tuple[Validate, ...]:
        """Denies and failures, in the order in which they were delivered."""
        return tuple(sorted((v for v in self.validates if v.refused), key=lambda v: v.ended or 0))

    @property
    def denies(self) -> tuple[Validate, ...]:
        """Denies, in the order in which they were delivered."""
        return tuple(v for v in self.refusals if v.outcome == "deny")

    @property
    def changes(self) -> tuple[Operator, ...]:
        """What the scenario's operator did; what the harness did for its own ends is left out."""
        return tuple(operator for operator in self.operators if operator.why == "scenario")

    @property
    def disturbance(self) -> int | None:
        """Where the run stops being fault-free: the first fault delivered or operator action of the scenario.

        A receipt for a call that ended in an allow all the same (latency below the client's deadline) disturbs nothing.
        """
        allowed = {call.call for call in self.validates if call.call is not None and call.outcome == "allow"}
        faults = (fault for fault in self.faults if fault.call not in allowed)
        return min((event.seq for event in (*faults, *self.changes)), default=None)

    @property
    def horizon(self) -> int | None:
        """Where the harness began to end the run for its own ends (``Operator.why == "horizon"``), or None."""
        return min((operator.seq for operator in self.operators if operator.why == "horizon"), default=None)

    @property
    def instances(self) -> tuple[int, ...]:
        """The instances of the run, ascending."""
        return tuple(sorted({process.instance for process in self.processes}))

    @property
    def voided(self) -> str | None:
        """Why this run says nothing at all, or None."""
        for diagnosis in self.diagnoses:
            if diagnosis.problem == "void":
                return diagnosis.detail
        return "the run was voided" if self.ended is not None and self.ended.reason == "voided" else None

    def event(self, seq: int) -> Event:
        """The event with this sequence number."""
        return self.events[seq - 1]

    def at(self, seq: int) -> float:
        """When that event happened, in target seconds since the run began."""
        return self.events[seq - 1].at

    def effect(self, number: int) -> Effect | None:
        """The effect with this number, or the one that it was folded into."""
        return next((e for e in self.effects if e.number == number or number in e.followers), None)

    @classmethod
    def of(cls, events: Iterable[Event]) -> RunView:
        """The view of a whole trace, or of one that was cut short.

        Raises:
            ValueError: the first event is not ``run-started``, or the sequence numbers are not 1, 2, 3, …
        """
        return _fold(tuple(events))


def _fold(events: tuple[Event, ...]) -> RunView:
    if not events or not isinstance(events[0], RunStarted):
        raise ValueError(f"expected run-started first, found {events[0].name if events else 'no event'}")
    effects: dict[int, Effect] = {}
    leads: dict[int, int] = {}  # effect number -> the effect that it was folded into
    validates: dict[int, Validate] = {}  # by the position at which they were asked
    registers: dict[int, Register] = {}
    calls: dict[int, int] = {}  # call -> position of its request
    processes: dict[tuple[int, int], Process] = {}
    starts: dict[int, int] = {}  # instance -> its current start
    stimuli: dict[int, StimulusView] = {}
    for number, event in enumerate(events, 1):
        if event.seq != number:
            raise ValueError(f"expected seq {number}, found {event.seq}: a line was lost, added or moved")
        match event:
            case Spawned():
                starts[event.instance] = event.start
                processes[event.instance, event.start] = Process(
                    instance=event.instance, start=event.start, spawned=event.seq, device=event.device
                )
            case Exited() | Gone():
                _end_process(processes, event)
            case ControlRequest(operation="validate"):
                calls[event.call] = event.seq
                validates[event.seq] = Validate(
                    n=event.n,
                    call=event.call,
                    instance=event.instance,
                    start=starts.get(event.instance, 1),
                    device=event.device,
                    asked=event.seq,
                    asked_at=event.at,
                    retry=event.retry,
                )
            case ControlRequest(operation="register"):
                calls[event.call] = event.seq
                registers[event.seq] = Register(
                    call=event.call,
                    instance=event.instance,
                    start=starts.get(event.instance, 1),
                    device=event.device,
                    asked=event.seq,
                )
            case ControlAnswered():
                _answer(validates, registers, calls, event)
            case ControlFailed():
                _fail(validates, registers, calls, event, starts.get(event.instance, 1))
            case EffectStarted():
                lead = leads.get(event.joins, event.joins) if event.joins is not None else None
                if lead is not None and lead in effects:
                    leads[event.effect] = lead
                    whole = effects[lead]
                    effects[lead] = replace(whole, followers=(*whole.followers, event.effect), ended=None)
                else:
                    leads[event.effect] = event.effect
                    effects[event.effect] = _effect(event, starts.get(event.instance, 1), events)
            case EffectAnswered() | EffectAborted():
                _end_effect(effects, leads, event)
            case StimulusSent():
                stimuli[event.stimulus] = StimulusView(number=event.stimulus, instance=event.instance, sent=event.seq)
            case StimulusAnswered() if event.stimulus in stimuli:
                stimuli[event.stimulus] = replace(
                    stimuli[event.stimulus], answered=event.seq, status=event.status, error=event.error
                )
    return RunView(
        events=events,
        started=events[0],
        ended=next((event for event in events if isinstance(event, RunEnded)), None),
        effects=tuple(sorted(effects.values(), key=lambda effect: effect.began)),
        validates=tuple(validates[position] for position in sorted(validates)),
        registers=tuple(registers[position] for position in sorted(registers)),
        control=tuple(event for event in events if isinstance(event, ControlRequest)),
        processes=tuple(processes.values()),
        stimuli=tuple(stimuli.values()),
        outputs=tuple(event for event in events if isinstance(event, Output)),
        operators=tuple(event for event in events if isinstance(event, Operator)),
        faults=tuple(event for event in events if isinstance(event, FaultDelivered)),
        signals=tuple(event for event in events if isinstance(event, Signalled)),
        diagnoses=tuple(event for event in events if isinstance(event, Diagnosed)),
        connections={event.connection: event for event in events if isinstance(event, ConnectionOpened)},
    )


def _effect(event: EffectStarted, start: int, events: tuple[Event, ...]) -> Effect:
    began = event.began
    return Effect(
        number=event.effect,
        instance=event.instance,
        start=start,
        role=event.role,
        label=event.label,
        device=event.device,
        began=began,
        at=events[began - 1].at if 0 < began <= len(events) else event.at,
        event=event,
    )


def _end_effect(effects: dict[int, Effect], leads: dict[int, int], event: EffectAnswered | EffectAborted) -> None:
    lead = leads.get(event.effect)
    if lead is None:
        return
    whole = effects[lead]
    if isinstance(event, EffectAnswered):
        holds = whole.holds_unit or event.holds_unit
        effects[lead] = replace(whole, ended=event.seq, status=event.status, holds_unit=holds)
    else:
        effects[lead] = replace(whole, ended=event.seq, aborted_by=event.by)


def _end_process(processes: dict[tuple[int, int], Process], event: Exited | Gone) -> None:
    key = event.instance, event.start
    process = processes.get(key) or Process(instance=event.instance, start=event.start, spawned=event.seq, device=None)
    processes[key] = replace(process, exited=event) if isinstance(event, Exited) else replace(process, gone=event)


def _answer(
    validates: dict[int, Validate], registers: dict[int, Register], calls: dict[int, int], event: ControlAnswered
) -> None:
    asked = calls.get(event.call)
    if asked in registers:
        registers[asked] = replace(registers[asked], ended=event.seq, status=event.status, code=event.code)
    elif asked in validates and validates[asked].outcome == "pending":
        # A call that failed stays failed: an allow sent after the client gave up is never a permit.
        decision: Decision = event.decision or "failure"
        validates[asked] = replace(
            validates[asked],
            outcome=decision,
            ended=event.seq,
            ended_at=event.at,
            status=event.status,
            code=event.code,
            request_id=event.request_id,
        )


def _fail(
    validates: dict[int, Validate],
    registers: dict[int, Register],
    calls: dict[int, int],
    event: ControlFailed,
    start: int,
) -> None:
    asked = calls.get(event.call) if event.call is not None else None
    if asked in registers:
        registers[asked] = replace(registers[asked], ended=event.seq, how=event.how)
    elif asked in validates:
        if validates[asked].outcome == "pending":
            validates[asked] = replace(
                validates[asked], outcome="failure", ended=event.seq, ended_at=event.at, how=event.how
            )
    elif event.call is None and event.operation in ("validate", "unknown"):
        # Nothing arrived, so nobody knows what was going to be asked; only a known register is no decision.
        validates[event.seq] = Validate(
            n=None,
            call=None,
            instance=event.instance,
            start=start,
            device=event.device,
            asked=event.seq,
            asked_at=event.at - (event.waited or 0.0),
            outcome="failure",
            ended=event.seq,
            ended_at=event.at,
            how=event.how,
        )
    elif event.call is None and event.operation == "register":
        registers[event.seq] = Register(
            call=None,
            instance=event.instance,
            start=start,
            device=event.device,
            asked=event.seq,
            ended=event.seq,
            how=event.how,
        )
