"""What waits, at ``speed = auto`` beside real time: ``python -m tests.bench.waiting [--all] [--only GLOB]…``.

The violating runtimes of ``tests/runtimes`` whose scenarios wait (for a client's deadline, for an idle target, through an outage), in one
session at ``auto`` and in one at 1x, where minutes and hours are left out. Both must find the same. One row a runtime: the seconds of all
its runs, target and wall. The goal is less than 90 s of wall time for all that wait, at ``auto``, on two quiet cores.

``--all``: the whole kill matrix, what waits and what does not, and the conforming runtimes.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machineid_conformance.config.load import load
from machineid_conformance.config.model import Target
from machineid_conformance.judge.registry import rules
from machineid_conformance.scenario.load import load_catalogue
from tests.matrix.catalogue import CONFIG, Expectation, Violation, load_expectations, load_violations, write_violations
from tests.matrix.running import of_target, run_scenarios, run_targets, unexpected

GOAL = 90.0
AFFORDABLE = 60.0
"""Target seconds of ``grace_window`` or ``idle_after`` that are still waited for in real time."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """All of them at one speed."""

    speed: str
    wall: float
    targets: Mapping[str, Mapping[str, Any]]


def waiting() -> tuple[Violation, ...]:
    """The violating runtimes with a scenario that waits."""
    waits = {one.id for one in load_catalogue(known_rules=rules()) if one.waits or one.watch != "idle"}
    return tuple(one for one in load_violations() if waits.intersection(one.scenarios))


def session(violations: Sequence[Violation], conforming: Sequence[str], speed: str) -> Session:
    """Judge each of them."""
    found: dict[str, Mapping[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        (runtimes := Path(folder) / "runtimes").mkdir()
        config = write_violations(violations, runtimes)
        if speed == "1":
            targets = {target.name: target for target in load(config, known_rules=rules()).targets}
            violations = [one for one in violations if _affordable(targets[one.name])]
        began = time.monotonic()
        if violations:
            scenarios = {one.name: one.scenarios for one in violations}
            document = run_scenarios(config, Path(folder) / "violating", scenarios=scenarios, speed=speed)
            found |= {one.name: of_target(document, one.name) for one in violations}
        if conforming:
            document = run_targets(CONFIG, Path(folder) / "conforming", targets=conforming, speed=speed)
            found |= {name: of_target(document, name) for name in conforming}
        wall = time.monotonic() - began
    return Session(speed=speed, wall=wall, targets=found)


def _affordable(target: Target) -> bool:
    return max(target.grace_window, target.idle_after) <= AFFORDABLE


def _seconds(target: Mapping[str, Any] | None, key: str) -> str:
    return f"{'-':>9}" if target is None else f"{sum(run[key] for run in target['runs']):9.1f}"


def main() -> int:
    """See the module. Exit code 1: the two found different things."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="the whole kill matrix")
    parser.add_argument("--only", action="append", default=[], metavar="GLOB", help="only these runtimes")
    options = parser.parse_args()

    def chosen(name: str) -> bool:
        return not options.only or any(fnmatch.fnmatchcase(name, glob) for glob in options.only)

    violations = [one for one in (load_violations() if options.all else waiting()) if chosen(one.name)]
    conforming = {name: one for name, one in load_expectations().items() if options.all and chosen(name)}
    expected: dict[str, Violation | Expectation] = {**{one.name: one for one in violations}, **conforming}
    fast, real = (session(violations, tuple(conforming), speed) for speed in ("auto", "1"))
    print(f"{'':30}{'target s':>18}{'wall s':>18}")
    print(f"{'':30}{'auto':>9}{'1x':>9}{'auto':>9}{'1x':>9}")
    wrong = 0
    for name, wanted in expected.items():
        pair = fast.targets.get(name), real.targets.get(name)
        differences = [sorted(unexpected(dict(found), wanted)) for found in pair if found is not None]
        wrong += any(differences)
        figures = "".join(_seconds(found, key) for key in ("seconds", "wall_seconds") for found in pair)
        print(f"{name:30}{figures}   {'as written' if not any(differences) else differences}")
    alike = [name for name in real.targets if name in fast.targets]
    print(
        f"all: {fast.wall:.1f} s at auto ({len(fast.targets)} runtimes), {real.wall:.1f} s at 1x ({len(alike)} of them)"
    )
    print(
        f"real time / auto: {real.wall / fast.wall:.1f} times the wall time, for fewer; load average {os.getloadavg()[0]:.1f}"
    )
    if not options.all:
        print(f"goal {GOAL:.0f} s at auto: {'reached' if fast.wall <= GOAL else 'not reached'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
