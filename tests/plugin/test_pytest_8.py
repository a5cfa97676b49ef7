"""pytest 8, which has no subtests of its own: an item's runs are sections of it, and its failure says all."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance.scenario.load import load_catalogue

Repository = Any

ITEMS = len(load_catalogue()) + 1
"""A scenario each, and the verdict."""
FAILING = {"scenario": "revoke-at-boundary", "rule": "stop/next-boundary"}
ITEM = "machineid-conformance.toml::worker::revoke-at-boundary"


@pytest.fixture(scope="session")
def pytest_8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pytest 8 and all that it needs, which goes before what is installed."""
    folder = tmp_path_factory.mktemp("pytest-8")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"),
            *("--target", str(folder), "pytest>=8,<9"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        said = f"pytest 8 cannot be installed: {done.stderr.strip().splitlines()[-1:]}"
        if os.environ.get("MACHINEID_TEST_REQUIRE_ALL") == "1":
            pytest.fail(said)
        pytest.skip(said)
    return folder


@pytest.fixture
def old(repository: Repository, pytest_8: Path) -> Repository:
    """The repository, whose pytest is 8."""
    repository.before = str(pytest_8)
    return repository


def test_a_conforming_session(old: Repository) -> None:
    done = old.pytest("--machineid-conformance", "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pytest-8." in done.stdout
    assert f"{ITEM} PASSED" in done.stdout
    assert f"{ITEMS} passed" in done.stdout
    assert "verdict       CONFORMING" in done.stdout


@pytest.mark.parametrize("ci", ["true", ""])
def test_a_failure_says_all_in_the_item(old: Repository, tmp_path: Path, ci: str) -> None:
    """What pytest 9 says of each subtest stands in the item: the rule in full, the trace, the command, and the runs that pass."""
    old.play(fail=[{**FAILING, "boundary": 2}])
    environment = {"CI": ci, "BUILD_NUMBER": ""}
    done = old.pytest("--machineid-conformance", f"--junitxml={tmp_path / 'junit.xml'}", environment=environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "pytest-8." in done.stdout
    above, _, below = done.stdout.partition("short test summary info")
    assert "1 of 2 runs violate stop/next-boundary" in above
    assert above.count("  expected    no work after the deny of line 6") == 1
    assert above.count(">    8    0.070s  target        effect 1: POST api.example/charge") == 1
    assert "--machineid-scenario revoke-at-boundary --machineid-boundary 2" in above
    assert "Captured boundary 1 call" in above  # the sections that tell of the runs
    assert "Captured boundary 2 call" in above
    summary = below.splitlines()[1:-1]
    assert len(summary) == 2, below
    assert summary[0].startswith(f"FAILED {ITEM} - 1 of 2 runs")
    assert summary[1].startswith("FAILED machineid-conformance.toml::worker::verdict - worker is non-conforming")
    cases = list(ET.parse(tmp_path / "junit.xml").getroot().iter("testcase"))
    assert {case.get("name") for case in cases if case.find("failure") is not None} == {"revoke-at-boundary", "verdict"}


def test_what_does_not_count_is_skipped_and_a_should_is_a_warning(old: Repository) -> None:
    old.play(
        fail=[{**FAILING, "rule": "stop/exit-status", "level": "SHOULD"}],
        rows=[
            {
                "id": "stop/surgical", "level": "SHOULD", "status": "inconclusive", "runs": 0, "findings": [],
                "reason": "one device only",
            }
        ],
        left_out={"replicas": "needs two instances"},
    )  # fmt: skip
    done = old.pytest("--machineid-conformance", "-rsP")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "needs two instances" in done.stdout
    assert "conformance warnings" in done.stdout
    assert "warning       stop/exit-status (SHOULD)" in done.stdout
    assert "inconclusive  stop/surgical (SHOULD): one device only" in done.stdout


def test_an_inconclusive_must_fails_at_the_verdict(old: Repository) -> None:
    must = {"id": "stop/no-orphans", "level": "MUST", "reason": "nothing ended", "status": "inconclusive", "runs": 0}
    old.play(rows=[{**must, "findings": []}])
    done = old.pytest("--machineid-conformance")
    assert done.returncode == 1
    assert "stop/no-orphans (MUST) inconclusive: nothing ended" in done.stdout
    assert "FAILED machineid-conformance.toml::worker::verdict" in done.stdout
