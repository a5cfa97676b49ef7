"""However a session is started, it finds the same; and the same schedule gives the same trace.

``results.json`` of ``run``, of pytest, of pytest on two workers and of one job at a time are equal, times and the like aside; the
traces of two sessions are equal channel by channel (the network, each output stream, each process), as design.md defines it.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.support import CLI, WORKER, Judged, config, judge

CHOSEN = ("revoke-at-boundary", "revoke-in-flight", "fail-closed-tls")
VARIANT = "untrusted"
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--machineid-conformance")
WAYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run": ((*CLI, "run"), ()),
    "run --jobs 1": ((*CLI, "run"), ("--jobs=1",)),
    "pytest": (PYTEST, ()),
    "pytest -n 2": (PYTEST, ("-n=2",)),
}
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECONDS = re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    found = {}
    for way, (command, arguments) in WAYS.items():
        prefix = "--machineid-" if "pytest" in command else "--"
        chosen = [f"{prefix}scenario={name}" for name in (*CHOSEN, "baseline")] + [f"{prefix}variant={VARIANT}"]
        folder = tmp_path_factory.mktemp("session")
        found[way] = judge(folder, config(), {"worker.py": WORKER}, *chosen, *arguments, command=command)
        assert found[way].results, found[way].said
    return found


# -- results.json -----------------------------------------------------------------------------------------------------------

MEASURED = {"started_at", "seconds", "wall_seconds", "client_deadline", "min", "median", "p95", "max"}
"""Fields of results.json that are times."""


def without_times(value: Any) -> Any:
    """A document with its times and made-up ids replaced by words that say what stood there."""
    if isinstance(value, dict):
        plain = {key: _word(key, item) if key in MEASURED else without_times(item) for key, item in value.items()}
        # Each note stands once: two that differ in a time are one without it.
        return plain | {"notes": list(dict.fromkeys(plain["notes"]))} if "notes" in plain else plain
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return SECONDS.sub("<time>", UUID.sub("<id>", value)) if isinstance(value, str) else value


def _word(key: str, value: Any) -> Any:
    return value if value is None else f"<{key}>"


def without_positions(document: Any) -> Any:
    """Findings point into a trace by sequence number, and only the channels of a trace are in the same order every time."""
    for target in document["targets"]:
        for row in target["rules"]:
            for finding in row["findings"]:
                finding["events"] = len(finding["events"])
    return document


@pytest.mark.parametrize("way", [way for way in WAYS if way != "run"])
def test_results_are_equal_however_they_were_asked_for(way: str, sessions: dict[str, Judged]) -> None:
    reference, other = sessions["run"], sessions[way]
    assert without_positions(without_times(other.results)) == without_positions(without_times(reference.results))


def test_the_chosen_scenarios_were_run(sessions: dict[str, Judged]) -> None:
    scenarios = {run["scenario"] for run in sessions["run"].target["runs"]}
    assert scenarios == {"baseline", *CHOSEN}
    assert {session.results["verdict"] for session in sessions.values()} == {
        "inconclusive"
    }  # a selection is never conforming
    assert sessions["run"].exit == sessions["run --jobs 1"].exit == 3


# -- traces -------------------------------------------------------------------------------------------------------------------

PROCESS = ("spawned", "signalled", "exited", "gone")


def channel_of(event: Mapping[str, Any]) -> str:
    """The network, each output stream of each instance, the processes of each instance; what belongs to none is the run's."""
    if event["event"] == "output":
        return f"output {event['instance']} {event['stream']}"
    if event["event"] in PROCESS:
        return f"process {event['instance']}"
    if event["event"] in ("run-started", "run-ended"):
        return "run"
    return "network"


class Normaliser:
    """Names ids by the order in which they first stood in the trace."""

    def __init__(self, project: Path) -> None:
        self._known: dict[str, str] = {}
        self._project = str(project)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            named = UUID.sub(lambda found: self._known.setdefault(found[0], f"<id {len(self._known) + 1}>"), value)
            return SECONDS.sub("<time>", named.replace(self._project, "<project>"))
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Without times and positions; ports are those of the target's peers, and so its own doing."""
        return {
            key: self.value(item)
            for key, item in event.items()
            if key not in ("seq", "at", "waited", "since", "seconds")
        }


def channels(trace: list[dict[str, Any]], project: Path) -> dict[str, list[dict[str, Any]]]:
    """A trace, normalised, channel by channel, each in its order."""
    normaliser, found = Normaliser(project), defaultdict(list)
    for event in trace:
        found[channel_of(event)].append(normaliser.event(event))
    return dict(found)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "run"])
def test_traces_are_equal_channel_by_channel(way: str, sessions: dict[str, Judged]) -> None:
    reference, other = sessions["run"], sessions[way]
    assert set(other.traces) == set(reference.traces)
    for run, trace in reference.traces.items():
        mine = channels(trace, reference.report.parent / "project")
        theirs = channels(other.traces[run], other.report.parent / "project")
        assert theirs == mine, run


def test_the_three_baselines_are_equal(sessions: dict[str, Judged]) -> None:
    for session in sessions.values():
        assert session.target["deterministic"] is True
