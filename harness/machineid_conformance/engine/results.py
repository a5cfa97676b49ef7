"""results.json: what a target's runs come to, as other tools read it (reports/schema/results.schema.json)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machineid_conformance import __version__
from machineid_conformance.config.model import Configuration, Target
from machineid_conformance.judge import deadlines
from machineid_conformance.judge.api import Baseline, Finding, Observation, Rule, RuleResult
from machineid_conformance.judge.deadlines import Deadline
from machineid_conformance.judge.latency import latency
from machineid_conformance.trace.events import FaultDelivered, Watched
from machineid_conformance.trace.writer import writing

if TYPE_CHECKING:
    from machineid_conformance.engine.api import Judged, Ran

WORST_LAST = ("conforming", "inconclusive", "non-conforming")


def finding_json(finding: Finding) -> dict[str, Any]:
    """One finding."""
    return {
        "run": finding.run, "message": finding.message, "events": list(finding.events), "expected": finding.expected,
        "got": finding.got,
    }  # fmt: skip


def observation_json(observation: Observation, rule: Rule, target: Target) -> dict[str, Any]:
    """What one run says of one rule, for the stream."""
    return {
        "outcome": observation.outcome, "reason": observation.reason, "level": rule.level_for(target),
        "findings": [finding_json(finding) for finding in observation.findings],
    }  # fmt: skip


def rule_json(result: RuleResult) -> dict[str, Any]:
    """One row of a target's rules."""
    return {
        "id": result.rule, "level": result.level, "status": result.status, "runs": result.runs, "reason": result.reason,
        "findings": [finding_json(finding) for finding in result.findings], "counted": list(result.counted),
        "uncounted": [{"run": run, "reason": reason} for run, reason in result.uncounted], "notes": list(result.notes),
    }  # fmt: skip


def deadline_json(deadline: Deadline) -> dict[str, Any]:
    """One deadline of the client, in target seconds."""
    return {
        "boundary": deadline.boundary, "phase": deadline.phase, "seconds": deadline.seconds, "at_least": deadline.at_least,
        "error": deadline.error, "runs": list(deadline.runs),
    }  # fmt: skip


def target_json(
    target: Target,
    judged: Sequence[Judged],
    results: Sequence[RuleResult],
    baseline: Baseline,
    *,
    verdict: str,
    isolation: str,
    trace_name: Callable[[Ran], str],
    left_out: Mapping[str, str],
    problems: Sequence[str],
    complete: bool,
    interrupted: bool,
    planned: int | None,
    measured: Sequence[Deadline],
    xfail_problems: Sequence[str],
    at_high: Sequence[str],
    fault_server: str | None,
    real_time: str | None,
) -> dict[str, Any]:
    """One object of ``targets``. ``planned``: how many runs there are to be; None while the baseline is not known. ``fault_server``:
    the Toxiproxy that was asked to deliver the network faults. ``real_time``: why the target's time was real time. ``measured``: the
    client's deadlines.
    """
    return {
        "name": target.name,
        "profile": target.profile,
        "sweep": target.sweep,
        "isolation": isolation,
        "let_through": [f"passthrough {service}" for service in target.passthrough]
        + [f"expose {path}" for path in target.expose],
        "verdict": verdict,
        "complete": complete,
        "interrupted": interrupted,
        "planned_runs": planned,
        "problems": list(problems),
        "xfail_problems": list(xfail_problems),
        "at_high": list(at_high),
        "rules": [rule_json(result) for result in results],
        "stop_latency": latency([one.case for one in judged]),
        "client_deadline": deadlines.shortest_read(measured),
        "deadlines": [deadline_json(deadline) for deadline in measured],
        "deadline_setting": deadlines.setting(measured),
        "fault_delivery": {"server": fault_server, **deliverers(judged)},
        "target_time": {"real_because": real_time, "outages_watched": _outages_watched(target, judged)},
        "deterministic": baseline.deterministic,
        "boundaries": [
            {"n": boundary.n, "kind": boundary.kind, "device": boundary.device, "covers": list(boundary.covers)}
            for boundary in baseline.boundaries
        ],
        "left_out": dict(left_out),
        "runs": [
            {
                "id": one.ran.run.id, "scenario": one.ran.run.scenario.id, "subject": one.ran.run.subject,
                "boundary": one.ran.run.n, "variant": one.ran.run.variant.id if one.ran.run.variant else None,
                "environment": one.ran.run.environment_number, "speed": one.ran.speed,
                "trace": trace_name(one.ran), "seconds": one.ran.seconds, "wall_seconds": one.ran.wall_seconds,
            }
            for one in judged
        ],
    }  # fmt: skip


def _outages_watched(target: Target, judged: Sequence[Judged]) -> float | None:
    """The shortest time, in target seconds, for which an outage was watched that was to be watched for ``grace_window``, with something of
    the target left; None where no watching was cut short.
    """
    watched = [
        event.seconds
        for one in judged
        if one.ran.run.scenario.watch == "grace"
        for event in one.case.view.events
        if isinstance(event, Watched) and event.until == "watched"
    ]
    return min((seconds for seconds in watched if seconds < target.grace_window), default=None)


def deliverers(judged: Sequence[Judged]) -> dict[str, list[str]]:
    """The names of the faults that were delivered, by who did it; with its variant where one fault was delivered by both."""
    found: dict[str, dict[str, set[str]]] = {"built-in": {}, "toxiproxy": {}}
    for one in judged:
        for event in one.case.view.events:
            if isinstance(event, FaultDelivered):
                name = event.fault if event.variant is None else f"{event.fault} ({event.variant})"
                found[event.by].setdefault(event.fault, set()).add(name)
    both = found["built-in"].keys() & found["toxiproxy"].keys()
    return {
        by: sorted(word for fault, names in faults.items() for word in (names if fault in both else (fault,)))
        for by, faults in found.items()
    }


def results_json(
    configuration: Configuration, targets: Sequence[Mapping[str, Any]], *, started_at: datetime, root: Path
) -> dict[str, Any]:
    """The whole document. The verdict of the whole is the worst of its targets."""
    return {
        "schema": 1,
        "edition": configuration.edition,
        "tool": {"name": "machineid-conformance", "version": __version__},
        "started_at": started_at.isoformat(timespec="seconds"),
        "git": _git(root),
        "config_sha256": configuration.sha256,
        "complete": all(target["complete"] for target in targets),
        "interrupted": any(target["interrupted"] for target in targets),
        "verdict": max((target["verdict"] for target in targets), key=WORST_LAST.index, default="inconclusive"),
        "targets": list(targets),
    }


def write(document: Mapping[str, Any], folder: Path) -> Path:
    """Write results.json into the report folder, whole or not at all. Raises ``ReportError`` where it cannot be written."""
    path = folder / "results.json"
    draft = path.with_suffix(".json.part")
    with writing(path):
        draft.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
    return path


def _git(root: Path) -> dict[str, Any] | None:
    """The commit that was judged, where there is one."""
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()
        status = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(status.strip())}
