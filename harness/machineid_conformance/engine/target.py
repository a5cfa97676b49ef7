"""All runs of one target: baselines, plan, runs, verdict."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime

from machineid_conformance.config import templates
from machineid_conformance.config.model import Match, Target
from machineid_conformance.engine.plan import PlannedRun, baseline_runs, runs_of
from machineid_conformance.engine.results import observation_json, target_json
from machineid_conformance.engine.run import Ran, Run, Session, SetupError
from machineid_conformance.engine.selection import Selection
from machineid_conformance.engine.slots import Slots
from machineid_conformance.engine.stream import Message
from machineid_conformance.judge import verdict
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.baseline import build
from machineid_conformance.judge.view import RunView
from machineid_conformance.scenario.model import Scenario
from machineid_conformance.scenario.needs import missing
from machineid_conformance.trace.events import ControlFailed, EffectStarted, FaultDelivered
from machineid_conformance.trace.reader import read

HOLD_WITHOUT_DEADLINE = 0.3
"""Seconds that a validate is held where no run has measured the client's deadline."""
UNANSWERED = ("hang", "late-allow")
"""The faults under which a client waits for the first byte until its own deadline."""
HOLD_AT_MOST = 1.0
"""Longer does not show more: work that does not wait for its decision starts at once."""

Emit = Callable[[Message], None]


@dataclass(kw_only=True)
class Judged:
    """A run that was judged: its record for results.json, its case and what each rule says."""

    ran: Ran
    case: Case
    observations: Mapping[str, Observation]


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
    serial: asyncio.Lock = field(default_factory=asyncio.Lock)
    baseline: Baseline | None = None
    judged: dict[str, Judged] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    complete: bool = True

    async def judge(self) -> dict[str, object]:
        """Run everything that the selection wants of this target.

        Raises:
            SetupError, IsolationError: nothing can be judged.
        """
        base = next(scenario for scenario in self.scenarios if not scenario.steps and scenario.id == "baseline")
        async with asyncio.TaskGroup() as group:  # one that fails ends the others before anything they use is closed
            tasks = [group.create_task(self._execute(plan)) for plan in baseline_runs(self.target, base)]
        ran = [task.result() for task in tasks]
        views = [RunView.of(read(one.trace)) for one in ran]
        self.baseline = build(views, self.target)
        for one in ran:
            self._judge(one)
        self._done(base, [one.run for one in ran])
        if self.baseline.diagnosis is None:
            await self._sweep(base)
        else:
            self.emit(Message(kind="notice", payload={"target": self.target.name, "text": self.baseline.diagnosis}))
            self.left_out = {
                scenario.id: self.baseline.diagnosis for scenario in self.scenarios if scenario is not base
            }
            self.emit(self._planned({base.id: len(ran)}))
        return self._conclude()

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
            )
            if reason is not None:
                self.left_out[scenario.id] = reason
                continue
            runs = runs_of(scenario, self.target, self.baseline, companions=self.companions)
            chosen = tuple(run for run in runs if self.selection.run(run))
            self.complete &= len(chosen) == len(runs)
            if chosen:
                plans[scenario.id] = chosen
            else:
                self.left_out[scenario.id] = "the baseline has nothing to pin it to" if not runs else "not selected"
        self.emit(self._planned({base.id: len(self.judged)} | {name: len(runs) for name, runs in plans.items()}))
        # What holds a validate for a share of the client's deadline needs the deadline to be known.
        first = [runs for runs in plans.values() if not _holds(runs[0].scenario)]
        later = [runs for runs in plans.values() if _holds(runs[0].scenario)]
        await self._run_all(first)
        await self._run_all(later)

    async def _run_all(self, plans: Iterable[tuple[PlannedRun, ...]]) -> None:
        # The longest waits first: they run beside all others.
        ordered = sorted(plans, key=lambda runs: not (runs[0].scenario.waits or runs[0].scenario.watch != "idle"))
        async with asyncio.TaskGroup() as group:
            for runs in ordered:
                group.create_task(self._run_scenario(runs))

    async def _run_scenario(self, runs: tuple[PlannedRun, ...]) -> None:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(self._run_and_judge(run))
        self._done(runs[0].scenario, runs)

    async def _run_and_judge(self, plan: PlannedRun) -> None:
        self._judge(await self._execute(plan))

    # -- one run ---------------------------------------------------------------------------------------------------------

    async def _execute(self, plan: PlannedRun) -> Ran:
        # A run that must wait for its turn waits before it takes a place: the other targets' runs go on meanwhile.
        one_by_one = self.target.serial or self.target.workdir == "shared" or self._port_is_shared
        async with self.serial if one_by_one else nullcontext(), self.slots.taken() as release:
            return await self._run(plan, release)

    @property
    def _port_is_shared(self) -> bool:
        """In proxy isolation a port that ``listen`` fixes is this machine's, and belongs to one run at a time."""
        stimulus = self.target.stimulus
        return stimulus is not None and self.session.mode == "proxy" and "port" not in templates.words(stimulus.listen)

    async def _run(self, plan: PlannedRun, release: Callable[[], None]) -> Ran:
        self.emit(
            Message(
                kind="run-started",
                payload={
                    "target": self.target.name, "run": plan.id, "scenario": plan.scenario.id, "boundary": plan.n,
                    "variant": plan.variant.id if plan.variant else None,
                },
            )
        )  # fmt: skip
        baseline = self.baseline
        run = Run(
            plan,
            self.session,
            default_device=next((b.device for b in baseline.boundaries if b.device), None) if baseline else None,
            registers=baseline.registers if baseline else True,
            hold_for=self._hold_for,
            release=release,
        )
        return await run.execute()

    def _hold_for(self, share: float) -> float:
        deadline = self.deadline()
        return HOLD_WITHOUT_DEADLINE if deadline is None else min(share * deadline, HOLD_AT_MOST)

    def deadline(self) -> float | None:
        """The shortest time, in target seconds, after which the client gave up on a validate that was never answered.

        Of one run the longest counts: with several calls under way, the end of one cancels the others early.
        """
        waits = []
        for judged in self.judged.values():
            events = judged.case.view.events
            if any(isinstance(event, FaultDelivered) and event.fault in UNANSWERED for event in events):
                gave_up = [
                    event.waited
                    for event in events
                    if isinstance(event, ControlFailed) and event.how == "gave-up" and event.operation == "validate"
                ]
                waits += [max(wait for wait in gave_up if wait is not None)] if any(gave_up) else []
        return min(waits, default=None)

    # -- judging ---------------------------------------------------------------------------------------------------------

    def _judge(self, ran: Ran) -> None:
        assert self.baseline is not None
        events = read(ran.trace)
        case = Case(view=RunView.of(events), target=self.target, baseline=self.baseline, profile=self.target.profile)
        observations = verdict.judge_run(case, self.rules)
        self.judged[ran.run.id] = Judged(ran=ran, case=case, observations=observations)
        plan = ran.run
        self.emit(
            Message(
                kind="run-judged",
                payload={
                    "target": self.target.name, "run": plan.id, "scenario": plan.scenario.id, "subject": plan.subject,
                    "boundary": plan.n, "variant": plan.variant.id if plan.variant else None, "seconds": ran.seconds,
                    "wall_seconds": ran.wall_seconds, "trace": self._trace_name(ran),
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

    def _planned(self, counts: Mapping[str, int]) -> Message:
        return Message(
            kind="planned",
            payload={
                "target": self.target.name, "runs": sum(counts.values()), "scenarios": dict(counts),
                "left_out": self.left_out, "isolation": self.session.mode,
            },
        )  # fmt: skip

    def _conclude(self) -> dict[str, object]:
        assert self.baseline is not None
        judged = [self.judged[name] for name in sorted(self.judged)]
        diagnosis = self.baseline.diagnosis
        problems = [diagnosis] if diagnosis is not None else self._unmatched_rules(judged)
        results = verdict.conclude(
            [(one.case, one.observations) for one in judged], self.rules, self.target, self.baseline,
        )  # fmt: skip
        today = datetime.now(tz=UTC).date()
        results = verdict.apply_strict(results, strict=self.target.strict)
        results = verdict.apply_xfail(results, self.target, today)
        complete = self.complete and self.selection.everything
        outcome = verdict.target_verdict(results, strict=self.target.strict)
        if outcome == "conforming" and (problems or not complete):
            outcome = "inconclusive"
        record = target_json(
            self.target, judged, results, self.baseline, verdict=outcome, isolation=self.session.mode,
            trace_name=self._trace_name, left_out=self.left_out, problems=problems, complete=complete,
            deadline=self.deadline(), xfail_problems=verdict.xfail_problems(results, self.target, today),
            at_high=verdict.at_high([one.case for one in judged], self.target, self.baseline, self.rules),
        )  # fmt: skip
        self.emit(Message(kind="target-judged", payload={"target": record}))
        return record

    def _unmatched_rules(self, judged: Sequence[Judged]) -> list[str]:
        """An effect rule that matches nothing in any run is a mistake in the configuration until shown otherwise."""
        effects = [
            event
            for one in judged
            for event in one.case.view.events
            if isinstance(event, EffectStarted)
            and event.instance <= one.ran.run.instances  # others follow their own rules
        ]
        matched = {event.rule for event in effects}
        seen = sorted({event.label for event in effects} | {_request(event) for event in effects if event.method})
        problems = []
        for number, rule in enumerate(self.target.effects):
            if number in matched or (rule.role in ("log", "release", "ignore") and not self.selection.everything):
                continue
            wanted = _words(rule.match)
            near = difflib.get_close_matches(wanted, seen, n=1, cutoff=0.0)
            problems.append(
                f"effects[{number}] of target {self.target.name!r} ({wanted}) matched nothing in any run; "
                + (f"the nearest request seen is {near[0]}" if near else "no effect was seen at all")
            )
        return problems


def _words(match: Match) -> str:
    """What a match looks for, as a request or connection would be written."""
    other = match.tcp or match.file or match.stdout or ("smtp" if match.smtp else None)
    if other is not None:
        return other
    body = f" with {match.body!r} in its body" if match.body else ""
    return f"{match.method or '*'} {match.host or '*'}{match.path or ''}{body}"


def _request(event: EffectStarted) -> str:
    return f"{event.method} {event.host}{(event.path or '').split('?')[0]}"


def _holds(scenario: Scenario) -> bool:
    return any(step.do.kind == "hold" for step in scenario.steps)


__all__ = ["Judged", "SetupError", "TargetSession"]
