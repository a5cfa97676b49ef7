"""Faults that no rule of the edition names, in a scenario of one's own, on a real worker."""

from __future__ import annotations

import json
from pathlib import Path

from tests.end_to_end.support import WORKER, Judged, config, engine

JOBS = "answers = [{ json = { id = 1 } }, { json = { id = 2 } }, { json = { id = 3 } }, { status = 204 }]"


def session(folder: Path, scenario: dict[str, object]) -> Judged:
    text = config(top='scenarios = ["own/*.yaml"]').replace("answers = [{ json = { id = 1 } }, { status = 204 }]", JOBS)
    assert JOBS in text
    files = {"worker.py": WORKER, "own/one.yaml": json.dumps({"id": "one", "title": "One", **scenario})}
    return engine(folder, text.replace("horizon = 3", "horizon = 8"), files, scenario_globs=["one"])


def decisions(judged: Judged) -> list[str]:
    (run,) = [run["id"] for run in judged.target["runs"] if run["scenario"] == "one"]
    return [
        event["decision"]
        for event in judged.traces[run]
        if event["event"] == "control-answered" and event["operation"] == "validate"
    ]


def test_a_deny_that_arrives_one_decision_late(tmp_path: Path) -> None:
    """The worker is told yes once more than the operator said, works on it as it may, and stops at the no."""
    judged = session(
        tmp_path,
        {
            "rules": ["stop/next-boundary", "startup/gate"],
            "steps": [
                {"at": {"before": "validate", "n": 1}, "do": {"fault": {"stale": {"decisions": 1}}}},
                {"at": {"before": "validate", "n": 2}, "do": {"revoke": "$device"}},
            ],
        },
    )
    assert decisions(judged) == ["allow", "allow", "deny"], judged.said
    assert judged.rules["stop/next-boundary"]["status"] == "pass", judged.rules["stop/next-boundary"]
    (run,) = [run["id"] for run in judged.target["runs"] if run["scenario"] == "one"]
    events = [event["event"] for event in judged.traces[run]]
    assert events.count("fault-withheld") == 1  # before the first decision there is none to repeat
    assert events.count("fault-delivered") == 2


def test_answers_that_are_late_and_later_still(tmp_path: Path) -> None:
    judged = session(
        tmp_path,
        {
            "rules": ["startup/gate", "placement/task"],
            "steps": [{"at": {"before": "start"}, "do": {"fault": {"latency": {"seconds": 0.05, "ramp": 0.05}}}}],
        },
    )
    assert decisions(judged) == ["allow"] * 4, judged.said
    (run,) = [run["id"] for run in judged.target["runs"] if run["scenario"] == "one"]
    trace = judged.traces[run]
    asked = {event["call"]: event["at"] for event in trace if event["event"] == "control-request"}
    waits = [event["at"] - asked[event["call"]] for event in trace if event["event"] == "control-answered"]
    assert len(waits) == 5  # register and four validates
    assert all(wait >= 0.05 * n for n, wait in enumerate(waits, 1)), waits


def test_bytes_that_are_no_http_stop_the_worker(tmp_path: Path) -> None:
    judged = session(
        tmp_path,
        {
            "rules": ["degraded/no-work"],
            "sweep": "validate",
            "variants": [
                {"id": "garbage", "fault": {"garbage": {}}},
                {"id": "chunks", "fault": {"broken-chunks": {"how": "bad-size"}}},
                {"id": "longer", "fault": {"content-length": {"how": "too-long"}}},
            ],
            "steps": [{"at": {"before": "validate", "n": "each"}, "do": {"fault": "$variant"}}],
        },
    )
    row = judged.rules["degraded/no-work"]
    assert row["status"] == "pass", row
    assert len(row["counted"]) >= 6, row  # each variant at startup and at a later boundary
