"""An engine that plays a recorded session: the contract of ``engine/stream.py`` without a single process or socket.

Started as ``scripted_engine.py PLAY``; PLAY is a JSON file:

fail        [{target?, scenario, boundary?, rule, level?}]: findings of runs (level MUST unless said otherwise)
uncounted   [{scenario, rule, reason}]
left_out    {scenario: reason}
rows        rows that are added to each target's rules
extra       fields that are added to each target's object
boundaries  how many boundaries the target has (2)
failed      payload of a ``failed`` message to say instead of everything
crash       text for standard error, after the first scenario; then the process ends with status 7
wait        true: after the first scenario nothing comes until SIGTERM, then ``finished`` with ``interrupted`` true
starts      file to which each start appends its request, one line each
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from machineid_conformance.config.load import load
from machineid_conformance.scenario.load import load_catalogue
from machineid_conformance.scenario.model import Scenario
from machineid_conformance.trace import events as e
from machineid_conformance.trace.redact import Redactor
from machineid_conformance.trace.writer import TraceWriter

VIOLATION = 8  # the line of every written trace that is the violating one


def say(kind: str, **payload: Any) -> None:
    os.write(1, json.dumps({"kind": kind, **payload}).encode() + b"\n")


def write_trace(
    path: Path, *, run: str, target: str, scenario: Scenario, boundary: int | None, follow: str | None
) -> None:
    ticks = iter(range(1000))
    tell = (lambda event: say("event", run=run, event=event)) if follow == run else None
    writer = TraceWriter(path, clock=lambda: next(ticks) / 100, redactor=Redactor(), tell=tell)
    device = "worker:dev:queue-consumer:01"
    subject = None if boundary is None else scenario.sweep
    for event in (
        e.RunStarted(run=run, target=target, scenario=scenario.id, rules=scenario.rules, subject=subject, n=boundary),
        e.Spawned(instance=1, start=1, command=("python", "worker.py"), device=device),
        e.ConnectionOpened(connection=1, instance=1, host="machineid.io", port=443),
        e.ControlRequest(
            call=1, connection=1, instance=1, operation="validate", n=1, method="POST", path="/api/v1/devices/validate",
            device=device, key="current",
        ),
        e.Operator(action="revoke", device=device),
        e.ControlAnswered(
            call=1, operation="validate", device=device, status=200, decision="deny", code="DEVICE_REVOKED", request_id="r-1"
        ),
        e.Output(instance=1, start=1, stream="stdout", text="denied \x1b[31mDEVICE_REVOKED r-1"),
        e.EffectStarted(
            effect=1, instance=1, role="side-effect", label="POST api.example/charge", transport="http", device=device
        ),
        e.EffectAnswered(effect=1, status=200),
        e.Exited(instance=1, start=1, code=1, signal=None, by="target"),
        e.Gone(instance=1, start=1, by="target"),
        e.RunEnded(reason="gone"),
    ):  # fmt: skip
        writer.write(event)
    writer.close()


class Play:
    def __init__(self, play: dict[str, Any], request: dict[str, Any]) -> None:
        self.play = play
        self.request = request
        self.report = Path(request["report"] or Path(request["root"]) / ".machineid-conformance")
        self.interrupted = False
        self.narrowed = bool(request["rules"] or request["scenario_globs"] or request["scenarios"] is not None)

    def targets(self) -> list[str]:
        if self.request["scenarios"] is not None:
            return list(self.request["scenarios"])
        if self.request["command"]:
            return ["command"]
        names = [target.name for target in load(Path(self.request["root"]) / self.request["config"]).targets]
        return [name for name in names if not self.request["targets"] or name in self.request["targets"]]

    def scenarios(self, target: str) -> list[Scenario]:
        wanted = self.request["scenarios"]
        globs = self.request["scenario_globs"]
        return [
            scenario
            for scenario in load_catalogue()
            if (wanted is None or scenario.id in wanted[target] or not scenario.steps)
            and (not globs or scenario.id in globs)
            and scenario.id not in self.play.get("left_out", {})
        ]

    def run(self, target: str, scenario: Scenario, boundary: int | None) -> dict[str, Any]:
        run = "/".join([target, scenario.id, *([] if boundary is None else [f"{scenario.sweep}-{boundary}"])])
        trace = f"traces/{run.replace('/', '.')}.jsonl"
        case = {
            "target": target, "run": run, "scenario": scenario.id, "boundary": boundary, "variant": None, "environment": None,
        }  # fmt: skip
        say("run-started", **case)
        write_trace(
            self.report / trace,
            run=run,
            target=target,
            scenario=scenario,
            boundary=boundary,
            follow=self.request["follow"],
        )
        rules: dict[str, dict[str, Any]] = {
            rule: {"outcome": "pass", "reason": None, "level": "MUST", "findings": []} for rule in scenario.rules
        }
        for failing in self.play.get("fail", ()):
            if self._meant(failing, target, scenario, boundary):
                finding = {
                    "run": run, "message": "effect 1 started after the deny", "events": [6, VIOLATION],
                    "expected": "no work after the deny of line 6", "got": "POST api.example/charge",
                }  # fmt: skip
                level = failing.get("level", "MUST")
                rules[failing["rule"]] = {"outcome": "fail", "reason": None, "level": level, "findings": [finding]}
        for starved in self.play.get("uncounted", ()):
            if starved["scenario"] == scenario.id:
                rules[starved["rule"]] |= {"outcome": "uncounted", "reason": starved["reason"]}
        timing = {"seconds": 0.5, "wall_seconds": 0.25}
        say("run-judged", **case, subject=scenario.sweep, trace=trace, rules=rules, **timing)
        return {
            "id": run,
            "scenario": scenario.id,
            "boundary": boundary,
            "variant": None,
            "environment": None,
            "trace": trace,
            "speed": 1,
            "rules": rules,
        }

    @staticmethod
    def _meant(failing: dict[str, Any], target: str, scenario: Scenario, boundary: int | None) -> bool:
        return (
            failing.get("target", target) == target
            and failing["scenario"] == scenario.id
            and failing.get("boundary", boundary) == boundary
        )

    def target(self, target: str) -> dict[str, Any]:
        scenarios = self.scenarios(target)
        count = self.play.get("boundaries", 2)
        cases = {scenario.id: [None] if scenario.sweep == "once" else [*range(1, count + 1)] for scenario in scenarios}
        if self.request["boundary"] is not None:
            cases = {name: [n for n in ns if n in (None, self.request["boundary"])] for name, ns in cases.items()}
        left_out = self.play.get("left_out", {})
        planned = {name: len(ns) for name, ns in cases.items()}
        say(
            "planned",
            target=target,
            runs=sum(planned.values()),
            scenarios=planned,
            left_out=left_out,
            isolation="namespace",
        )
        runs: list[dict[str, Any]] = []
        for scenario in scenarios:
            mine = [self.run(target, scenario, boundary) for boundary in cases[scenario.id]]
            runs += mine
            say("scenario-done", target=target, scenario=scenario.id, runs=[run["id"] for run in mine])
            if "crash" in self.play:
                os.write(2, str(self.play["crash"]).encode())
                sys.exit(7)
            if self.play.get("wait"):
                wait_to_be_ended()
                self.narrowed = self.interrupted = True
                break
        return {**self.judged(target, runs), "interrupted": self.interrupted, "planned_runs": sum(planned.values())}

    def judged(self, target: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
        rows: dict[str, dict[str, Any]] = {}
        for run in runs:
            for rule, seen in run.pop("rules").items():
                row = rows.setdefault(
                    rule,
                    {"id": rule, "level": seen["level"], "status": "pass", "runs": 0, "reason": None, "findings": []},
                )
                row["runs"] += 1
                if seen["outcome"] == "fail":
                    row |= {"level": seen["level"], "status": "fail" if seen["level"] == "MUST" else "warn"}
                    row["findings"] += seen["findings"]
        for row in self.play.get("rows", ()):
            rows[row["id"]] = row
        statuses = {row["status"] for row in rows.values()}
        complete = not self.narrowed
        starved = any(row["status"] == "inconclusive" and row["level"] == "MUST" for row in rows.values())
        verdict = (
            "non-conforming"
            if statuses & {"fail", "xfail"}
            else "conforming"
            if complete and not starved
            else "inconclusive"
        )
        latency = {
            "runs": 9, "change_to_deny": {"min": 0.1, "median": 0.2, "p95": 0.3, "max": 0.3}, "deny_to_end": {},
            "change_to_last_effect": {"min": 0, "median": 0.1, "p95": 0.15, "max": 0.2}, "effects_after_deny": 0,
            "effects_between_change_and_deny": 1,
        }  # fmt: skip
        return {
            "name": target, "profile": "high", "isolation": "namespace", "verdict": verdict, "complete": complete,
            "rules": list(rows.values()), "stop_latency": latency, "runs": runs, **self.play.get("extra", {}),
        }  # fmt: skip

    def all(self) -> int:
        if "failed" in self.play:
            say("failed", **self.play["failed"])
            return int(self.play["failed"]["exit"])
        targets = []
        for name in self.targets():
            targets.append(self.target(name))
            say("target-judged", target=targets[-1])
        order = ("conforming", "inconclusive", "non-conforming")
        verdict = max((target["verdict"] for target in targets), key=order.index, default="inconclusive")
        hard = any(row["status"] == "fail" for target in targets for row in target["rules"])
        code = {"conforming": 0, "inconclusive": 3, "non-conforming": 1 if hard else 0}[verdict]
        results = self.report / "results.json"
        complete = not self.narrowed
        results.write_text(json.dumps({"schema": 1, "complete": complete, "verdict": verdict, "targets": targets}))
        how = {"complete": complete, "interrupted": self.interrupted, "exit": code}
        say("finished", results=str(results), verdict=verdict, **how)
        return code


class EndedError(Exception):
    pass


def end(number: int, frame: object) -> None:
    raise EndedError


def wait_to_be_ended() -> None:
    """Until SIGTERM, or until nobody holds our standard input any more."""
    signal.signal(signal.SIGTERM, end)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        sys.stdin.read()
    except EndedError:
        pass


def main() -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    play = json.loads(Path(sys.argv[1]).read_text())
    line = sys.stdin.readline()
    if "starts" in play:
        with Path(play["starts"]).open("a") as starts:
            starts.write(line)
    return Play(play, json.loads(line)).all()


if __name__ == "__main__":
    sys.exit(main())
