"""No pass without a receipt: where a fault does not reach the target, the run counts for nothing.

Three sessions of the real engine on the same target and the same scenarios, one for each fault there is: in the first every
fault is delivered (so that the others show something), in the second the target gets the truth instead, in the third it was gone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fake_control_plane import faults
from fake_control_plane.fault_rules import parse
from machineid_conformance.judge.registry import rules
from machineid_conformance.judge.rules.fail_closed_evidence import TRUTHFUL
from machineid_conformance.scenario.load import load_catalogue
from machineid_conformance.scenario.model import Scenario
from tests.end_to_end.support import WORKER, Judged, config, engine

ENGINE = Path(__file__).with_name("prevented_engine.py")
PREFIX = "just-"
CATALOGUE = load_catalogue()
OUTAGES = (
    "startup-unreachable",
    "outage-ends",
    "outage-flapping",
    "outage-lasts",
    "outage-with-bypass-flags",
    "policy-variants",
)
KEYS = """
grace_window = "1s"
bypass_env = [{ FAIL_OPEN = "1" }]
variants = [{ APP_ENV = "prod" }]
"""
ALWAYS = frozenset(rule for rule, checker in rules().items() if checker.always)
"""Rules that a run without any fault is judged by as well: that they count says nothing of a fault."""


def faults_of(scenario: Scenario) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The faults of a scenario, each with the first variant that delivers it."""
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for variant in scenario.variants:
        found.setdefault(variant.fault, (variant.id, variant.parameters))
    for step in scenario.steps:
        if step.do.kind == "fault" and isinstance(step.do.argument, dict):
            ((name, parameters),) = step.do.argument.items()
            found.setdefault(name, (name, parameters))
    return found


def alone(name: str, *, sweep: bool) -> dict[str, Any]:
    """A scenario of this one fault, with the rules of the catalogue's own scenario for it, the one with the fewest faults: at each
    boundary, or at the task's alone.

    A fault that no rule names has none there: it is judged as an outage, or, if it leaves a decision in the answer, as latency.
    """
    catalogue = [scenario for scenario in CATALOGUE if name in faults_of(scenario)]
    of_its_own = [scenario for scenario in catalogue if scenario.id.startswith(("fail-closed", "latency"))]
    if of_its_own:
        scenario = min(of_its_own, key=lambda one: len(faults_of(one)))
        variant, parameters = faults_of(scenario)[name]
    else:
        like = "latency-below-deadline" if name in TRUTHFUL else "outage-lasts"
        scenario = next(one for one in CATALOGUE if one.id == like)
        (fault,) = parse(faults.kinds()[name].example, id=name).faults
        variant, parameters = name, vars(fault)
    return {
        "id": PREFIX + name,
        "title": scenario.title,
        # no-hammering counts after any refusal: it needs no receipt, and says nothing of one.
        "rules": [rule for rule in scenario.rules if rule != "degraded/no-hammering"],
        "sweep": "validate" if sweep else "once",
        "needs": list(scenario.needs),
        "waits": scenario.waits,
        "variants": [{"id": variant, "fault": {name: dict(parameters)}}],
        "steps": [{"at": {"before": "validate", "n": "each" if sweep else 2}, "do": {"fault": "$variant"}}],
    }


SCENARIOS = {name: alone(name, sweep=True) for name in faults.names()}
AT_THE_TASK = {name: alone(name, sweep=False) for name in faults.names()}
"""Where nothing is delivered, one boundary is like the other."""


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    """What the engine made of it with nothing prevented, with the truth told, and with each client gone."""
    return {
        mode: engine(
            tmp_path_factory.mktemp(mode),
            config(KEYS, top='scenarios = ["own/*.yaml"]'),
            {"worker.py": WORKER} | {f"own/{name}.yaml": json.dumps(one) for name, one in scenarios.items()},
            command=(sys.executable, str(ENGINE), mode),
            scenario_globs=[f"{PREFIX}*", *OUTAGES],
        )
        for mode, scenarios in (("nothing", SCENARIOS), ("truth", AT_THE_TASK), ("gone", AT_THE_TASK))
    }


def runs_of(session: Judged, scenario: str) -> list[str]:
    found = [run["id"] for run in session.target["runs"] if run["scenario"] == scenario]
    assert found, (scenario, session.target["left_out"], session.stderr)
    return found


def receipts(session: Judged, run: str) -> list[str]:
    return [event["fault"] for event in session.traces[run] if event["event"] == "fault-delivered"]


@pytest.mark.parametrize("name", faults.names())
def test_a_fault_that_is_delivered_counts(name: str, sessions: dict[str, Judged]) -> None:
    session = sessions["nothing"]
    runs = runs_of(session, PREFIX + name)
    assert len(runs) == 2  # startup, and before the job
    for run in runs:
        assert name in receipts(session, run)
    for rule in set(SCENARIOS[name]["rules"]) - ALWAYS:
        row = session.rules[rule]
        assert row["status"] == "pass", row
        assert rule == "fail-closed/one-policy" or not set(runs).isdisjoint(row["counted"]), row


@pytest.mark.parametrize("mode", ["truth", "gone"])
@pytest.mark.parametrize("name", faults.names())
def test_a_fault_that_is_not_delivered_counts_for_nothing(name: str, mode: str, sessions: dict[str, Judged]) -> None:
    session = sessions[mode]
    for run in runs_of(session, PREFIX + name):
        assert receipts(session, run) == []
        named = set(SCENARIOS[name]["rules"]) - ALWAYS
        counted = {rule for rule in named if run in session.rules[rule]["counted"]}
        assert counted == set()
        unsaid = {rule for rule in named if run not in {one["run"] for one in session.rules[rule]["uncounted"]}}
        assert unsaid - {"fail-closed/one-policy"} == set()  # which is judged over all runs
    for rule in set(SCENARIOS[name]["rules"]) - ALWAYS:
        row = session.rules[rule]
        assert row["status"] == "inconclusive", row
        assert row["reason"], row


@pytest.mark.parametrize("scenario", OUTAGES)
def test_an_outage_that_did_not_happen_counts_for_nothing(scenario: str, sessions: dict[str, Judged]) -> None:
    named = next(one.rules for one in load_catalogue() if one.id == scenario)
    for rule in set(named) - ALWAYS:
        assert set(runs_of(sessions["nothing"], scenario)) & set(sessions["nothing"].rules[rule]["counted"]) or (
            rule in ("fail-closed/one-policy", "degraded/fresh-allow")
        )
        for mode in ("truth", "gone"):
            row = sessions[mode].rules[rule]
            assert set(runs_of(sessions[mode], scenario)).isdisjoint(row["counted"]), row
            assert row["status"] in ("inconclusive", "not-applicable"), row


def test_whatever_was_prevented_the_target_is_not_conforming(sessions: dict[str, Judged]) -> None:
    for mode in ("truth", "gone"):
        assert sessions[mode].results["verdict"] == "inconclusive"
        assert sessions[mode].exit == 3
