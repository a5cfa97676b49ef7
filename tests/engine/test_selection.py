from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance.config.model import Target
from machineid_conformance.engine.plan import runs_of
from machineid_conformance.engine.selection import Selection, SelectionError
from machineid_conformance.engine.stream import Request
from machineid_conformance.judge.api import Baseline
from machineid_conformance.scenario.model import Scenario, Variant

TARGETS = [Target(name=name, command=("true",), cwd=Path("/")) for name in ("worker", "tool")]
SCENARIOS = [
    Scenario(id="revoke-at-boundary", title="", rules=("stop/next-boundary",), sweep="once", steps=()),
    Scenario(id="fail-closed-hang", title="", rules=("fail-closed/hang",), sweep="once", steps=()),
]


def select(**fields: object) -> Selection:
    return Selection(request=Request(root="/", **fields))  # type: ignore[arg-type]


def test_nothing_asked_for_is_everything() -> None:
    selection = select()
    assert selection.everything
    assert [target.name for target in selection.targets(TARGETS)] == ["worker", "tool"]
    assert all(selection.scenario("worker", scenario) for scenario in SCENARIOS)


def test_an_unknown_target_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(SelectionError, match=r"--target wroker: no such target; did you mean worker\?"):
        select(targets=("wroker",)).targets(TARGETS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scenario_globs": ("revoke-at-boundry",)}, "did you mean revoke-at-boundary"),
        ({"rules": ("stop/next",)}, "did you mean stop/next-boundary"),
    ],
)
def test_a_glob_that_matches_nothing_is_an_error(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        select(**fields).check(SCENARIOS, ["stop/next-boundary", "fail-closed/hang"])


def test_globs_choose_scenarios_by_id_and_by_rule() -> None:
    by_id = select(scenario_globs=("revoke-*",))
    by_rule = select(rules=("fail-closed/*",))
    assert [by_id.scenario("worker", scenario) for scenario in SCENARIOS] == [True, False]
    assert [by_rule.scenario("worker", scenario) for scenario in SCENARIOS] == [False, True]
    assert not by_id.everything
    assert not by_rule.everything


def test_a_list_of_scenarios_for_each_target_chooses_the_targets_too() -> None:
    selection = select(scenarios={"tool": ("fail-closed-hang",)})
    assert [target.name for target in selection.targets(TARGETS)] == ["tool"]
    assert [selection.scenario("tool", scenario) for scenario in SCENARIOS] == [False, True]


FLAGS = Scenario(
    id="flags",
    title="",
    rules=(),
    sweep="once",
    steps=(),
    variants=(Variant(id="hang", fault="hang", parameters={}), Variant(id="reset", fault="reset", parameters={})),
    needs=("bypass-env",),
)
WITHOUT_CALLS = Baseline(
    boundaries=(), effect_labels=(), effects_after=(), deterministic=True, registers=True, reaches_horizon=False
)  # fmt: skip


def flagged(*environments: dict[str, str]) -> Target:
    return Target(name="worker", command=("true",), cwd=Path("/"), bypass_env=environments)


def test_a_run_under_one_environment_can_be_selected_singly() -> None:
    """An environment that changes nothing is one of them too."""
    runs = runs_of(FLAGS, flagged({"FAIL_OPEN": "1"}, {}, {"SKIP": "1"}), WITHOUT_CALLS)
    assert len({run.id for run in runs}) == 6
    selection = select(environment=2, variant="reset")
    assert [run.id for run in runs if selection.run(run)] == ["worker/flags/reset/environment-2"]
    assert not select(environment=2).everything


def test_an_environment_leaves_runs_without_one_alone() -> None:
    (run,) = runs_of(SCENARIOS[0], flagged({"FAIL_OPEN": "1"}), WITHOUT_CALLS)
    assert run.environment_number is None
    assert select(environment=1).run(run)


def test_an_environment_that_no_target_declares_is_an_error() -> None:
    with pytest.raises(SelectionError, match=r"--environment 1: .* has 0 environments; declare some, or leave it out"):
        select(environment=1).targets(TARGETS)
    with pytest.raises(SelectionError, match=r"--environment 3: .* give a number from 1 to 2"):
        select(environment=3).targets([flagged({"A": "1"}, {"B": "1"})])


def test_a_variant_that_no_scenario_has_is_an_error_that_names_the_nearest() -> None:
    select(variant="hang").check([FLAGS], [])
    with pytest.raises(SelectionError, match=r"--variant hagn: no scenario has such a variant; did you mean hang\?"):
        select(variant="hagn").check([FLAGS], [])
