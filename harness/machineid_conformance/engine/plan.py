"""From scenarios and a baseline to runs: pure, so that the number of runs can be said before they start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fake_control_plane import faults
from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline
from machineid_conformance.scenario.model import Action, Scenario, Step, Variant

BASELINE_RUNS = 3
"""Three times the same: it says whether the target is deterministic (design.md, Baseline)."""


@dataclass(frozen=True, kw_only=True)
class PlannedRun:
    """One case: a scenario, bound to a boundary, a variant and an environment.

    ``steps`` have their ``each`` and ``$variant`` filled in. ``companions`` are the other targets of the group that live in
    the same org; ``instances`` how many processes of the target itself.
    """

    id: str
    target: Target
    scenario: Scenario
    steps: tuple[Step, ...]
    subject: str | None = None
    n: int | None = None
    variant: Variant | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    environment_number: int | None = None  # which of the declared environments, from 1
    companions: tuple[Target, ...] = ()
    instances: int = 1
    baseline: bool = False

    @property
    def faulty(self) -> bool:
        """Whether the run does anything to the target that a fault-free run does not."""
        return bool(self.steps)

    @property
    def withholds(self) -> float:
        """Target seconds for which a fault may leave the target waiting for an answer, or for a handshake."""
        made = (
            faults.make(name, parameters or {})
            for step in self.steps
            if step.do.kind == "fault"
            for name, parameters in step.do.argument.items()
        )
        return max((fault.lasts for fault in made), default=0.0)

    @property
    def outlasts(self) -> float:
        """By how much that is more than the 60 s in which a client has to give up."""
        return max(0.0, self.withholds - 60.0)


def baseline_runs(target: Target, scenario: Scenario) -> tuple[PlannedRun, ...]:
    """The fault-free runs of a target."""
    return tuple(
        PlannedRun(
            id=f"{target.name}/{scenario.id}/{number}", target=target, scenario=scenario, steps=(), baseline=True
        )
        for number in range(1, BASELINE_RUNS + 1)
    )


def runs_of(
    scenario: Scenario, target: Target, baseline: Baseline, *, companions: Sequence[Target] = ()
) -> tuple[PlannedRun, ...]:
    """Every run of one scenario, boundary by boundary.

    A sweep over validates with variants follows ``target.sweep``: with ``kinds`` every variant at startup and at the first later
    boundary of each kind, and one variant, rotating, at the others; with ``all`` every variant at every boundary. With both, a sweep
    without variants (a revoke) is complete, and so is one over effects. ``classes`` is for a quick answer: one variant, rotating, at
    startup and at the first later boundary of each kind, and the first effect of each label; at the others, nothing.
    """
    many = "many-processes" in scenario.needs
    template = PlannedRun(
        id="",
        target=target,
        scenario=scenario,
        steps=(),
        companions=tuple(companions) if many else (),
        instances=target.instances if many else 1,
    )
    runs = []
    for n, variant in _cases(scenario, target, baseline):
        for number, environment in _environments(scenario, target):
            parts = [target.name, scenario.id]
            if n is not None:
                parts.append(f"{scenario.sweep}-{n}")
            if variant is not None:
                parts.append(variant.id)
            if number is not None:
                parts.append(f"environment-{number}")
            runs.append(
                replace(
                    template,
                    id="/".join(parts),
                    steps=tuple(_bind(step, n, variant) for step in scenario.steps),
                    subject=None if n is None else scenario.sweep,
                    n=n,
                    variant=variant,
                    environment=environment,
                    environment_number=number,
                )
            )
    return tuple(runs)


def without_repeats(runs: Sequence[PlannedRun]) -> tuple[tuple[PlannedRun, ...], Mapping[str, str]]:
    """The runs that differ, and of each that is left out its id and the id of the one that it would repeat (design.md, *Sweep*).

    Runs of one scenario repeat each other when the same steps are bound to the same moments, with equal faults, under equal environments:
    then equal requests get equal answers. Two boundaries never coincide, because a sweep binds at least one step to its boundary
    (``scenario.load``); and no bundled scenario has two variants that are one fault. So what is found here was written twice by a user:
    variants under two ids, or two tables of ``variants`` or ``bypass_env``.
    """
    kept = list[PlannedRun]()
    keys = list[object]()
    repeats = dict[str, str]()
    for run in runs:
        key = (tuple(map(_done, run.steps)), dict(run.environment))
        if key in keys:
            repeats[run.id] = kept[keys.index(key)].id
        else:
            kept.append(run)
            keys.append(key)
    return tuple(kept), repeats


def _done(step: Step) -> object:
    """The step, its fault as it will be delivered: parameters that are left out and parameters at their default are the same."""
    if step.do.kind != "fault":
        return step
    ((name, parameters),) = step.do.argument.items()
    return step.at, step.until, faults.make(name, parameters or {})


def _cases(scenario: Scenario, target: Target, baseline: Baseline) -> Iterable[tuple[int | None, Variant | None]]:
    variants: Sequence[Variant | None] = scenario.variants or (None,)
    if scenario.sweep == "once":
        for variant in variants:
            yield None, variant
        return
    kinds: Iterable[tuple[int, str]] = (
        enumerate(baseline.effect_labels, 1)
        if scenario.sweep == "effect"
        else ((boundary.n, boundary.kind) for boundary in baseline.boundaries)
    )
    whole = target.sweep == "all" or (target.sweep == "kinds" and scenario.sweep == "effect")
    seen: set[str] = set()
    rotation = 0
    for n, kind in kinds:
        first = kind not in seen
        seen.add(kind)
        if whole or (first and target.sweep == "kinds"):
            for variant in variants:
                yield n, variant
        elif first or target.sweep == "kinds":
            yield n, variants[rotation % len(variants)]
            rotation += 1


def _environments(scenario: Scenario, target: Target) -> Iterable[tuple[int | None, Mapping[str, str]]]:
    """The environments that the scenario runs under, each with its number; without a number: the target's own."""
    if "bypass-env" in scenario.needs:
        return enumerate(target.bypass_env, 1)
    if "variants" in scenario.needs:
        return enumerate(target.variants, 1)
    return ((None, {}),)


def _bind(step: Step, n: int | None, variant: Variant | None) -> Step:
    at = replace(step.at, n=n) if step.at.n == "each" and n is not None else step.at
    do = step.do
    if variant is not None and do.kind == "fault" and do.argument == "$variant":
        do = Action(kind="fault", argument={variant.fault: dict(variant.parameters)})
    return replace(step, at=at, do=do)
