"""Who judges the harness: what conforms reaches ``conforming``, what violates fails just what it violates."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.catalogue import (
    CONFIG,
    Violation,
    load_expectations,
    load_targets,
    load_violations,
    program_of,
    write_violation,
)
from tests.matrix.running import explain, having, of_target, run_targets, statuses

TARGETS = load_targets()
EXPECTED = load_expectations()
NEEDS = {"curl-worker": ("curl", "jq"), "node-worker": ("node",)}


def missing(target: str) -> list[str]:
    """The programs that a target needs and this machine has not."""
    return [program for program in NEEDS.get(target, ()) if shutil.which(program) is None]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """results.json of the selected conforming targets, from one session of the harness: its waits run side by side."""
    selected = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_conforming"
    }
    names = [name for name in TARGETS if name in selected and not missing(name)]
    return run_targets(CONFIG, tmp_path_factory.mktemp("conforming") / "report", targets=names)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", TARGETS)
def test_conforming(name: str, judged: dict[str, Any], matrix: dict[str, dict[str, str]]) -> None:
    if missing(name):
        pytest.skip(f"{' and '.join(missing(name))} not found in PATH")
    target = of_target(judged, name)
    matrix[name] = statuses(target)
    expected = EXPECTED[name]
    failed = having(target, "fail")
    assert not failed, explain(target, failed)
    warned = having(target, "warn")
    assert warned == expected.warn, explain(target, warned ^ expected.warn)
    starved = having(target, "inconclusive")
    assert starved == expected.inconclusive, explain(target, starved ^ expected.inconclusive)
    left_out = having(target, "not-applicable")
    assert left_out == expected.not_applicable, explain(target, left_out ^ expected.not_applicable)
    assert target["verdict"] == "conforming", explain(target, set())


@pytest.mark.parametrize("violation", load_violations(), ids=lambda violation: violation.name)
def test_violating(violation: Violation, tmp_path: Path, matrix: dict[str, dict[str, str]]) -> None:
    if missing(violation.twin):
        pytest.skip(f"{' and '.join(missing(violation.twin))} not found in PATH")
    config = write_violation(violation, tmp_path)
    target = of_target(run_targets(config, tmp_path / "report", scenarios=violation.scenarios), violation.name)
    matrix[violation.name] = statuses(target)
    found = having(target, "fail", "warn")
    assert found == violation.fails, explain(target, found ^ violation.fails)


@pytest.mark.parametrize("name", TARGETS)
def test_program_is_there(name: str) -> None:
    assert program_of(TARGETS[name]).is_file()
    assert name in EXPECTED
