from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from machineid_conformance.report.failure import (
    BRIEF,
    Failure,
    Reproduction,
    RuleText,
    failures_of_run,
    failures_of_target,
    render,
    render_grouped,
)
from machineid_conformance.report.style import Style
from machineid_conformance.trace import events as e
from machineid_conformance.trace.redact import Redactor
from machineid_conformance.trace.writer import TraceWriter

RULE = RuleText(
    id="stop/next-boundary", level="MUST", statement="No work after a deny.", source="GUARANTEES 4", remedy="Return."
)
PLAIN = Style(width=100)
CLI = Reproduction(program=("machineid-conformance", "run"))


def trace(folder: Path, lines: int = 14) -> Path:
    ticks = iter(range(lines))
    writer = TraceWriter(folder / "run.jsonl", clock=lambda: float(next(ticks)), redactor=Redactor())
    writer.write(e.RunStarted(run="worker/x", target="worker", scenario="x", rules=()))
    for number in range(2, lines + 1):
        writer.write(e.Output(instance=1, start=1, stream="stdout", text=f"line {number}"))
    writer.close()
    return folder / "run.jsonl"


def failure(path: Path | None, **changed: Any) -> Failure:
    case: dict[str, Any] = {
        "rule": RULE, "target": "worker", "scenario": "revoke-at-boundary", "run": "worker/x", "message": "worked on",
        "boundary": 3, "events": (2, 9), "expected": "nothing", "got": "a charge", "trace": path,
    }  # fmt: skip
    return Failure(**(case | changed))


def test_a_failure_in_full(tmp_path: Path) -> None:
    assert render(failure(trace(tmp_path)), PLAIN, CLI) == [
        "stop/next-boundary  MUST",
        "  the rule    No work after a deny. (GUARANTEES 4)",
        "  target      worker: revoke-at-boundary, boundary 3",
        "  violation   worked on",
        "",
        "     2    1.000s  target        stdout: line 2",
        "       … 2 lines",
        "     5    4.000s  target        stdout: line 5",
        "     6    5.000s  target        stdout: line 6",
        "     7    6.000s  target        stdout: line 7",
        "     8    7.000s  target        stdout: line 8",
        ">    9    8.000s  target        stdout: line 9",
        "    10    9.000s  target        stdout: line 10",
        "    11   10.000s  target        stdout: line 11",
        "    12   11.000s  target        stdout: line 12",
        "    13   12.000s  target        stdout: line 13",
        "",
        "  expected    nothing",
        "  got         a charge",
        "  remedy      Return.",
        "  again       machineid-conformance run --target worker --scenario revoke-at-boundary --boundary 3",
    ]


def test_a_trace_that_is_gone_is_said_and_hides_nothing_else(tmp_path: Path) -> None:
    lines = render(failure(tmp_path / "gone.jsonl"), PLAIN, CLI)
    assert any("cannot be shown" in line for line in lines)
    assert "  expected    nothing" in lines


def test_a_violation_without_a_line_is_what_is_missing() -> None:
    lines = render(failure(None, events=()), PLAIN, CLI)
    assert any("what is missing" in line for line in lines)


def test_what_a_target_wrote_does_not_steer_the_terminal() -> None:
    lines = render(failure(None, message="\x1b[2J gone\n\x07", got="\x9b1m"), PLAIN, CLI)
    assert "  violation   \\x1b[2J gone\\n\\x07" in lines
    assert "  got         \\x9b1m" in lines


def test_the_command_repeats_what_changes_a_run() -> None:
    again = Reproduction(
        program=("machineid-conformance", "run"), options=(("config", "a b.toml"), ("profile", "high"))
    )
    assert again(failure(None, variant="status-500")) == (
        "machineid-conformance run --config 'a b.toml' --profile high --target worker --scenario revoke-at-boundary "
        "--boundary 3 --variant status-500"
    )


def test_the_command_of_a_command() -> None:
    command = ("python", "my agent.py")
    cli = Reproduction(program=("machineid-conformance", "run"), command=command)
    assert cli(failure(None, boundary=None)) == (
        "machineid-conformance run --scenario revoke-at-boundary -- python 'my agent.py'"
    )
    plugin = Reproduction(program=("pytest", "--machineid-conformance"), prefix="machineid-", command=command)
    assert plugin(failure(None, boundary=None)) == (
        "pytest --machineid-conformance --machineid-scenario revoke-at-boundary "
        """--machineid-command 'python '"'"'my agent.py'"'"''"""
    )


def test_a_rule_that_many_runs_violate_is_told_once() -> None:
    many = [replace(failure(None, boundary=n), scenario=f"scenario-{n}") for n in range(1, 10)]
    lines = render_grouped(many, PLAIN, CLI)
    assert sum("the rule" in line for line in lines) == 1
    assert sum("again" in line for line in lines) == 1 + BRIEF
    assert f"  … and {8 - BRIEF} more of stop/next-boundary: all are in results.json" in lines


def test_failures_of_a_run_are_those_that_failed(tmp_path: Path) -> None:
    payload = {
        "target": "worker", "run": "worker/x", "scenario": "x", "boundary": 1, "variant": None, "trace": "traces/x.jsonl",
        "rules": {
            "stop/next-boundary": {"outcome": "fail", "level": "MUST", "findings": [{"message": "worked on", "events": [4]}]},
            "stop/exits": {"outcome": "pass", "level": "MUST", "findings": []},
            "stop/exposure": {"outcome": "fail", "reason": "unsaid", "level": "SHOULD", "findings": []},
        },
    }  # fmt: skip
    found = failures_of_run(payload, {RULE.id: RULE}, tmp_path)
    assert [(one.rule.id, one.rule.level, one.message) for one in found] == [
        ("stop/next-boundary", "MUST", "worked on"),
        ("stop/exposure", "SHOULD", "unsaid"),
    ]
    assert found[0].trace == tmp_path / "traces" / "x.jsonl"
    assert found[0].rule.statement == RULE.statement


def test_failures_of_a_target_find_their_run(tmp_path: Path) -> None:
    target = {
        "name": "worker",
        "rules": [
            {"id": "a/b", "level": "MUST", "status": "fail", "findings": [{"run": "r1", "message": "m", "events": []}]},
            {"id": "a/c", "level": "MUST", "status": "xfail", "findings": [{"run": "r1", "message": "n", "events": []}]},
            {"id": "a/d", "level": "SHOULD", "status": "warn", "findings": [{"run": "over all", "message": "o", "events": []}]},
        ],
        "runs": [{"id": "r1", "scenario": "x", "boundary": 2, "variant": "v", "trace": "traces/r1.jsonl"}],
    }  # fmt: skip
    found = failures_of_target(target, {}, tmp_path)
    assert [(one.rule.id, one.case) for one in found] == [("a/b", "x, boundary 2, v"), ("a/d", "over all")]
    assert CLI(found[1]) == "machineid-conformance run --target worker"


def test_further_violations_of_the_same_scenario_are_only_counted() -> None:
    lines = render_grouped([failure(None, boundary=n) for n in range(1, 10)], PLAIN, CLI)
    assert sum("again" in line for line in lines) == 1
    assert "  … and 8 more of stop/next-boundary: all are in results.json" in lines
