"""The rules of the manual, of the registry, of the catalogue and of the runtimes are the same rules."""

from __future__ import annotations

import asyncio
import re
import tomllib
from pathlib import Path
from typing import Any

from fake_control_plane import faults
from fake_control_plane.fault_rules import parse
from fake_control_plane.faults.api import AnswerFault
from machineid_conformance.judge.registry import rules
from machineid_conformance.judge.rules.fail_closed_classes import CLASSES
from machineid_conformance.judge.rules.fail_closed_evidence import TRUTHFUL
from machineid_conformance.scenario.load import load_catalogue
from tests.fake_control_plane.virtual_client import ALLOW, Client

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<id>[a-z-]+/[a-z-]+)` \|(?P<cells>.*)\|$", re.MULTILINE)
LEVEL = re.compile(r"\b(MUST|SHOULD|report)\b")

NOT_OF_RUNTIMES = frozenset({"restore/org-disable-keeps-devices"})
"""MUSTs of the fake, which no runtime can violate."""


def manual() -> dict[str, str]:
    """Every rule of docs/rules.md with its level: the first that its row names in a cell of its own."""
    found = {}
    for row in ROW.finditer((ROOT / "docs" / "rules.md").read_text(encoding="utf-8")):
        cells = [cell.strip() for cell in row["cells"].split(" | ")]
        levels = [match[1] for cell in cells if (match := re.match(r"(MUST|SHOULD|report)\b", cell))]
        assert len(levels) == 1, row[0]
        found[row["id"]] = levels[0]
    return found


def toml(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / "tests" / path).read_text(encoding="utf-8"))


def test_the_registry_has_the_rules_of_the_manual_at_their_levels() -> None:
    # stop/latency is a report until `stop_within` makes it a MUST: the manual says the MUST first.
    levels = {name: rule.level for name, rule in rules().items()}
    assert levels == manual() | {"stop/latency": "report"}


def test_every_rule_is_named_by_a_scenario_and_no_scenario_names_another() -> None:
    named = {rule for scenario in load_catalogue() for rule in scenario.rules}
    assert named == set(manual())


def test_every_binding_rule_is_violated_by_a_runtime_and_no_runtime_violates_another() -> None:
    binding = {rule for rule, level in manual().items() if level in ("MUST", "SHOULD")} - NOT_OF_RUNTIMES
    violated = {rule for entry in toml("runtimes/violations.toml").values() for rule in entry["fails"]}
    assert violated == binding


def test_every_binding_rule_is_kept_by_a_conforming_runtime() -> None:
    """A rule that is excused for every target would be one that nothing ever passes."""
    expected = toml("matrix/expectations.toml")
    everywhere = set(expected.pop("all")["not-applicable"])
    expected.pop("proxy")
    binding = {rule for rule, level in manual().items() if level in ("MUST", "SHOULD")}
    kept: set[str] = set()
    for entry in expected.values():
        excused = (everywhere | set(entry.get("not-applicable", ()))) - set(entry.get("applies", ()))
        kept |= binding - excused - set(entry.get("inconclusive", ())) - set(entry.get("warn", ()))
    assert binding - kept == set()
    assert set(expected) == set(toml("runtimes/machineid-conformance.toml")["targets"])


def test_every_violation_is_of_a_target_and_of_scenarios_that_exist() -> None:
    targets = set(toml("runtimes/machineid-conformance.toml")["targets"])
    scenarios = {scenario.id for scenario in load_catalogue()}
    for name, entry in toml("runtimes/violations.toml").items():
        assert entry["twin"] in targets, name
        assert set(entry["scenarios"]) <= scenarios, name


def test_every_fault_that_a_rule_names_exists_and_is_in_the_catalogue() -> None:
    used = {variant.fault for scenario in load_catalogue() for variant in scenario.variants}
    for scenario in load_catalogue():
        for step in scenario.steps:
            if step.do.kind == "fault" and isinstance(step.do.argument, dict):
                used |= set(step.do.argument)
    assert used == {name for row in CLASSES for name in row.faults} | {"latency"}
    assert used < set(faults.names())


def decision_under(example: str) -> str:
    """What the answer under a fault says to a reader of its JSON, when the truth is an allow; else ``failure``."""
    (fault,) = parse(example, id="example").faults
    if not isinstance(fault, AnswerFault):
        return "failure"
    receipt = asyncio.run(fault.deliver(Client(answer=ALLOW, earlier=[ALLOW], leaves=1.0)))
    return receipt.answer.decision if receipt.delivered and receipt.answer is not None else "failure"


def test_the_judge_knows_under_which_faults_an_allow_is_a_permit() -> None:
    """Those whose delivered answer can be a whole allow (requirements.md, Words)."""
    examples = [kind.example for kind in faults.kinds().values()]
    examples += ["contradictory-code=true", "duplicate-field=true"]
    assert {re.split("[ =]", one)[0] for one in examples if decision_under(one) == "allow"} == TRUTHFUL
