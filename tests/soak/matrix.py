"""Every runtime of ``tests/runtimes`` judged once: each scores what is written down for it, and what it scored in the first pass."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.matrix.catalogue import (
    CONFIG,
    Expectation,
    Isolation,
    Violation,
    load_expectations,
    load_violations,
    missing_programs,
    write_conforming,
    write_violations,
)
from tests.matrix.running import HarnessFailedError, explain, run_scenarios, run_targets, statuses, unexpected
from tests.soak.outcome import Pass, measured

EXPLAINED = 6
"""Differences of one runtime that are printed in full; the report has them all."""


class Matrix:
    """The passes of one stage; the first one's scores are what the later ones are compared with.

    ``only`` are globs of runtimes; none: all that this isolation can judge. ``sweep``: of each conforming one; None: its own.
    """

    def __init__(
        self, stage: str, folder: Path, *, isolation: Isolation, only: Sequence[str] = (), sweep: str | None = None
    ) -> None:
        def chosen(name: str) -> bool:
            return not only or any(fnmatch.fnmatchcase(name, glob) for glob in only)

        self._stage = stage
        self._folder = folder
        self._isolation = isolation
        self._sweep = sweep
        self._conforming = {name: one for name, one in load_expectations(isolation).items() if chosen(name)}
        self._violating = {one.name: one for one in load_violations(isolation) if chosen(one.name)}
        self._first: dict[str, dict[str, str]] = {}
        if not self._conforming and not self._violating:
            raise ValueError(
                f"no runtime of tests/runtimes is called {' or '.join(only)} and can be judged in {isolation}"
            )
        twins = {*self._conforming, *(one.twin for one in self._violating.values())}
        if missing := {program for name in twins for program in missing_programs(name)}:
            raise ValueError(f"not found in PATH, and a target is run by it: {', '.join(sorted(missing))}; install it")

    def judge(self, number: int) -> Pass:
        """One pass. Its reports are kept where there is a difference."""
        one, folder = Pass(stage=self._stage, number=number), self._folder / f"pass-{number:02}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with measured(one):
            for report, expected in (("conforming", self._conforming), ("violating", self._violating)):
                if not expected:
                    continue
                try:
                    document = self._run(report, folder)
                except HarnessFailedError as error:
                    one.differences.append(str(error))
                    continue
                one.runs += sum(len(target["runs"]) for target in document["targets"])
                one.differences += self._compare(document, expected, folder / report)
        if not one.differences:
            shutil.rmtree(folder)
        return one

    def _run(self, report: str, folder: Path) -> dict[str, Any]:
        runtimes = folder / f"{report}-runtimes"
        runtimes.mkdir()
        if report == "conforming":
            config = CONFIG if self._sweep is None else write_conforming(runtimes, sweep=self._sweep)
            return run_targets(config, folder / report, targets=tuple(self._conforming), isolation=self._isolation)
        config = write_violations(tuple(self._violating.values()), runtimes)
        scenarios = {name: one.scenarios for name, one in self._violating.items()}
        return run_scenarios(config, folder / report, scenarios=scenarios, isolation=self._isolation)

    def _compare(
        self, document: Mapping[str, Any], expected: Mapping[str, Expectation | Violation], report: Path
    ) -> list[str]:
        targets = {target["name"]: target for target in document["targets"]}
        found = [f"{name} is not in results.json of {report}" for name in expected if name not in targets]
        for name, target in targets.items():
            first = self._first.setdefault(name, statuses(target))
            found += difference(target, expected[name], first, report)
        return found


def difference(
    target: Mapping[str, Any], expected: Expectation | Violation, first: Mapping[str, str], report: Path
) -> list[str]:
    """What is wrong with one runtime's scores, as one text; [] if nothing is. ``first`` are its scores in the first pass."""
    rules, now = unexpected(target, expected), statuses(target)
    wrong = [
        f"{target['name']}, {rule}: {now.get(rule, 'absent')}, not what is written down for it"
        for rule in sorted(rules)
    ]
    changed = {rule for rule in first.keys() | now.keys() if first.get(rule) != now.get(rule)}
    wrong += [
        f"{target['name']}, {rule}: {now.get(rule)}, and {first.get(rule)} in the first pass"
        for rule in sorted(changed)
    ]
    if isinstance(expected, Expectation) and target["verdict"] != "conforming":
        wrong.append(f"{target['name']}, verdict: {target['verdict']}, expected conforming")
    if not wrong:
        return []
    if len(wrong) > EXPLAINED:  # one cause for all: the first say it
        wrong = [*wrong[:EXPLAINED], f"… and {len(wrong) - EXPLAINED} more"]
    shown = set(sorted(rules | changed)[:EXPLAINED])
    named = {finding["run"] for row in target["rules"] if row["id"] in shown for finding in row["findings"]}
    traces = [f"  trace: {report / run['trace']}" for run in target["runs"] if run["id"] in named]
    return ["\n".join([*wrong, explain(target, shown), *traces, f"  report: {report}"])]
