"""Who judges the harness: what conforms reaches ``conforming``, what violates fails just what it violates.

``MACHINEID_MATRIX_ISOLATION=proxy`` judges what can be judged in proxy isolation, there; ``MACHINEID_MATRIX_JOBS`` is the number of
runs at a time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.matrix.catalogue import (
    CONFIG,
    Isolation,
    Violation,
    load_expectations,
    load_targets,
    load_violations,
    missing_programs,
    program_of,
    write_violations,
)
from tests.matrix.running import explain, of_target, run_scenarios, run_targets, statuses, unexpected

ISOLATION: Isolation = "proxy" if os.environ.get("MACHINEID_MATRIX_ISOLATION") == "proxy" else "namespace"
JOBS = int(os.environ["MACHINEID_MATRIX_JOBS"]) if "MACHINEID_MATRIX_JOBS" in os.environ else None
EXPECTED = load_expectations(ISOLATION)


def selected(request: pytest.FixtureRequest, test: str, parameter: str) -> list[Any]:
    """The values of a parameter that this session runs a test with."""
    return [
        item.callspec.params[parameter]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == test
    ]


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """results.json of the selected conforming targets, from one session of the harness: its waits run side by side."""
    names = [name for name in selected(request, "test_conforming", "name") if not missing_programs(name)]
    report = tmp_path_factory.mktemp("conforming") / "report"
    return run_targets(CONFIG, report, targets=names, isolation=ISOLATION, jobs=JOBS)


@pytest.fixture(scope="session")
def caught(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The same of the selected violating ones, each with the scenarios of its own rules."""
    folder: Path = tmp_path_factory.mktemp("violating")
    chosen = [one for one in selected(request, "test_violating", "violation") if not missing_programs(one.twin)]
    config = write_violations(chosen, folder)
    scenarios = {violation.name: violation.scenarios for violation in chosen}
    return run_scenarios(config, folder / "report", scenarios=scenarios, isolation=ISOLATION, jobs=JOBS)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", EXPECTED)
def test_conforming(name: str, judged: dict[str, Any], matrix: dict[str, dict[str, str]]) -> None:
    if missing_programs(name):
        pytest.skip(f"{' and '.join(missing_programs(name))} not found in PATH")
    target = of_target(judged, name)
    matrix[name] = statuses(target)
    different = unexpected(target, EXPECTED[name])
    assert not different, explain(target, different)
    assert target["verdict"] == "conforming", explain(target, set())


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("violation", load_violations(ISOLATION), ids=lambda violation: violation.name)
def test_violating(violation: Violation, caught: dict[str, Any], matrix: dict[str, dict[str, str]]) -> None:
    if missing_programs(violation.twin):
        pytest.skip(f"{' and '.join(missing_programs(violation.twin))} not found in PATH")
    target = of_target(caught, violation.name)
    matrix[violation.name] = statuses(target)
    different = unexpected(target, violation)
    assert not different, explain(target, different)


@pytest.mark.parametrize("name", load_targets())
def test_program_is_there(name: str) -> None:
    assert program_of(load_targets()[name]).is_file()
    assert name in load_expectations()
