"""However a session is started, it finds the same; and the same schedule gives the same trace.

``results.json`` of ``run``, of pytest, of pytest on two workers and of one job at a time are equal, times and the like aside; the
traces of two sessions are equal channel by channel (the network, each output stream, each process), as design.md defines it.
"""

from __future__ import annotations

import pytest

from tests.end_to_end.equality import WAYS, channels, comparable
from tests.end_to_end.support import WORKER, Judged, config, judge

CHOSEN = ("revoke-at-boundary", "revoke-in-flight", "fail-closed-tls")
VARIANT = "untrusted"


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


@pytest.mark.parametrize("way", [way for way in WAYS if way != "run"])
def test_results_are_equal_however_they_were_asked_for(way: str, sessions: dict[str, Judged]) -> None:
    reference, other = sessions["run"], sessions[way]
    assert comparable(other.results) == comparable(reference.results)


def test_the_chosen_scenarios_were_run(sessions: dict[str, Judged]) -> None:
    scenarios = {run["scenario"] for run in sessions["run"].target["runs"]}
    assert scenarios == {"baseline", *CHOSEN}
    assert {session.results["verdict"] for session in sessions.values()} == {
        "inconclusive"
    }  # a selection is never conforming
    assert sessions["run"].exit == sessions["run --jobs 1"].exit == 3


# -- traces -------------------------------------------------------------------------------------------------------------------


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
