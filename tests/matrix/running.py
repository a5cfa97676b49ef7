"""Run the harness on a configuration, as its users do, and read what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

MARKS = {"pass": "✓", "fail": "✗", "warn": "!", "inconclusive": "?", "not-applicable": "-", "info": "i", "xfail": "x"}


class HarnessFailedError(AssertionError):
    """The harness gave no results; says what it printed."""


def run_targets(
    config: Path, report: Path, *, targets: Sequence[str] = (), rules: Sequence[str] = (), scenarios: Sequence[str] = ()
) -> dict[str, Any]:
    """results.json of ``machineid-conformance run`` on these targets, narrowed to these globs (none: everything).

    ``MACHINEID_MATRIX_ISOLATION`` and ``MACHINEID_MATRIX_JOBS`` of the environment become ``--isolation``, ``--jobs``.

    Raises:
        HarnessFailedError: it ended with a status other than 0, 1 or 3, or wrote no results.
    """
    command = [sys.executable, "-m", "machineid_conformance", "run", "--config", str(config), "--report", str(report)]
    for option, values in (("--target", targets), ("--rule", rules), ("--scenario", scenarios)):
        for value in values:
            command += [option, value]
    for option in ("isolation", "jobs"):
        if setting := os.environ.get(f"MACHINEID_MATRIX_{option.upper()}"):
            command += [f"--{option}", setting]
    done = subprocess.run(
        command,
        cwd=config.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    results = report / "results.json"
    if done.returncode not in {0, 1, 3} or not results.is_file():
        raise HarnessFailedError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    document: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
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
