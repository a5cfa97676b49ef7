from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from machineid_conformance.config.model import Target
from machineid_conformance.engine.plan import BASELINE_RUNS, baseline_runs, runs_of, without_repeats
from machineid_conformance.judge.api import Baseline, Boundary
from machineid_conformance.judge.registry import rules
from machineid_conformance.scenario.load import load_catalogue
from machineid_conformance.scenario.model import Action, Moment, Scenario, Step, Variant


def target(**changes: object) -> Target:
    return Target(name="worker", command=("true",), cwd=Path("/"), **changes)  # type: ignore[arg-type]


def baseline(*kinds: str, effects: Sequence[str] = ("dequeue", "charge")) -> Baseline:
    return Baseline(
        boundaries=tuple(
            Boundary(n=n, kind=kind, device="d", covers=(), work_after=True) for n, kind in enumerate(kinds, 1)
        ),
        effect_labels=tuple(effects),
        effects_after=(True,) * len(effects),
        deterministic=True,
        registers=True,
        reaches_horizon=False,
    )


VARIANTS = tuple(
    Variant(id=str(status), fault="status", parameters={"status": status, "body": "json"}) for status in (500, 502)
)
FAULTS = Scenario(
    id="server-error",
    title="",
    rules=("fail-closed/server-error",),
    sweep="validate",
    steps=(
        Step(at=Moment(relation="before", subject="validate", n="each"), do=Action(kind="fault", argument="$variant")),
    ),
    variants=VARIANTS,
)
REVOKE = Scenario(
    id="revoke-in-flight",
    title="",
    rules=("stop/next-boundary",),
    sweep="effect",
    steps=(
        Step(at=Moment(relation="during", subject="effect", n="each"), do=Action(kind="revoke", argument="$device")),
    ),
)


def names(scenario: Scenario, of: Target, base: Baseline) -> list[str]:
    return [run.id for run in runs_of(scenario, of, base)]


def test_kinds_runs_every_variant_at_startup_and_at_the_first_boundary_of_each_kind_and_rotates_elsewhere() -> None:
    assert names(FAULTS, target(), baseline("startup", "task", "task", "side-effect", "task")) == [
        "worker/server-error/validate-1/500",
        "worker/server-error/validate-1/502",
        "worker/server-error/validate-2/500",
        "worker/server-error/validate-2/502",
        "worker/server-error/validate-3/500",
        "worker/server-error/validate-4/500",
        "worker/server-error/validate-4/502",
        "worker/server-error/validate-5/502",
    ]


def test_all_runs_every_variant_at_every_boundary() -> None:
    runs = names(FAULTS, target(sweep="all"), baseline("startup", "task", "task"))
    assert len(runs) == len(set(runs)) == 6


def test_classes_runs_one_variant_at_the_first_boundary_of_each_kind_and_rotates() -> None:
    assert names(FAULTS, target(sweep="classes"), baseline("startup", "task", "task", "side-effect", "task")) == [
        "worker/server-error/validate-1/500",
        "worker/server-error/validate-2/502",
        "worker/server-error/validate-4/500",
    ]


def test_classes_runs_what_has_no_variants_at_the_first_boundary_of_each_kind() -> None:
    revoke = replace(FAULTS, id="revoke", variants=())
    assert names(revoke, target(sweep="classes"), baseline("startup", "task", "task")) == [
        "worker/revoke/validate-1",
        "worker/revoke/validate-2",
    ]
    assert len(names(revoke, target(), baseline("startup", "task", "task"))) == 3


def test_classes_runs_the_first_effect_of_each_label() -> None:
    effects = ("dequeue", "charge", "dequeue", "charge", "mail")
    assert names(REVOKE, target(sweep="classes"), baseline("startup", effects=effects)) == [
        f"worker/revoke-in-flight/effect-{n}" for n in (1, 2, 5)
    ]


def test_classes_leaves_nothing_out_of_what_is_not_swept() -> None:
    once = replace(FAULTS, sweep="once")
    assert len(names(once, target(sweep="classes"), baseline("startup"))) == len(VARIANTS)


def test_the_variant_and_the_boundary_are_bound_into_the_steps() -> None:
    run = runs_of(FAULTS, target(), baseline("startup"))[1]
    assert (run.subject, run.n) == ("validate", 1)
    assert run.steps == (
        Step(
            at=Moment(relation="before", subject="validate", n=1),
            do=Action(kind="fault", argument={"status": {"status": 502, "body": "json"}}),
        ),
    )


def test_an_operator_sweeps_every_effect() -> None:
    assert names(REVOKE, target(), baseline("startup", effects=("dequeue", "charge", "dequeue"))) == [
        f"worker/revoke-in-flight/effect-{n}" for n in (1, 2, 3)
    ]


def test_each_declared_environment_is_a_run_of_its_own() -> None:
    scenario = Scenario(
        id="flags", title="", rules=(), sweep="once", steps=FAULTS.steps, variants=VARIANTS[:1], needs=("bypass-env",)
    )
    runs = runs_of(scenario, target(bypass_env=({"A": "1"}, {"B": "1"})), baseline("startup"))
    assert [(run.id, dict(run.environment)) for run in runs] == [
        ("worker/flags/500/environment-1", {"A": "1"}),
        ("worker/flags/500/environment-2", {"B": "1"}),
    ]


def test_only_scenarios_about_several_processes_start_more_than_one() -> None:
    other = Target(name="tool", command=("true",), cwd=Path("/"))
    several = Scenario(id="surgical", title="", rules=(), sweep="once", steps=REVOKE.steps, needs=("many-processes",))
    (run,) = runs_of(several, target(instances=3), baseline("startup"), companions=[other])
    assert (run.instances, run.companions) == (3, (other,))
    for run in runs_of(REVOKE, target(instances=3), baseline("startup"), companions=[other]):
        assert (run.instances, run.companions) == (1, ())


def test_the_baseline_is_run_several_times() -> None:
    runs = baseline_runs(target(), Scenario(id="baseline", title="", rules=(), sweep="once", steps=()))
    assert len(runs) == BASELINE_RUNS == len({run.id for run in runs})
    assert all(run.baseline and not run.faulty for run in runs)


ENVIRONMENTS = ({"MODE": "a"}, {"MODE": "b"})
BUNDLED = load_catalogue(known_rules=rules())


@pytest.mark.parametrize("scenario", BUNDLED, ids=lambda scenario: scenario.id)
@pytest.mark.parametrize("sweep", ["kinds", "classes", "all"])
def test_no_bundled_scenario_plans_a_run_twice(scenario: Scenario, sweep: str) -> None:
    of = target(sweep=sweep, devices=("one", "two"), bypass_env=ENVIRONMENTS, variants=ENVIRONMENTS, instances=2)
    for boundaries, effects in (
        (("startup",), ()),
        (("startup", "task", "side-effect"), ("dequeue", "charge", "dequeue", "charge")),
        (("startup", *12 * ["task"]), 30 * ["charge"]),
    ):
        runs = runs_of(scenario, of, baseline(*boundaries, effects=effects))
        assert without_repeats(runs) == (runs, {})


def test_a_fault_that_stands_twice_under_two_names_is_delivered_once() -> None:
    twice = (*VARIANTS, Variant(id="again", fault="status", parameters={"body": "json", "status": 500}))
    runs = runs_of(replace(FAULTS, variants=twice), target(), baseline("startup", "task"))
    kept, repeats = without_repeats(runs)
    assert [run.id for run in kept] == [
        "worker/server-error/validate-1/500",
        "worker/server-error/validate-1/502",
        "worker/server-error/validate-2/500",
        "worker/server-error/validate-2/502",
    ]
    assert repeats == {
        "worker/server-error/validate-1/again": "worker/server-error/validate-1/500",
        "worker/server-error/validate-2/again": "worker/server-error/validate-2/500",
    }


def test_a_default_that_is_written_out_is_no_other_fault() -> None:
    spelled = (
        Variant(id="plain", fault="slow-body"),
        Variant(id="spelled", fault="slow-body", parameters={"total": 30.0}),
    )
    runs = runs_of(replace(FAULTS, variants=spelled), target(), baseline("startup"))
    assert without_repeats(runs)[1] == {
        "worker/server-error/validate-1/spelled": "worker/server-error/validate-1/plain"
    }


def test_different_faults_are_never_left_out() -> None:
    near = tuple(Variant(id=str(total), fault="slow-body", parameters={"total": total}) for total in (29.0, 30.0, 31.0))
    runs = runs_of(replace(FAULTS, variants=near), target(), baseline("startup", "task"))
    assert without_repeats(runs) == (runs, {})


def test_an_environment_that_is_declared_twice_is_run_once() -> None:
    bypass = replace(FAULTS, id="bypass", needs=("bypass-env",), variants=VARIANTS[:1])
    of = target(bypass_env=({"FAIL_OPEN": "1"}, {"FAIL_OPEN": "true"}, {"FAIL_OPEN": "1"}))
    kept, repeats = without_repeats(runs_of(bypass, of, baseline("startup")))
    assert [run.environment for run in kept] == [{"FAIL_OPEN": "1"}, {"FAIL_OPEN": "true"}]
    assert len(repeats) == 1


def test_what_a_run_may_be_left_waiting_for_beyond_a_minute() -> None:
    def outlasts(fault: str, **parameters: object) -> float:
        variants = (Variant(id="v", fault=fault, parameters=parameters),)
        (run, *_) = runs_of(replace(FAULTS, variants=variants), target(), baseline("startup"))
        return run.outlasts

    assert outlasts("hang") == outlasts("slow-body") == outlasts("late-allow") == outlasts("refuse") == 0
    assert outlasts("hang", seconds=600) == 540
    assert outlasts("slow-body", total=600) == 540
    assert outlasts("handshake-hang", seconds=90) == 30
    assert outlasts("latency", seconds=50, ramp=10, most=100) == 40
    assert baseline_runs(target(), replace(FAULTS, steps=()))[0].outlasts == 0
