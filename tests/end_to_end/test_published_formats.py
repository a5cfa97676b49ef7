"""All that a session writes is what ``reports/schema`` publishes: results.json, every trace line, every message of the stream.

``support`` checks that of every session of these tests; here are sessions that together hold every kind of message, of rule status
and of finding, and the proof that the check bites.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.support import WORKER, Judged, config, engine, problems

CARELESS = WORKER.replace(
    "        raise RefusedError from error", '        return {"allowed": True}  # a failure is taken for a yes'
)
KEYS = """
stop_within = "5s"
xfail = { "fail-closed/no-decision" = { reason = "known", until = 2999-01-01 } }
"""
CHOSEN = ("revoke-at-boundary", "fail-closed-no-decision", "fail-closed-client-error", "fail-closed-redirect")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A target that fails open, judged by a few scenarios at startup."""
    folder = tmp_path_factory.mktemp("careless")
    judged = engine(folder, config(KEYS), {"worker.py": CARELESS}, scenario_globs=CHOSEN, boundary=1)
    assert judged.exit == 1, judged.said
    return judged


def kinds(judged: Judged) -> list[str]:
    return [message["kind"] for message in judged.messages]


def test_the_stream_of_a_session_that_finished(session: Judged) -> None:
    seen = kinds(session)
    assert set(seen) == {"planned", "run-started", "run-judged", "scenario-done", "target-judged", "finished"}
    assert seen.count("finished") == seen.count("target-judged") == 1
    assert seen[-2:] == ["target-judged", "finished"]
    assert seen.count("run-started") == seen.count("run-judged") == len(session.target["runs"])
    assert session.messages[-2]["target"] == session.target


def test_the_results_of_a_target_that_fails(session: Judged) -> None:
    statuses = {row["status"] for row in session.rules.values()}
    assert statuses == {"pass", "fail", "warn", "xfail", "inconclusive", "not-applicable", "info"}
    assert session.results["verdict"] == session.target["verdict"] == "non-conforming"
    assert session.results["complete"] is False
    assert all(row["findings"] for row in session.rules.values() if row["status"] in ("fail", "warn"))


def test_findings_point_into_their_traces(session: Judged) -> None:
    traces = session.traces
    for row in session.rules.values():
        for finding in row["findings"]:
            if finding["run"] in traces:
                assert set(finding["events"]) <= {event["seq"] for event in traces[finding["run"]]}


def test_the_stream_of_a_target_that_cannot_be_judged(tmp_path: Path) -> None:
    judged = engine(tmp_path, config(), {"worker.py": "print('nobody was asked')"})
    assert "notice" in kinds(judged)
    assert kinds(judged)[-1] == "finished"
    assert judged.exit == 3


def test_the_stream_of_a_session_that_could_not_start(tmp_path: Path) -> None:
    judged = engine(tmp_path, config("horzion = 3"), {"worker.py": WORKER})
    assert kinds(judged) == ["failed"]
    assert judged.messages[0]["error"] == "configuration"
    assert judged.exit == judged.messages[0]["exit"] == 2


SPOILED: Mapping[str, Mapping[str, Any]] = {
    "another-status": {"status": "forgiven"},
    "a-number-for-a-word": {"id": 7},
    "no-level": {"level": None},
}


@pytest.mark.parametrize("spoiled", SPOILED.values(), ids=SPOILED)
def test_the_check_bites(session: Judged, spoiled: Mapping[str, Any]) -> None:
    document = copy.deepcopy(dict(session.results))
    assert problems("results", [document]) == []
    document["targets"][0]["rules"][0] |= spoiled
    assert problems("results", [document]) != []
    (trace,) = list(session.traces.values())[:1]
    assert problems("trace", [{**trace[0], "excused": True}]) != []
    assert problems("stream", [{**session.messages[0], "kind": "excused"}]) != []
