from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance.config.model import Target
from machineid_conformance.engine.selection import Selection, SelectionError
from machineid_conformance.engine.stream import Request
from machineid_conformance.scenario.model import Scenario

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
