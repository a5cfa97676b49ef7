"""fail-closed/one-policy: what happens when nobody can ask does not depend on how, where or in which environment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from machineid_conformance.judge import deadlines
from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.deadlines import Deadline
from machineid_conformance.judge.rules.fail_closed_classes import CLASSES
from machineid_conformance.judge.rules.fail_closed_evidence import delivered, not_delivered, unpermitted
from machineid_conformance.judge.support import baseline_did_work_after, finding, kind_of_boundary
from machineid_conformance.trace.events import FaultDelivered

FAULTS = frozenset(name for row in CLASSES for name in row.faults)
LENIENT = frozenset(name for row in CLASSES if row.level == "SHOULD" for name in row.faults)
"""A target that takes a contradictory, redirected or mistyped answer for an allow violates that answer's rule alone."""


WORKS_ON = "works on"


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """What one run shows: at which kind of boundary, under which failure and environment, what the target did."""

    case: Case
    kind: str
    failure: str
    environment: str
    outcome: str
    at: int


class OnePolicy(Rule):
    """Compares runs, per kind of boundary; says which outcome is the rule and which runs are the exceptions."""

    id = "fail-closed/one-policy"
    level = "SHOULD"
    statement = (
        "The same outcome for every class, at every boundary, under every declared `variants` environment; per "
        "boundary kind, a webhook's startup excepted. The client's deadlines are the same at every kind of boundary."
    )
    applies_when = "always"
    source = "GUIDE Network failures, \"Do not allow 'it depends' behavior per team, per service, or per environment\""
    remedy = "Handle every failure of validate in one place, `except Exception: stop()`, with no switch beside it."

    def check(self, case: Case) -> Observation:
        """One run only shows an outcome; it counts if it shows one."""
        reaction = reaction_of(case)
        if isinstance(reaction, str):
            return Observation(outcome="uncounted", reason=reaction)
        return Observation(outcome="pass", notes=(_describe(reaction),))

    def conclude(self, cases: Sequence[Case], observed: Sequence[tuple[Case, Observation]]) -> tuple[Observation, ...]:
        """One failing observation for each kind of boundary at which outcomes differ, and one for deadlines that do."""
        reactions = [
            reaction
            for case, observation in observed
            if observation.outcome == "pass" and isinstance(reaction := reaction_of(case), Reaction)
        ]
        kinds = sorted({reaction.kind for reaction in reactions})
        said = (_differences([reaction for reaction in reactions if reaction.kind == kind]) for kind in kinds)
        found = (*said, _deadlines(cases))
        return tuple(Observation(outcome="fail", findings=findings) for findings in found if findings)

    def starved(self, counted: Sequence[Case]) -> str | None:
        """One failure in one environment shows no policy."""
        reactions = [reaction for case in counted if isinstance(reaction := reaction_of(case), Reaction)]
        if len({(reaction.failure, reaction.environment) for reaction in reactions}) < 2:
            return "fewer than two kinds of failure counted: nothing to compare"
        return None


def _deadlines(cases: Sequence[Case]) -> tuple[Finding, ...]:
    """One finding for each phase of a validate whose deadline depends on where or in which environment it is asked (GUIDE "Timeouts are
    short and consistent"): the longest beside the shortest.
    """
    by_run = {case.view.run: case for case in cases}
    environments = dict.fromkeys(_environment(case.view.started.environment) for case in cases)
    measured = [
        replace(deadline, boundary=f"{deadline.boundary}, {environment}" if environment else deadline.boundary)
        for environment in environments
        for deadline in deadlines.of(c for c in cases if _environment(c.view.started.environment) == environment)
        if deadline.boundary != deadlines.REGISTER
    ]
    worst: dict[str, tuple[Deadline, Deadline]] = {}
    for short, long in deadlines.differences(measured):
        known = worst.setdefault(short.phase, (short, long))
        if _gap(short, long) > _gap(*known):
            worst[short.phase] = short, long
    return tuple(
        finding(
            by_run[long.runs[0]],
            f"the deadline of a validate is not the same everywhere: {_waits(long)}, and {_waits(short)}",
            (by_run[long.runs[0]].view.faults[0].seq,),
            expected=_waits(short),
            got=_waits(long),
        )
        for short, long in worst.values()
    )


def _gap(short: Deadline, long: Deadline) -> float:
    return (long.seconds or long.at_least or 0.0) - (short.seconds or 0.0)


_PHASES = {
    "connect": "to connect",
    "read": "for an answer to begin",
    "silence": "for the next byte of an answer",
    "total": "for a whole answer",
}


def _waits(deadline: Deadline) -> str:
    seconds = (
        f"{deadline.seconds:.1f} s" if deadline.seconds is not None else f"more than {deadline.at_least or 0:.1f} s"
    )
    return f"{seconds} {_PHASES[deadline.phase]} ({deadline.boundary})"


def reaction_of(case: Case) -> Reaction | str:
    """What one run shows of the policy, or why it shows nothing."""
    faults = delivered(case, FAULTS)
    if not faults:
        return not_delivered(case, FAULTS)
    if not baseline_did_work_after(case):
        return "the fault-free run did no work after this boundary: nothing to stop"
    kind = kind_of_boundary(case, faults[0])
    if case.target.stimulus is not None and kind == "startup":
        return "a webhook may end or stay when it cannot ask at startup"
    outcome = _outcome(case, faults)
    if outcome == WORKS_ON and faults[0].fault in LENIENT:
        return f"the target took the answer ({faults[0].fault}) for an allow, which has a rule of its own"
    return Reaction(
        case=case,
        kind=kind,
        failure=faults[0].fault,
        environment=_environment(case.view.started.environment),
        outcome=outcome,
        at=faults[0].seq,
    )


def _outcome(case: Case, faults: Sequence[FaultDelivered]) -> str:
    if unpermitted(case, faults):
        return WORKS_ON
    first = faults[0].seq
    statuses = sorted(
        {stimulus.status for stimulus in case.view.stimuli if (stimulus.answered or 0) > first and stimulus.status}
    )
    if statuses:
        return f"answers {' and '.join(str(status) for status in statuses)}"
    if case.view.ended is not None and case.view.ended.reason == "gone":
        return "ends"
    alive = [process for process in case.view.processes if process.exited is None or process.exited.seq > first]
    if all(process.exited is not None and process.exited.by == "target" for process in alive):
        return "ends"
    return "stays, without work"


def _environment(environment: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(environment.items()))


def _describe(reaction: Reaction) -> str:
    where = f"{reaction.kind}, {reaction.failure}" + (f", {reaction.environment}" if reaction.environment else "")
    return f"{where}: {reaction.outcome}"


def _differences(reactions: Sequence[Reaction]) -> tuple[Finding, ...]:
    """One finding for each failure and environment whose outcome is not the most frequent one of this kind."""
    counts = Counter(reaction.outcome for reaction in reactions)
    usual = min(counts, key=lambda outcome: (-counts[outcome], outcome))
    findings: dict[tuple[str, str, str], Finding] = {}
    for reaction in reactions:
        if reaction.outcome != usual:
            findings.setdefault(
                (reaction.failure, reaction.environment, reaction.outcome),
                finding(
                    reaction.case,
                    f"the outcome depends on the failure: {_describe(reaction)}; elsewhere at this kind: {usual}",
                    (reaction.at,),
                    expected=usual,
                    got=reaction.outcome,
                ),
            )
    return tuple(findings.values())


RULES: tuple[Rule, ...] = (OnePolicy(),)
