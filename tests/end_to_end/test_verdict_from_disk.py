"""Verdicts come from the JSON Lines on disk: whoever changes a line changes the verdict, or is found out.

The engine judges once; then its report is copied, a line of a stored trace is changed, and the copy is judged from disk alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance.config import load
from machineid_conformance.config.model import Target
from machineid_conformance.judge import verdict
from machineid_conformance.judge.api import Case, RuleResult
from machineid_conformance.judge.baseline import build
from machineid_conformance.judge.registry import rules
from machineid_conformance.judge.view import RunView
from machineid_conformance.trace.reader import TraceError, read
from tests.end_to_end.support import WORKER, Judged, config, judge, lines, write_lines

Events = list[dict[str, Any]]

AT_THE_TASK = "worker/revoke-at-boundary/validate-2"
UNAVAILABLE = "worker/fail-closed-server-error/validate-{}/500-html"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Two revokes and two failures, all of them survived: nothing failed."""
    chosen = ("--scenario", "revoke-at-boundary", "--scenario", "fail-closed-server-error", "--variant", "500-html")
    judged = judge(tmp_path_factory.mktemp("session"), config(), {"worker.py": WORKER}, *chosen)
    assert judged.exit == 3, judged.said
    assert {run["id"] for run in judged.target["runs"] if run["scenario"] != "baseline"} == {
        "worker/revoke-at-boundary/validate-1",
        AT_THE_TASK,
        UNAVAILABLE.format(1),
        UNAVAILABLE.format(2),
    }
    return judged


@pytest.fixture
def report(session: Judged, tmp_path: Path) -> Path:
    """A copy of the report that a test may spoil."""
    return Path(shutil.copytree(session.report, tmp_path / "report"))


def from_disk(session: Judged, report: Path) -> dict[str, RuleResult]:
    """Every rule's result, from the traces of ``report`` and the configuration alone."""
    known = rules()
    (target,) = load.load(session.report.parent / "project" / "machineid-conformance.toml", known_rules=known).targets
    runs = {run["id"]: RunView.of(read(report / run["trace"])) for run in session.target["runs"]}
    baseline = build([view for view in runs.values() if view.started.baseline], target)
    judged = []
    for name in sorted(runs):
        case = Case(view=runs[name], target=target, baseline=baseline, profile=target.profile)
        judged.append((case, verdict.judge_run(case, known)))
    return {result.rule: result for result in verdict.conclude(judged, known, target, baseline)}


def change(report: Path, run: str, edit: Callable[[Events], Events], *, renumber: bool = True) -> None:
    """Let ``edit`` change a stored trace; the sequence is made whole again, as somebody who knows the format would."""
    path = report / "traces" / f"{run}.jsonl"
    events = edit(lines(path))
    write_lines(path, [{**event, "seq": n} for n, event in enumerate(events, 1)] if renumber else events)


def index(events: Events, **wanted: Any) -> int:
    """Where the last event with these fields stands."""
    return max(n for n, event in enumerate(events) if all(event.get(key) == value for key, value in wanted.items()))


def the_deny(events: Events) -> int:
    return index(events, event="control-answered", decision="deny")


def test_what_the_engine_said_is_what_the_disk_says(session: Judged, report: Path) -> None:
    found = from_disk(session, report)
    for rule, row in session.rules.items():
        assert (found[rule].status, found[rule].runs, found[rule].reason) == (row["status"], row["runs"], row["reason"])
        assert found[rule].counted == tuple(row["counted"])
        assert found[rule].uncounted == tuple((one["run"], one["reason"]) for one in row["uncounted"])
    assert {rule for rule, result in found.items() if result.status == "fail"} == set()
    assert "fail-closed/server-error" in {rule for rule, result in found.items() if result.status == "pass"}


def test_without_the_line_that_logs_the_deny(session: Judged, report: Path) -> None:
    def edit(events: Events) -> Events:
        at = the_deny(events)
        return [e for n, e in enumerate(events) if not (n > at and e["event"] == "output")]

    change(report, AT_THE_TASK, edit)
    found = from_disk(session, report)
    assert found["logging/request-id"].status == found["logging/code"].status == "fail"
    assert {finding.run for finding in found["logging/request-id"].findings} == {AT_THE_TASK}


def test_with_the_request_id_of_another_deny(session: Judged, report: Path) -> None:
    def edit(events: Events) -> Events:
        events[the_deny(events)]["request_id"] = "00000000-0000-4000-8000-000000000000"
        return events

    change(report, AT_THE_TASK, edit)
    found = from_disk(session, report)
    assert found["logging/request-id"].status == "fail"
    assert found["logging/code"].status == "pass"


def test_with_an_allow_in_the_place_of_the_deny(session: Judged, report: Path) -> None:
    def edit(events: Events) -> Events:
        events[the_deny(events)] |= {"decision": "allow", "code": "ALLOW"}
        return events

    change(report, AT_THE_TASK, edit)
    found = from_disk(session, report)
    row = found["stop/next-boundary"]
    assert AT_THE_TASK not in row.counted or row.status == "fail"
    assert AT_THE_TASK in {run for run, _ in row.uncounted} | {finding.run for finding in row.findings}
    assert AT_THE_TASK not in found["logging/request-id"].counted


@pytest.mark.parametrize(
    ("run", "rule"), [(AT_THE_TASK, "stop/next-boundary"), (UNAVAILABLE.format(2), "fail-closed/server-error")]
)
def test_with_a_charge_after_the_refusal(session: Judged, report: Path, run: str, rule: str) -> None:
    path = next(one["trace"] for one in session.target["runs"] if one["scenario"] == "baseline")
    charge = next(e for e in lines(report / path) if e["event"] == "effect-started" and e["role"] == "side-effect")

    def edit(events: Events) -> Events:
        asked = index(events, event="control-answered", operation="validate")
        at = events[asked]["at"]
        late = {**charge, "at": at, "effect": 99, "connection": None, "since": None}
        answered = {"event": "effect-answered", "at": at, "effect": 99, "status": 200, "holds_unit": False}
        return [*events[: asked + 1], late, answered, *events[asked + 1 :]]

    change(report, run, edit)
    row = from_disk(session, report)[rule]
    assert row.status == "fail"
    assert "POST api.example/charge" in row.findings[0].message
    assert {finding.run for finding in row.findings} == {run}


def test_without_the_receipt(session: Judged, report: Path) -> None:
    for n in (1, 2):
        change(report, UNAVAILABLE.format(n), lambda events: [e for e in events if e["event"] != "fault-delivered"])
    row = from_disk(session, report)["fail-closed/server-error"]
    assert row.status == "inconclusive"
    assert row.counted == ()
    assert "the fault was not delivered" in str(row.reason)


def test_without_the_receipt_at_startup_a_later_one_is_not_enough(session: Judged, report: Path) -> None:
    change(report, UNAVAILABLE.format(1), lambda events: [e for e in events if e["event"] != "fault-delivered"])
    row = from_disk(session, report)["fail-closed/server-error"]
    assert row.status == "inconclusive"
    assert row.counted == (UNAVAILABLE.format(2),)


def test_without_the_operators_action(session: Judged, report: Path) -> None:
    change(report, AT_THE_TASK, lambda events: [e for e in events if e["event"] != "operator"])
    change(
        report, "worker/revoke-at-boundary/validate-1", lambda events: [e for e in events if e["event"] != "operator"]
    )
    assert from_disk(session, report)["stop/next-boundary"].status == "inconclusive"


def test_without_work_in_the_baseline(session: Judged, report: Path) -> None:
    """No positive control: a target that never works has nothing to stop."""
    for n in (1, 2, 3):
        change(
            report,
            f"worker/baseline/{n}",
            lambda events: [e for e in events if not e["event"].startswith("effect-")],
        )
    found = from_disk(session, report)
    for rule in ("fail-closed/server-error", "stop/next-boundary"):
        assert found[rule].status == "inconclusive", found[rule]


def test_without_the_end_of_the_run(session: Judged, report: Path) -> None:
    """A trace that stops early may have lost its violation: nothing passes by it, nor by the runs beside it."""
    whole = from_disk(session, report)
    change(report, AT_THE_TASK, lambda events: events[:-1])
    cut = from_disk(session, report)
    assert AT_THE_TASK in whole["stop/next-boundary"].counted
    assert {rule for rule, result in cut.items() if AT_THE_TASK in result.counted} == set()
    assert cut["stop/next-boundary"].status == "inconclusive"
    assert "the trace stops before the end of the run" in str(cut["stop/next-boundary"].reason)


REFUSED: Mapping[str, Callable[[Events], Events]] = {
    "a-line-is-missing": lambda events: [*events[:5], *events[6:]],
    "a-line-stands-twice": lambda events: [*events[:5], events[5], *events[5:]],
    "two-lines-are-exchanged": lambda events: [*events[:5], events[6], events[5], *events[7:]],
    "the-first-line-is-missing": lambda events: events[1:],
    "an-event-is-unknown": lambda events: [*events[:5], {**events[5], "event": "effect-forgiven"}, *events[6:]],
    "a-field-is-unknown": lambda events: [*events[:5], {**events[5], "forgiven": True}, *events[6:]],
    "it-is-empty": lambda _events: [],
}


@pytest.mark.parametrize("edit", REFUSED.values(), ids=REFUSED)
def test_a_trace_that_cannot_be_read_is_refused(
    session: Judged, report: Path, edit: Callable[[Events], Events]
) -> None:
    change(report, AT_THE_TASK, edit, renumber=False)
    with pytest.raises(TraceError, match=r"validate-2\.jsonl"):
        from_disk(session, report)


def test_a_line_that_is_cut_short_is_refused(session: Judged, report: Path) -> None:
    path = report / "traces" / f"{AT_THE_TASK}.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(TraceError, match=r"validate-2\.jsonl:\d+: "):
        from_disk(session, report)


def test_the_target_is_the_one_of_the_configuration(session: Judged) -> None:
    """What the copies are judged as is what the session judged."""
    (target,) = load.load(session.report.parent / "project" / "machineid-conformance.toml", known_rules=rules()).targets
    assert isinstance(target, Target)
    assert (target.name, target.profile) == (session.target["name"], session.target["profile"])
