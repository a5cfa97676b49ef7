"""What must not stand in the sources: names that checkers may not know, and waits."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import fake_control_plane
import machineid_conformance
from machineid_conformance.scenario.load import load_catalogue

ROOT = Path(__file__).parents[2]
HARNESS = Path(machineid_conformance.__file__).parent
FAKE = Path(fake_control_plane.__file__).parent
RUNTIMES = ROOT / "tests" / "runtimes"

ORDINARY = frozenset({"agent", "baseline", "replicas", "webhook", "worker"})
"""Scenario and runtime names that are words of the field as well: a checker may speak of a webhook."""

WAITS = {
    "harness/machineid_conformance/engine/target_time.py": "target time that a scenario asks for: a hold, a fault's end",
    "harness/machineid_conformance/engine/stimulus.py": "whether a target listens yet: the kernel tells nobody",
}
"""Files that may sleep, each with the reason. Where there is an event, wait for it."""


def names() -> set[str]:
    """The ids of the catalogue and of the user's examples, and the names of the runtimes that the harness is judged by."""
    targets = tomllib.loads((RUNTIMES / "machineid-conformance.toml").read_text(encoding="utf-8"))["targets"]
    violations = tomllib.loads((RUNTIMES / "violations.toml").read_text(encoding="utf-8"))
    files = {path.stem for path in (RUNTIMES / "conforming").iterdir() if path.is_file()}
    return {scenario.id for scenario in load_catalogue()} | set(targets) | set(violations) | files


def test_checkers_name_no_scenario_and_no_runtime() -> None:
    words = names() - ORDINARY
    assert len(words) > 100
    found = []
    for path in sorted((HARNESS / "judge").rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            # Whole words: not the rule fail-closed/refused for a scenario called fail-closed.
            seen = {word for word in words if re.search(rf"(?<![\w/-]){re.escape(word)}(?![\w/-])", line)}
            found += [f"{path.name}:{number}: {word}" for word in sorted(seen)]
    assert found == []


def test_checkers_ask_for_no_name_of_a_scenario_or_target() -> None:
    """An ordinary word in a sentence is harmless; one that is compared with would be a name, and so is a read of either field."""
    found = []
    for path in sorted((HARNESS / "judge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                values = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                found += [
                    f"{path.name}:{node.lineno}: compares with {value!r}" for value in values if value in ORDINARY
                ]
            if isinstance(node, ast.Attribute) and node.attr == "scenario":
                found.append(f"{path.name}:{node.lineno}: reads the scenario's id")
    assert found == []


def sleeps(path: Path) -> list[int]:
    """The lines on which a file calls a function named sleep, ``sleep(0)`` apart: that gives way to others, and waits for nothing.

    What a target's source in a string does is its own business.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
            )
            gives_way = [argument.value for argument in node.args if isinstance(argument, ast.Constant)] == [0]
            if name in ("sleep", "usleep", "nanosleep") and not gives_way:
                lines.append(node.lineno)
    return lines


def test_nobody_waits_by_sleeping() -> None:
    found = {}
    for folder in (HARNESS, FAKE, ROOT / "tests"):
        for path in sorted(folder.rglob("*.py")):
            if path.is_relative_to(RUNTIMES) or "fixture" in path.parts:
                continue
            if lines := sleeps(path):
                found[path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name] = lines
    assert {path: lines for path, lines in found.items() if path not in WAITS} == {}
    assert set(WAITS) == set(found), "an entry of WAITS is no longer needed"
    assert all(len(lines) == 1 for lines in found.values()), found
