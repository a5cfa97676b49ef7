"""All runs of one target: baselines, plan, runs, verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from machineid_conformance.config import templates
from machineid_conformance.config.model import Target
from machineid_conformance.engine import pressure
from machineid_conformance.engine.api import Judged, Ran, Session
from machineid_conformance.engine.director import HELD_AT_ONCE
from machineid_conformance.engine.interruption import Interruption
from machineid_conformance.engine.plan import PlannedRun, baseline_runs, runs_of, without_repeats
from machineid_conformance.engine.repeats import Repeats
from machineid_conformance.engine.results import observation_json, target_json
from machineid_conformance.engine.run import Run
from machineid_conformance.engine.selection import Selection
from machineid_conformance.engine.slots import Slots
from machineid_conformance.engine.speed import Speed
from machineid_conformance.engine.stream import Message
from machineid_conformance.engine.unmatched import unmatched_rules
from machineid_conformance.judge import deadlines, verdict
from machineid_conformance.judge.api import Baseline, Case, Rule
from machineid_conformance.judge.baseline import build
from machineid_conformance.judge.view import RunView
from machineid_conformance.scenario.model import Scenario
from machineid_conformance.scenario.needs import missing
from machineid_conformance.trace.events import EffectStarted
from machineid_conformance.trace.reader import read

HOLD_WITHOUT_DEADLINE = 0.3
"""Seconds that a validate is held where no run has measured the client's deadline."""
UNANSWERED = frozenset({"hang", "late-allow"})
"""The faults under which a client waits for the first byte until its own deadline."""


Emit = Callable[[Message], None]


@dataclass(kw_only=True)
class TargetSession:
    """Judges one target; ``judge`` returns its object of results.json."""

    target: Target
    scenarios: Sequence[Scenario]
    companions: Sequence[Target]
    selection: Selection
    session: Session
    slots: Slots
    rules: Mapping[str, Rule]
    emit: Emit
    interruption: Interruption
    serial: asyncio.Lock = field(default_factory=asyncio.Lock)
    baseline: Baseline | None = None
    judged: dict[str, Judged] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    planned: dict[str, int] | None = None  # runs by scenario; None until the baseline is known
    complete: bool = True
    interrupted: bool = False

    def __post_init__(self) -> None:
        self.speed = Speed(target=self.target, session=self.session, notice=self._notice)
        self.repeats = Repeats(
            report=self.session.report,
            rules=self.rules,
            others=lambda: [judged.case for judged in self.judged.values()],
            real_time=lambda: self.speed.real_time is not None,
            notice=self._notice,
        )

    async def judge(self) -> dict[str, object]:
        """Run everything that the selection wants of this target; interrupted, say what is known of it so far.

        Raises:
            SetupError, IsolationError, ReportError: nothing can be judged.
        """
        try:
            with self.interruption.ends_here():
                await self._run_everything()
        except (asyncio.CancelledError, Exception) as error:
            if not self.interruption.asked:
                raise
            self._interrupted(error)
        return self._conclude()

    async def _run_everything(self) -> None:
        base = next(scenario for scenario in self.scenarios if not scenario.steps and scenario.id == "baseline")
        async with asyncio.TaskGroup() as group:  # one that fails ends the others before anything they use is closed
            group.create_task(self.speed.find_out())
            tasks = [group.create_task(self._execute_baseline(plan)) for plan in baseline_runs(self.target, base)]
        ran = [task.result() for task in tasks]
        views = [RunView.of(read(one.trace)) for one in ran]
        self.baseline = build(views, self.target)
        for one in ran:
            self._tell(self._judged(one))
        self._done(base, [one.run for one in ran])
        if self.baseline.diagnosis is None:
            await self._sweep(base)
        else:
            self.emit(Message(kind="notice", payload={"target": self.target.name, "text": self.baseline.diagnosis}))
            self.left_out = {
                scenario.id: self.baseline.diagnosis for scenario in self.scenarios if scenario is not base
            }
            self._say_planned({base.id: len(ran)})

    def _interrupted(self, error: BaseException) -> None:
        """The session was ended from outside: what was not judged by now never will be, and each gap is said."""
        self.interrupted, self.complete = True, False
        if not isinstance(error, asyncio.CancelledError):
            # A teardown that fails because it is hurried, say: a person should know, but it is not what ended the session.
            self.emit(
                Message(
                    kind="notice", payload={"target": self.target.name, "text": f"while it ended: {_words_of(error)}"}
                )
            )
        if self.baseline is None:
            self.baseline = _unknown_baseline("the session was interrupted before its fault-free runs were over")
        begun = {judged.ran.run.scenario.id for judged in self.judged.values()}
        for scenario in self.scenarios:
            chosen = not scenario.steps or self.selection.scenario(self.target.name, scenario)
            if chosen and scenario.id not in begun:
                self.left_out.setdefault(scenario.id, "the session was interrupted before any run of it was judged")

    # -- planning --------------------------------------------------------------------------------------------------------

    async def _sweep(self, base: Scenario) -> None:
        assert self.baseline is not None
        plans: dict[str, tuple[PlannedRun, ...]] = {}
        for scenario in self.scenarios:
            if scenario is base:
                continue
            if not self.selection.scenario(self.target.name, scenario):
                self.complete = False
                continue
            reason = missing(
                scenario,
                self.target,
                self.baseline,
                group_size=len(self.companions) + 1,
                isolation=self.session.mode,
                real_time=self.speed.real_time,
            )
            if reason is not None:
                self.left_out[scenario.id] = reason
                continue
            planned = runs_of(scenario, self.target, self.baseline, companions=self.companions)
            runs, repeats = without_repeats(planned)
            for left_out, repeated in repeats.items():
                text = f"{left_out} is left out: it would repeat {repeated}, with the same answers to the same requests"
                self.emit(Message(kind="notice", payload={"target": self.target.name, "text": text}))
            chosen = tuple(run for run in runs if self.selection.run(run))
            self.complete &= len(chosen) == len(runs)
            if chosen:
                plans[scenario.id] = chosen
            else:
                self.left_out[scenario.id] = "the baseline has nothing to pin it to" if not runs else "not selected"
        self._say_planned({base.id: len(self.judged)} | {name: len(runs) for name, runs in plans.items()})
        await self._run_all(plans.values())

    async def _run_all(self, plans: Iterable[tuple[PlannedRun, ...]]) -> None:
        # What waits goes first: it needs no core, and a wait that must be repeated in real time is over before the rest is. And what holds
        # a validate for a share of the client's deadline needs the deadline to be known: the runs that measure it go before.
        plans = list(plans)
        self.repeats.undecided = {run.id for runs in plans for run in runs}
        async with asyncio.TaskGroup() as group:
            measuring = list[asyncio.Task[None]]()
            for runs in sorted(plans, key=_turn):
                after = tuple(measuring) if _holds(runs[0].scenario) else ()
                task = group.create_task(self._run_scenario(runs, after))
                if any(map(_measures_the_deadline, runs)):
                    measuring.append(task)

    async def _run_scenario(self, runs: tuple[PlannedRun, ...], after: Collection[asyncio.Task[None]]) -> None:
        if after:
            await asyncio.wait(after)
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(self._decide(run))
        self._done(runs[0].scenario, runs)

    async def _decide(self, plan: PlannedRun) -> None:
        try:
            await self._run_and_judge(plan)
        finally:
            self.repeats.decided(plan)

    async def _run_and_judge(self, plan: PlannedRun) -> None:
        if self.speed.real_time is not None and "target-time" in plan.scenario.needs:
            # It was found out after these runs were planned: what is left of them would last for minutes.
            self.left_out[plan.scenario.id] = f"some of its runs would be in real time: {self.speed.real_time}"
            return
        judged = self._judged(await self._execute(plan))
        self._tell(await self.repeats.believed(judged, self._again))

    async def _again(self, plan: PlannedRun, *, alone: bool, real_time: bool) -> Judged:
        return self._judged(await self._execute(plan, alone=alone, real_time=real_time))

    async def _execute_baseline(self, plan: PlannedRun) -> Ran:
        ran = await self._execute(plan)
        return await self.repeats.believed_baseline(ran, lambda: self._execute(plan, alone=True, real_time=True))

    def _notice(self, text: str) -> None:
        self.emit(Message(kind="notice", payload={"target": self.target.name, "text": text}))

    # -- one run ---------------------------------------------------------------------------------------------------------

    async def _execute(self, plan: PlannedRun, *, alone: bool = False, real_time: bool = False) -> Ran:
        speed = 1.0 if real_time else self.speed.of(plan)
        # A run that must wait for its turn waits before it takes a place: the other targets' runs go on meanwhile.
        one_by_one = self.target.serial or self.target.workdir == "shared" or self._port_is_shared
        async with (
            self.serial if one_by_one else nullcontext(),
            self.slots.alone() if alone else self.slots.taken(waits=_waits(plan.scenario)) as release,
        ):
            before = pressure.read()
            ran = await self._run(plan, release, speed)
            self.repeats.pressure[plan.id] = pressure.share(before, pressure.read())
            return ran

    @property
    def _port_is_shared(self) -> bool:
        """In proxy isolation a port that ``listen`` fixes is this machine's, and belongs to one run at a time."""
        stimulus = self.target.stimulus
        return stimulus is not None and self.session.mode == "proxy" and "port" not in templates.words(stimulus.listen)

    async def _run(self, plan: PlannedRun, release: Callable[[], None], speed: float) -> Ran:
        self.emit(
            Message(
                kind="run-started",
                payload={
                    "target": self.target.name, "run": plan.id, "scenario": plan.scenario.id, "boundary": plan.n,
                    "variant": plan.variant.id if plan.variant else None, "environment": plan.environment_number,
                },
            )
        )  # fmt: skip
        baseline = self.baseline
        run = Run(
            plan,
            self.session,
            default_device=next((b.device for b in baseline.boundaries if b.device), None) if baseline else None,
            registers=baseline.registers if baseline else True,
            hold_for=lambda share: self._hold_for(share, speed),
            release=release,
            speed=speed,
        )
        ran = await run.execute()
        self.speed.learn(ran)
        return ran

    def _hold_for(self, share: float, speed: float) -> float:
        deadline = deadlines.shortest_read(deadlines.of(judged.case for judged in self.judged.values()))
        if deadline is None:
            return HOLD_WITHOUT_DEADLINE
        return share * deadline if speed > 1 else min(share * deadline, HELD_AT_ONCE)

    # -- judging ---------------------------------------------------------------------------------------------------------

    def _judged(self, ran: Ran) -> Judged:
        assert self.baseline is not None
        events = read(ran.trace)
        case = Case(view=RunView.of(events), target=self.target, baseline=self.baseline, profile=self.target.profile)
        return Judged(ran=ran, case=case, observations=verdict.judge_run(case, self.rules))

    def _tell(self, judged: Judged) -> None:
        ran, observations = judged.ran, judged.observations
        self.judged[ran.run.id] = judged
        plan = ran.run
        self.emit(
            Message(
                kind="run-judged",
                payload={
                    "target": self.target.name, "run": plan.id, "scenario": plan.scenario.id, "subject": plan.subject,
                    "boundary": plan.n, "variant": plan.variant.id if plan.variant else None,
                    "environment": plan.environment_number, "seconds": ran.seconds, "wall_seconds": ran.wall_seconds,
                    "trace": self._trace_name(ran),
                    "rules": {
                        rule: observation_json(observation, self.rules[rule], self.target)
                        for rule, observation in observations.items()
                    },
                },
            )
        )  # fmt: skip

    def _trace_name(self, ran: Ran) -> str:
        return ran.trace.relative_to(self.session.report).as_posix()

    def _done(self, scenario: Scenario, runs: Sequence[PlannedRun]) -> None:
        self.emit(
            Message(
                kind="scenario-done",
                payload={"target": self.target.name, "scenario": scenario.id, "runs": [run.id for run in runs]},
            )
        )

    def _say_planned(self, counts: Mapping[str, int]) -> None:
        self.planned = dict(counts)
        self.emit(
            Message(
                kind="planned",
                payload={
                    "target": self.target.name, "runs": sum(counts.values()), "scenarios": dict(counts),
                    "left_out": self.left_out, "isolation": self.session.mode,
                },
            )
        )  # fmt: skip

    def _conclude(self) -> dict[str, object]:
        assert self.baseline is not None
        judged = [self.judged[name] for name in sorted(self.judged)]
        diagnosis = self.baseline.diagnosis
        complete = self.complete and self.selection.everything
        problems = (
            [diagnosis]
            if diagnosis is not None
            else unmatched_rules(
                self.target,
                # Others of the group follow their own rules.
                [effect for one in judged for effect in _effects(one) if effect.instance <= one.ran.run.instances],
                complete=complete,
            )
        )
        results = verdict.conclude(
            [(one.case, one.observations) for one in judged], self.rules, self.target, self.baseline,
        )  # fmt: skip
        today = datetime.now(tz=UTC).date()
        results = verdict.apply_strict(results, strict=self.target.strict)
        results = verdict.apply_xfail(results, self.target, today)
        outcome = verdict.target_verdict(results, strict=self.target.strict)
        if outcome == "conforming" and (problems or not complete):
            outcome = "inconclusive"
        record = target_json(
            self.target, judged, results, self.baseline, verdict=outcome, isolation=self.session.mode,
            trace_name=self._trace_name, left_out=self.left_out, problems=problems, complete=complete,
            interrupted=self.interrupted, planned=None if self.planned is None else sum(self.planned.values()),
            measured=deadlines.of(one.case for one in judged),
            xfail_problems=verdict.xfail_problems(results, self.target, today, complete=complete),
            at_high=verdict.at_high([one.case for one in judged], self.target, self.baseline, self.rules),
            fault_server=self.session.toxiproxy.described if self.session.toxiproxy is not None else None,
            real_time=self.speed.real_time,
        )  # fmt: skip
        self.emit(Message(kind="target-judged", payload={"target": record}))
        return record


def _unknown_baseline(why: str) -> Baseline:
    """Stands for a baseline that never came to be; its diagnosis makes every rule inconclusive."""
    return Baseline(
        boundaries=(), effect_labels=(), effects_after=(), deterministic=False, registers=False, reaches_horizon=False, diagnosis=why
    )  # fmt: skip


def _words_of(error: BaseException) -> str:
    """The first real error of a group of tasks, in words."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _effects(judged: Judged) -> Iterable[EffectStarted]:
    return (event for event in judged.case.view.events if isinstance(event, EffectStarted))


def _turn(runs: Sequence[PlannedRun]) -> tuple[bool, bool, float]:
    """When the runs of a scenario are begun: what waits before what does not, and of that the longest first."""
    scenario = runs[0].scenario
    return _holds(scenario), not _waits(scenario), -max(run.withholds for run in runs)


def _holds(scenario: Scenario) -> bool:
    return any(step.do.kind == "hold" for step in scenario.steps)


def _waits(scenario: Scenario) -> bool:
    return scenario.waits or scenario.watch != "idle"


def _measures_the_deadline(run: PlannedRun) -> bool:
    return not run.outlasts and any(
        step.do.kind == "fault" and not UNANSWERED.isdisjoint(step.do.argument) for step in run.steps
    )
