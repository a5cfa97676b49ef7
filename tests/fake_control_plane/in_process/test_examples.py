"""The examples of docs/in-process.md, each as the file that a reader would make of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

MANUAL = Path(__file__).parents[3] / "docs" / "in-process.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", MANUAL.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
PASSED = [1, 8, 1]
"""How many tests each example has."""


def run(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "test_gate.py").write_text(source, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "fake_control_plane.pytest_plugin",
        "-q",
        "-W",
        "error",
        "test_gate.py",
    ]
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # loading the neighbours takes longer than the rest
    return subprocess.run(command, cwd=folder, env=alone, capture_output=True, text=True, timeout=120, check=False)


def test_there_are_three() -> None:
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize("number", range(3))
def test_an_example_passes_as_it_stands(number: int, tmp_path: Path) -> None:
    ran = run(EXAMPLES[number], tmp_path)
    assert f"{PASSED[number]} passed" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("number", "before", "after"),
    [
        (0, 'get("allowed") is True', 'get("allowed") is not None'),
        (1, "return False", "return True"),
        (2, "break", "pass"),
    ],
)
def test_an_example_fails_for_a_gate_that_does_not_hold(number: int, before: str, after: str, tmp_path: Path) -> None:
    assert before in EXAMPLES[number]
    ran = run(EXAMPLES[number].replace(before, after), tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
