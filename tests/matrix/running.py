"""Run the harness on a configuration, as its users do, and read what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machineid_conformance.engine.stream import Request
from machineid_conformance.session import EngineFailed, EngineSession
from tests.matrix.catalogue import Expectation, Violation

MARKS = {"pass": "✓", "fail": "✗", "warn": "!", "inconclusive": "?", "not-applicable": "-", "info": "i", "xfail": "x"}

JUDGED = (0, 1, 3)
"""Exit codes of ``machineid-conformance run`` with which there are results: conforming, non-conforming, inconclusive."""


class HarnessFailedError(AssertionError):
    """The harness gave no results; says what it printed."""


def run_targets(
    config: Path,
    report: Path,
    *,
    targets: Sequence[str],
    isolation: str | None = None,
    jobs: int | None = None,
    speed: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """results.json of ``machineid-conformance run`` on these targets, with the whole catalogue.

    Raises:
        HarnessFailedError: it ended with a status other than 0, 1 or 3, or wrote no results.
    """
    command = [sys.executable, "-m", "machineid_conformance", "run", "--config", str(config), "--report", str(report)]
    command += [word for name in targets for word in ("--target", name)]
    command += ["--isolation", isolation] if isolation is not None else []
    command += ["--jobs", str(jobs)] if jobs is not None else []
    command += ["--speed", speed] if speed is not None else []
    done = subprocess.run(
        command,
        cwd=config.parent,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode not in JUDGED or not (report / "results.json").is_file():
        raise HarnessFailedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return _results(report)


def run_scenarios(
    config: Path,
    report: Path,
    *,
    scenarios: Mapping[str, Sequence[str]],
    isolation: str | None = None,
    jobs: int | None = None,
    speed: str | None = None,
) -> dict[str, Any]:
    """results.json of one session in which each target runs scenarios of its own, asked for as the pytest plugin does.

    Raises:
        HarnessFailedError: the engine gave up.
    """
    request = Request(
        root=str(config.parent),
        config=str(config),
        report=str(report),
        scenarios={name: tuple(chosen) for name, chosen in scenarios.items()},
        isolation=isolation,
        jobs=jobs,
        speed=speed,
    )
    try:
        with EngineSession(request) as session:
            while session.next() is not None:
                pass
    except EngineFailed as failed:
        raise HarnessFailedError(f"the session of {', '.join(scenarios)} failed: {failed.message}") from failed
    return _results(report)


def _results(report: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((report / "results.json").read_text(encoding="utf-8"))
    return document


def of_target(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object of one target in results.json."""
    found: dict[str, Any] = next(target for target in document["targets"] if target["name"] == name)
    return found


def statuses(target: Mapping[str, Any]) -> dict[str, str]:
    """Each rule's status."""
    return {rule["id"]: rule["status"] for rule in target["rules"]}


def having(target: Mapping[str, Any], *wanted: str) -> set[str]:
    """The rules of a target whose status is one of these."""
    return {rule for rule, status in statuses(target).items() if status in wanted}


def unexpected(target: Mapping[str, Any], expected: Expectation | Violation) -> set[str]:
    """The rules whose status is not the one that is written down for this target.

    Of a conforming target every list is exact; of a violating one it is exact what fails or warns.
    """
    if isinstance(expected, Violation):
        return having(target, "fail", "warn") ^ expected.fails
    wrong = having(target, "fail", "xfail")
    wrong |= having(target, "warn") ^ expected.warn
    wrong |= having(target, "inconclusive") ^ expected.inconclusive
    return wrong | (having(target, "not-applicable") ^ expected.not_applicable)


def explain(target: Mapping[str, Any], rules: set[str]) -> str:
    """What the results say of these rules, for the message of a failing test."""
    lines = [f"{target['name']}: {target['verdict']}; {'; '.join(target.get('problems', ())) or 'no problems'}"]
    for rule in target["rules"]:
        if rule["id"] not in rules:
            continue
        lines.append(f"  {rule['id']} ({rule['level']}): {rule['status']}, {rule['runs']} runs. {rule['reason'] or ''}")
        lines += [f"    {finding['run']}: {finding['message']}" for finding in rule["findings"][:3]]
        lines += [f"    {one['run']} did not count: {one['reason']}" for one in rule.get("uncounted", ())[:3]]
    return "\n".join(lines)


def table(rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The kill matrix: one row a runtime, one column a rule that anything is said of, and the key to both."""
    rules = sorted({rule for row in rows.values() for rule, status in row.items() if status != "info"})
    width = max((len(name) for name in rows), default=0)
    lines = [f"{'':{width}}  " + " ".join(f"{n:>2}" for n in range(1, len(rules) + 1))]
    for name, row in rows.items():
        lines.append(f"{name:{width}}  " + " ".join(f"{MARKS.get(row.get(rule, ''), '·'):>2}" for rule in rules))
    lines += ["", *(f"{n:>3} {rule}" for n, rule in enumerate(rules, 1)), ""]
    lines.append("✓ pass  ✗ fail  ! warn  ? inconclusive  - not applicable  · not in the runs of this runtime")
    return lines
