"""The boundary map of the fault-free runs."""

from __future__ import annotations

import pytest

from machineid_conformance.judge.baseline import build
from machineid_conformance.trace.events import ConnectionOpened, Diagnosed
from tests.judge._traces import Trace, target


def kinds(*traces: Trace) -> list[str]:
    return [boundary.kind for boundary in build([trace.view for trace in traces], target()).boundaries]


def test_kinds_follow_from_what_the_target_does_next() -> None:
    trace = Trace(baseline=True).spawn().register().allow()
    trace.allow().dequeue().allow().effect().allow().effect().allow().effect("llm-call").allow().effect("tool-call")
    trace.allow().effect("handoff").allow().allow().read().end()
    assert kinds(trace) == [
        "startup", "task", "task", "side-effect", "llm-call", "tool-call", "handoff", "loop", "side-effect",
    ]  # fmt: skip


def test_a_stimulus_begins_a_unit() -> None:
    trace = Trace(baseline=True).spawn().allow()
    for _ in range(2):
        trace.stimulus().allow().effect().replied()
    assert kinds(trace) == ["startup", "task", "task"]


def test_covers_and_work_after() -> None:
    found = build(
        [Trace(baseline=True).spawn().allow().allow().effect(label="charge").allow().exit(0).end().view], target()
    )
    assert [(b.n, b.covers, b.work_after) for b in found.boundaries] == [
        (1, (), True),
        (2, ("charge",), True),
        (3, (), False),
    ]
    assert (found.effects, found.effects_after) == (1, (False,))
    assert found.roles == {"side-effect"}
    assert not found.registers
    assert not found.reaches_horizon


def test_effects_are_counted_as_pins_count_them() -> None:
    trace = (
        Trace(baseline=True).spawn().allow().effect("log").effect(group="g").effect(group="g", joins=2).allow().effect()
    )
    found = build([trace.end().view], target())
    assert (found.effects, found.effects_after) == (2, (True, False))


def test_what_the_horizon_brought_about_is_left_out() -> None:
    trace = (
        Trace(baseline=True).spawn().allow().effect().operator("revoke", why="horizon").deny().exit(1).end("horizon")
    )
    found = build([trace.view], target())
    assert len(found.boundaries) == 1
    assert found.reaches_horizon


def test_deterministic_means_that_all_runs_agree() -> None:
    def run(*labels: str) -> Trace:
        trace = Trace(baseline=True).spawn().allow()
        for label in labels:
            trace.effect(label=label)
        return trace.end()

    assert build([run("a", "b").view, run("a", "b").view, run("a", "b").view], target()).deterministic
    different = build([run("a", "b").view, run("b", "a").view, run("a").view], target())
    assert not different.deterministic
    assert different.effects == 1


def test_outputs_are_normalised() -> None:
    found = build([Trace(baseline=True).spawn().output("job 17 done").allow().end().view], target())
    again = build([Trace(baseline=True).spawn().output("job 9 done").allow().end().view], target())
    assert found.outputs == again.outputs


def test_https_is_known_by_the_port() -> None:
    def over(port: int) -> bool:
        opened = ConnectionOpened(connection=1, instance=1, host="machineid.io", port=port)
        return build([Trace(baseline=True).spawn().add(opened).allow().end().view], target()).uses_https

    assert over(443)
    assert not over(80)


def test_no_call_at_all_is_diagnosed() -> None:
    silent = Trace(baseline=True).spawn().output("no such file").exit(2).end()
    diagnosis = build([silent.view], target()).diagnosis or ""
    assert "made no control-plane call" in diagnosis
    assert "exit code 2; its last line was: no such file" in diagnosis
    refused = Trace(baseline=True).spawn().add(Diagnosed(problem="ca-rejected", detail="it rejects the harness's CA"))
    assert build([refused.end().view], target()).diagnosis == "it rejects the harness's CA"
    pushed = Trace(baseline=True).spawn().stimulus().replied(200).end("stimuli")
    assert "handler" in (build([pushed.view], target()).diagnosis or "")
    assert build([Trace(baseline=True).spawn().register().effect().end().view], target()).diagnosis is None


def test_no_run_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one fault-free run"):
        build([], target())
