"""The catalogue: every file loads, every rule is exercised, every fault class is there."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from fake_control_plane import faults
from machineid_conformance import resources
from machineid_conformance.judge.rules.fail_closed_classes import CLASSES
from machineid_conformance.scenario.load import load_catalogue
from machineid_conformance.scenario.model import Scenario
from machineid_conformance.scenario.needs import WORDS

ROOT = Path(__file__).parents[2]
RULE = re.compile(r"^\| `(?P<id>[a-z-]+/[a-z-]+)` \| (?P<cells>.*)\|$", re.MULTILINE)

CHANGES = ("revoke", "remove", "org-disable", "rotate-key", "plan-frozen", "downgrade")


@functools.cache
def rules() -> dict[str, str]:
    """Every rule of the manual, with the other cells of its row."""
    return {
        found["id"]: found["cells"] for found in RULE.finditer((ROOT / "docs" / "rules.md").read_text(encoding="utf-8"))
    }


@functools.cache
def catalogue() -> dict[str, Scenario]:
    return {scenario.id: scenario for scenario in load_catalogue(known_rules=rules())}


def test_every_file_loads_under_its_own_name() -> None:
    found = load_catalogue(known_rules=rules())

    assert found[0].id == "baseline"
    assert sorted(scenario.id for scenario in found) == sorted(
        path.stem for path in resources.scenarios().glob("*.yaml")
    )
    assert all(scenario.bundled and scenario.path and scenario.path.stem == scenario.id for scenario in found)


def test_every_rule_is_exercised() -> None:
    named = {rule for scenario in catalogue().values() for rule in scenario.rules}

    assert len(rules()) == 60
    assert set(rules()) - named == set()


def test_the_baseline_does_nothing() -> None:
    assert catalogue()["baseline"].steps == ()


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_comes_before_a_boundary_and_in_flight(change: str) -> None:
    at_boundary, in_flight = catalogue()[f"{change}-at-boundary"], catalogue()[f"{change}-in-flight"]

    assert (at_boundary.sweep, in_flight.sweep) == ("validate", "effect")
    assert [step.do for step in at_boundary.steps] == [step.do for step in in_flight.steps]
    assert {"stop/next-boundary", "stop/exits", "stop/no-orphans"} <= {*at_boundary.rules} & {*in_flight.rules}


def test_each_fail_closed_class_has_a_file() -> None:
    judged_elsewhere = {"fail-closed/short-timeout", "fail-closed/one-policy"}

    for rule in (rule for rule in rules() if rule.startswith("fail-closed/") and rule not in judged_elsewhere):
        scenario = catalogue()[rule.replace("/", "-")]
        assert scenario.rules[0] == rule
        assert "fail-closed/one-policy" in scenario.rules
        assert scenario.sweep == "validate"
        assert scenario.variants


def test_classes_without_an_http_answer_are_judged_by_what_is_logged() -> None:
    silent = {"refused", "dns", "reset", "hang", "tls", "slow-body"}
    logging = {"logging/failure", "logging/failure-reason"}

    for scenario in catalogue().values():
        if scenario.id.startswith("fail-closed-"):
            assert (logging <= set(scenario.rules)) == (scenario.id.removeprefix("fail-closed-") in silent)


def test_the_variants_of_a_class_are_the_manuals() -> None:
    def variants(scenario: str) -> list[tuple[str, object]]:
        return [(variant.fault, dict(variant.parameters)) for variant in catalogue()[scenario].variants]

    bodies = ("html", "empty", "json")
    assert variants("fail-closed-server-error") == [
        ("status", {"status": status, "body": body}) for status in (500, 502, 503, 504) for body in bodies
    ]
    assert [
        (found["status"], found["body"]) for _, found in variants("fail-closed-client-error") if isinstance(found, dict)
    ] == [(status, body) for status in (400, 401, 403, 404, 429) for body in bodies]
    assert variants("fail-closed-redirect") == [
        ("redirect", {"status": status, "to": to}) for status in (301, 302, 307, 308) for to in ("other-host", "itself")
    ]
    assert [found["value"] for _, found in variants("fail-closed-not-boolean") if isinstance(found, dict)] == [
        "false", "true", 0, 1, "deny", [], {},
    ]  # fmt: skip
    assert [found["body"] for _, found in variants("fail-closed-no-decision") if isinstance(found, dict)] == [
        "missing", "null", "array", "string",
    ]  # fmt: skip


def test_every_fault_that_a_rule_names_is_used() -> None:
    """The others are for scenarios of one's own: a catalogue that used them would judge an edition by what it does not name."""
    used = {variant.fault for scenario in catalogue().values() for variant in scenario.variants}
    for scenario in catalogue().values():
        for step in scenario.steps:
            if step.do.kind == "fault" and isinstance(step.do.argument, dict):
                used |= set(step.do.argument)

    named = {name for row in CLASSES for name in row.faults}
    assert used == named | {"latency"}  # under which work goes on
    assert used < set(faults.names())


def test_every_need_that_narrows_is_a_word_of_the_manual() -> None:
    manual = (resources.scenarios() / "README.md").read_text(encoding="utf-8")

    for word, need in WORDS.items():
        assert f"| `{word}` | {need.meaning} |" in manual


def test_the_manual_names_every_fault_and_its_parameters() -> None:
    manual = (resources.scenarios() / "README.md").read_text(encoding="utf-8")

    for name, kind in faults.kinds().items():
        row = re.search(rf"^\| `{name}` \|(.*)\|$", manual, re.MULTILINE)
        assert row is not None
        assert re.findall(r"`([a-z_]+)`", row[1]) == list(kind.parameters)
