"""The lists of runtimes against the rules: nothing is forgotten, and each violation is one change of its twin."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import pytest

from tests.matrix.catalogue import (
    EXPECTATIONS,
    Violation,
    change,
    load_expectations,
    load_targets,
    load_violations,
    program_of,
    write_violations,
)
from tests.matrix.running import table

RULES = Path(__file__).parents[2] / "docs" / "rules.md"
VIOLATIONS = load_violations()
# The first holds for the fake and not for a target.
NOT_A_RUNTIMES_FAULT = {"restore/org-disable-keeps-devices"}


def rules(*levels: str) -> set[str]:
    """The rule ids of the copy of the rules in ``docs``, of these levels."""
    found = set()
    for line in RULES.read_text(encoding="utf-8").splitlines():
        row = re.match(r"\| `([a-z-]+/[a-z-]+)` \|(.*)", line)
        if row and re.search(rf"\| *({'|'.join(levels)})\b", f"|{row[2]}"):
            found.add(row[1])
    return found


def test_every_rule_has_a_violating_runtime() -> None:
    assert rules("MUST", "SHOULD") - NOT_A_RUNTIMES_FAULT - {rule for v in VIOLATIONS for rule in v.fails} == set()


def test_only_known_rules_are_named() -> None:
    known = rules("MUST", "SHOULD", "report")
    expected = load_expectations().values()
    named = {rule for one in expected for rule in one.warn | one.not_applicable | one.inconclusive}
    assert len(known) > 50
    assert (named | {rule for violation in VIOLATIONS for rule in violation.fails}) - known == set()


def test_expectations_are_for_the_targets() -> None:
    assert list(load_expectations()) == list(load_targets()), EXPECTATIONS


@pytest.mark.parametrize("violation", VIOLATIONS, ids=lambda violation: violation.name)
def test_a_violation_is_one_change_of_its_twin(violation: Violation, tmp_path: Path) -> None:
    original = program_of(load_targets()[violation.twin])
    config = write_violations([violation], tmp_path)
    changed = (tmp_path / violation.name / original.name).read_text(encoding="utf-8")
    compile(changed, original.name, "exec")
    matcher = difflib.SequenceMatcher(
        None, original.read_text(encoding="utf-8").splitlines(), changed.splitlines(), autojunk=False
    )
    hunks = [opcode for opcode in matcher.get_opcodes() if opcode[0] != "equal"]
    changes = sum(max(a2 - a1, b2 - b1) for _, a1, a2, b1, b2 in hunks)
    assert 1 <= changes + len(violation.target) <= 4
    assert f"[targets.{violation.name}]" in config.read_text(encoding="utf-8")


def test_a_line_that_is_not_there_is_said() -> None:
    violation = Violation(
        name="x",
        twin="worker",
        replace="no such line",
        by="pass",
        scenarios=("baseline",),
        fails=frozenset({"startup/gate"}),
    )
    with pytest.raises(ValueError, match=r"violations\.toml, x: .* found 0 times"):
        change("a\nb\n", violation)


def test_the_table_names_each_rule_once() -> None:
    lines = table({"good": {"a/b": "pass", "c/d": "info"}, "bad": {"a/b": "fail", "e/f": "warn"}})
    assert lines[:3] == ["       1  2", "good   ✓  ·", "bad    ✗  !"]
    assert lines[4:6] == ["  1 a/b", "  2 e/f"]
