"""A real Toxiproxy server and the fake control plane itself deliver the network faults, and come to the same verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from machineid_conformance.engine.stream import Request
from machineid_conformance.session import EngineFailed, EngineSession
from tests.end_to_end.equality import without_times
from tests.end_to_end.support import Judged, check_schemas, lines
from tests.matrix.catalogue import Violation, load_violations, write_violations
from tests.toxics.support import needs_toxiproxy

pytestmark = needs_toxiproxy

NETWORK = (
    "fail-closed-refused",
    "fail-closed-reset",
    "fail-closed-hang",
    "fail-closed-slow-body",
    "fail-closed-truncated",
    "latency-below-deadline",
)
OUTAGES = ("startup-unreachable", "outage-ends", "outage-flapping")
CONFORMING = {"worker": (*NETWORK, *OUTAGES), "requests-worker": NETWORK}
"""A connection for each call on the standard library; a pool that keeps them alive."""
VIOLATING = (
    "proceeds-when-refused",
    "proceeds-on-reset",
    "proceeds-on-timeout",
    "proceeds-on-half-an-answer",
    "long-timeout",
)
BY_TOXIPROXY = {"hang", "latency", "refuse", "reset", "slow-body", "truncated"}


def runtimes() -> list[Violation]:
    """Conforming runtimes as violations of nothing, and the violating ones under the network's scenarios among their own."""
    known = {one.name: one for one in load_violations()}
    kept = [
        Violation(
            name=f"conforming-{twin}", twin=twin, target={"sweep": "classes"}, scenarios=scenarios, fails=frozenset()
        )
        for twin, scenarios in CONFORMING.items()
    ]
    broken = [
        replace(known[name], scenarios=tuple(set(NETWORK).intersection(known[name].scenarios))) for name in VIOLATING
    ]
    return [*kept, *broken]


NAMES = [one.name for one in runtimes()]


def session(folder: Path, faults: Literal["built-in", "toxiproxy"]) -> Judged:
    """Each runtime under its scenarios, with one of the two that can deliver the faults."""
    report = folder / "report"
    configuration = write_violations(runtimes(), folder)
    for program in folder.glob("*/*.py"):
        # With 2 s, a busy machine makes them too slow for a fault before it can show; and that is no question here.
        text = program.read_text(encoding="utf-8")
        program.write_text(text.replace("DEADLINE = 2.0", "DEADLINE = 6.0"), encoding="utf-8")
    request = Request(
        root=str(folder),
        config=str(configuration),
        report=str(report),
        scenarios={one.name: ("baseline", *one.scenarios) for one in runtimes()},
        faults=faults,
        jobs=2,
    )
    with EngineSession(request) as running:
        try:
            while running.next() is not None:
                pass
        except EngineFailed as failed:
            raise AssertionError(f"{failed.message}\n{running.stderr_tail()}") from failed
    results = json.loads((report / "results.json").read_text(encoding="utf-8"))
    judged = Judged(exit=0, results=results, report=report, stdout="", stderr="")
    check_schemas(judged)
    return judged


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Judged]:
    deliverers: tuple[Literal["built-in", "toxiproxy"], ...] = ("built-in", "toxiproxy")
    return {name: session(tmp_path_factory.mktemp(name), name) for name in deliverers}


def of(judged: Judged, name: str) -> dict[str, Any]:
    """One target of results.json."""
    (found,) = (target for target in judged.results["targets"] if target["name"] == name)
    target: dict[str, Any] = found
    return target


def delivered(judged: Judged, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The receipts of a target, each with its run."""
    for run in of(judged, name)["runs"]:
        for event in lines(judged.report / run["trace"]):
            if event["event"] == "fault-delivered":
                yield run["id"], event


def verdicts(target: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of each rule, and of which runs: all but times, and positions in a trace."""
    return {
        row["id"]: without_times(
            {
                "level": row["level"],
                "status": row["status"],
                "counted": row["counted"],
                "uncounted": [one["run"] for one in row["uncounted"]],
                "findings": [{**finding, "events": len(finding["events"])} for finding in row["findings"]],
            }
        )
        for row in target["rules"]
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_verdicts_are_the_same(name: str, sessions: dict[str, Judged]) -> None:
    built_in, toxiproxy = (of(sessions[by], name) for by in ("built-in", "toxiproxy"))
    assert [run["id"] for run in toxiproxy["runs"]] == [run["id"] for run in built_in["runs"]]
    assert verdicts(toxiproxy) == verdicts(built_in)
    assert toxiproxy["verdict"] == built_in["verdict"]


@pytest.mark.parametrize("violation", [one for one in runtimes() if one.fails], ids=lambda one: one.name)
def test_what_a_violating_runtime_gets_wrong_is_found_through_toxiproxy(
    violation: Violation, sessions: dict[str, Judged]
) -> None:
    rows = of(sessions["toxiproxy"], violation.name)["rules"]
    failing = {row["id"] for row in rows if row["status"] in ("fail", "warn")}
    named = {f"fail-closed/{name.removeprefix('fail-closed-')}" for name in violation.scenarios}
    shown = {rule for rule in violation.fails if rule in named or rule == "fail-closed/short-timeout"}
    assert shown
    assert shown <= failing, failing


@pytest.mark.parametrize("name", NAMES)
def test_every_network_fault_was_delivered_by_toxiproxy(name: str, sessions: dict[str, Judged]) -> None:
    receipts = list(delivered(sessions["toxiproxy"], name))
    faults = {event["fault"] for _, event in receipts}
    assert faults == {event["fault"] for _, event in delivered(sessions["built-in"], name)}
    if name == "conforming-worker":
        assert faults == {*BY_TOXIPROXY, "status", "handshake-hang"}
    for run, event in receipts:
        # Half the JSON in a whole HTTP message, and a status, are nothing that a network does.
        by_toxiproxy = event["fault"] in BY_TOXIPROXY and event["variant"] != "json"
        assert event["by"] == ("toxiproxy" if by_toxiproxy else "built-in"), run
        assert ("Toxiproxy's" in event["evidence"]) is by_toxiproxy, event["evidence"]
    assert {event["by"] for _, event in delivered(sessions["built-in"], name)} == {"built-in"}


def test_the_report_says_by_whom_each_fault_was_delivered(sessions: dict[str, Judged]) -> None:
    toxiproxy = of(sessions["toxiproxy"], "conforming-worker")["fault_delivery"]
    assert toxiproxy["server"].startswith("Toxiproxy ")
    assert toxiproxy["toxiproxy"] == ["hang", "latency", "refuse", "reset", "slow-body", "truncated (length)"]
    assert toxiproxy["built-in"] == ["handshake-hang", "status", "truncated (json)"]
    assert of(sessions["built-in"], "conforming-worker")["fault_delivery"] == {
        "server": None,
        "built-in": ["handshake-hang", "hang", "latency", "refuse", "reset", "slow-body", "status", "truncated"],
        "toxiproxy": [],
    }
