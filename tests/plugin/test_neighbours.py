"""The plugin beside Django, pytest-cov, xdist, pytest-timeout, pytest-socket and --strict-markers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from machineid_conformance.scenario.load import load_catalogue

Repository = Any

ITEMS = len(load_catalogue()) + 1
"""A scenario each, and the verdict."""
NEIGHBOURS = {
    "alone": ((), ()),
    "strict-markers": ((), ("--strict-markers",)),
    "cov": (("pytest_cov",), ("--cov=reports", "--cov-fail-under=90")),
    "timeout": (("pytest_timeout",), ("--timeout=0.01",)),
    "socket": (("pytest_socket",), ("--disable-socket",)),
    "xdist": (("xdist",), ("-n", "2")),
    "everything": (
        ("pytest_cov", "xdist", "pytest_timeout", "pytest_socket"),
        ("-n", "2", "--cov=reports", "--cov-fail-under=90", "--timeout=0.01", "--disable-socket", "--strict-markers"),
    ),
}


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_with_the_flag_each_neighbour_works(
    neighbourhood: Repository, required: Callable[..., None], neighbour: str
) -> None:
    modules, options = NEIGHBOURS[neighbour]
    required(*modules)
    done = neighbourhood.pytest("--machineid-conformance", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict       CONFORMING" in done.stdout
    assert "test_app.py" not in done.stdout
    assert len(neighbourhood.starts) == 1
    assert neighbourhood.starts[0]["scenarios"] is None
    assert neighbourhood.results["complete"] is True


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
def test_with_the_flag_each_neighbour_shows_the_same_failure(
    neighbourhood: Repository, required: Callable[..., None], neighbour: str
) -> None:
    modules, options = NEIGHBOURS[neighbour]
    required(*modules)
    neighbourhood.play(fail=[{"scenario": "revoke-at-boundary", "rule": "stop/next-boundary", "boundary": 2}])
    done = neighbourhood.pytest("--machineid-conformance", *options)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 of 2 runs violate stop/next-boundary" in done.stdout
    assert "verdict       NON-CONFORMING" in done.stdout
    assert len(neighbourhood.starts) == 1


@pytest.mark.parametrize("neighbour", ["alone", "timeout", "xdist"])
def test_with_tests_runs_both(neighbourhood: Repository, required: Callable[..., None], neighbour: str) -> None:
    modules, options = NEIGHBOURS[neighbour]
    required(*modules)
    # A limit of a hundredth of a second is not for the user's own tests.
    options = tuple("--timeout=60" if option.startswith("--timeout") else option for option in options)
    done = neighbourhood.pytest("--machineid-conformance=with-tests", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict       CONFORMING" in done.stdout
    assert f"{ITEMS + 2} passed" in done.stdout
    assert len(neighbourhood.starts) == 1


def test_without_the_flag_the_plugin_changes_nothing(neighbourhood: Repository) -> None:
    done = neighbourhood.pytest("-v")
    without = neighbourhood.pytest("-v", "-p", "no:machineid_conformance")
    assert done.returncode == without.returncode == 0
    assert neighbourhood.starts == []
    assert not (neighbourhood.folder / ".machineid-conformance").exists()

    def told(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith(("plugins:", "=="))]

    assert told(done.stdout) == told(without.stdout)
    assert done.stderr == without.stderr


def test_without_the_flag_a_configuration_that_is_broken_is_nobody_s_concern(neighbourhood: Repository) -> None:
    (neighbourhood.folder / "machineid-conformance.toml").write_text("not = [toml")
    assert neighbourhood.pytest().returncode == 0


def test_the_stub_imports_nothing_but_itself() -> None:
    program = """
import argparse, sys
import pytest
before = set(sys.modules)
import machineid_conformance.plugin
print(*sorted(set(sys.modules) - before))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["machineid_conformance", "machineid_conformance.plugin"]
