from __future__ import annotations

import io
from typing import Any

import pytest

from machineid_conformance.engine.stream import Message
from machineid_conformance.report.progress import ERASE, Progress
from machineid_conformance.report.style import Style
from machineid_conformance.report.terminal import summary

FIGURES = {"min": 0.1, "median": 0.2, "p95": 0.3, "max": 0.35}


def row(rule: str, status: str, level: str = "MUST", **more: Any) -> dict[str, Any]:
    return {"id": rule, "level": level, "status": status, "runs": 1, "reason": None, "findings": [], **more}


def target(**changed: Any) -> dict[str, Any]:
    return {
        "name": "worker", "profile": "high", "isolation": "namespace", "verdict": "non-conforming", "complete": True,
        "rules": [
            row("startup/gate", "pass"),
            row("startup/denied", "fail", findings=[{"message": "worked on"}, {"message": "again"}]),
            row("stop/surgical", "inconclusive", "SHOULD", reason="one device only"),
            row("stop/latency", "info", "report"),
            row("stop/exits", "pass"),
            row("identity/per-replica", "not-applicable", "SHOULD", reason="one instance"),
        ],
        "stop_latency": {
            "runs": 9, "change_to_deny": FIGURES, "deny_to_end": {}, "effects_after_deny": 0,
            "effects_between_change_and_deny": 1,
        },
        "runs": [{"id": "a"}, {"id": "b"}],
        **changed,
    }  # fmt: skip


FINISHED = {"results": "out/results.json", "verdict": "non-conforming", "complete": True, "exit": 1}


def test_the_summary_of_a_target() -> None:
    assert summary([target()], FINISHED, Style(width=80)) == [
        "worker  profile high, 2 runs",
        "              pass  fail  warn  inconclusive  n/a  info",
        "  startup        1     1     ·             ·    ·     ·",
        "  stop           1     ·     ·             1    ·     1",
        "  identity       ·     ·     ·             ·    1     ·",
        "  failed        startup/denied (MUST): worked on (and 1 more)",
        "  inconclusive  stop/surgical (SHOULD): one device only",
        "  stop latency  change to deny 0.10/0.20/0.30/0.35 s (min/median/p95/max of 9",
        "                runs); effects: 1 between change and deny, 0 after a deny",
        "  isolation     namespace: every address and name led to the harness",
        "  verdict       NON-CONFORMING",
        "",
        "completeness  complete",
        "results       out/results.json",
        "verdict       NON-CONFORMING",
    ]


def test_a_sweep_that_is_not_the_usual_one_is_said() -> None:
    assert summary([target(sweep="classes")], FINISHED, Style())[0] == "worker  profile high, sweep classes, 2 runs"
    assert summary([target(sweep="kinds")], FINISHED, Style())[0] == "worker  profile high, 2 runs"


def test_proxy_isolation_stands_on_the_verdict_s_line() -> None:
    lines = summary([target(isolation="proxy")], FINISHED, Style())
    assert "  verdict       NON-CONFORMING (proxy isolation: HTTP clients that honour proxy variables only)" in lines


def test_what_was_not_finished_has_no_verdict() -> None:
    assert summary([], None, Style()) == ["no verdict: the session did not finish"]


def test_what_is_incomplete_says_so() -> None:
    lines = summary([], {**FINISHED, "complete": False, "verdict": "inconclusive"}, Style(width=140))
    assert lines[0].startswith("completeness  incomplete: not everything")


def test_what_was_interrupted_says_how_much_was_judged() -> None:
    untouched = [row(f"fail-closed/{name}", "inconclusive", runs=0) for name in ("refused", "dns")]
    far = {"interrupted": True, "complete": False, "rules": untouched}
    targets = [
        target(name="worker", planned_runs=242, **far),
        target(name="tool", planned_runs=None, runs=[], problems=["the session was interrupted"], **far),
        target(name="done", planned_runs=2),
    ]
    finished = {**FINISHED, "complete": False, "interrupted": True}
    lines = summary(targets, finished, Style(width=140))
    assert "worker  profile high, interrupted after 2 of 242 runs" in lines
    assert "tool  profile high, interrupted before its fault-free runs were over" in lines
    assert "done  profile high, 2 runs" in lines
    assert lines.count("  not run       2 rules that no run had exercised by then") == 2
    (at,) = (number for number, line in enumerate(lines) if line.startswith("completeness"))
    assert " ".join(" ".join(lines[at : at + 2]).split()) == (
        "completeness incomplete: worker interrupted after 2 of 242 runs, tool interrupted before its fault-free runs were over; "
        "what was not run may hold a violation, so it cannot be conforming"
    )


def test_an_xfail_that_must_be_changed_is_a_problem_and_named_once() -> None:
    problem = "xfail 'stop/exits' (OPS-1): the rule passes; remove the entry"
    lines = summary([target(xfail_problems=[problem])], FINISHED, Style(width=140))
    assert f"  problem       {problem}" in lines


def test_what_a_selection_leaves_out_is_counted_and_not_listed() -> None:
    rules = [row(f"fail-closed/{name}", "inconclusive", runs=0) for name in ("refused", "dns", "tls")]
    seen = row("stop/exits", "inconclusive", runs=0, uncounted=[{"run": "r", "reason": "no work"}], reason="no work")
    lines = summary([target(rules=[*rules, seen], complete=False)], FINISHED, Style())
    assert "  not run       3 rules that this selection does not exercise" in lines
    assert "  inconclusive  stop/exits (MUST): no work" in lines
    assert not any("refused" in line for line in lines)


def test_ascii_where_the_stream_can_carry_no_more() -> None:
    "\n".join(summary([target()], FINISHED, Style(unicode=False))).encode("ascii")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    style = Style(width=width)
    assert all(len(line) <= width for line in summary([target()], FINISHED, style))


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "colour"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_on_a_terminal_only(stream: io.StringIO, environment: dict[str, str], colour: bool) -> None:
    style = Style.of(stream, environment=environment)
    assert style.colour is colour
    assert ("\x1b" in "".join(summary([target()], FINISHED, style))) is colour


def session(runs: int) -> list[Message]:
    def judged(number: int) -> Message:
        rules = {"stop/exits": {"outcome": "fail" if number == 3 else "pass"}}
        return Message(
            kind="run-judged", payload={"target": "worker", "run": f"r{number}", "scenario": "x", "rules": rules}
        )

    planned = Message(kind="planned", payload={"target": "worker", "runs": runs, "isolation": "namespace"})
    started = Message(kind="run-started", payload={"target": "worker", "run": "r1", "scenario": "x", "boundary": 2})
    return [started, planned, *(judged(number) for number in range(runs))]


def test_a_log_has_one_line_a_tenth() -> None:
    stream = io.StringIO()
    progress = Progress(stream, Style(), live=False)
    for message in session(200):
        progress.show(message)
    progress.clear()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "worker: 200 runs, isolation namespace"
    assert lines[1] == "worker:  10 % (20 of 200 runs, 1 with violations)"
    assert len(lines) == 11
    assert "\r" not in stream.getvalue()


def test_a_terminal_has_one_line_that_goes_away() -> None:
    stream = Terminal()
    progress = Progress(stream, Style(width=60), live=True)
    for message in session(4):
        progress.show(message)
    progress.clear()
    assert stream.getvalue().count("\n") == 1  # the plan
    assert stream.getvalue().endswith(ERASE)
    assert "worker 2/4  → x 2" in stream.getvalue()


def test_a_notice_is_shown_at_once() -> None:
    stream = io.StringIO()
    Progress(stream, Style(), live=False).show(Message(kind="notice", payload={"text": "the CA was rejected"}))
    assert stream.getvalue() == "note  the CA was rejected\n"
