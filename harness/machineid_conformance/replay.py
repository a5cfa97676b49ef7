"""``replay RUN``: one case of an earlier session again, its timeline printed as it happens."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machineid_conformance.engine.stream import Message
from machineid_conformance.report import timeline
from machineid_conformance.report.failure import RuleText, failures_of_run
from machineid_conformance.report.progress import Progress
from machineid_conformance.report.rules import nearest
from machineid_conformance.report.style import Style, printable
from machineid_conformance.session import EngineFailed, EngineSession
from machineid_conformance.trace.events import RunStarted, Spawned, from_json
from machineid_conformance.trace.reader import TraceError, read


class NoSuchRun(Exception):  # noqa: N818  (reads as what happened)
    """Neither a run of results.json nor a trace: says where was looked and what is near."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What must be the same for a run to be the same case."""

    run: str
    target: str
    scenario: str
    boundary: int | None = None
    variant: str | None = None
    environment: int | None = None
    command: tuple[str, ...] = ()  # as its trace has it, secrets redacted

    @property
    def without_configuration(self) -> str:
        """What to say when there is neither a configuration nor a command to run it with."""
        command = shlex.join(self.command) if self.command else "COMMAND"
        again = f"machineid-conformance replay {self.run} -- {command}"
        return f"{self.run} was a run of a command, and there is no configuration here; give the command again: {again}"

    def is_case_of(self, payload: Mapping[str, Any]) -> bool:
        """Whether a message of the stream is about this case."""
        return payload.get("run") == self.run


def find(name: str, report: Path) -> Case:
    """The case of a run's id, or of a trace file.

    Raises:
        NoSuchRun: neither is there.
    """
    path = Path(name)
    if path.suffix == ".jsonl":
        return _from_trace(path if path.is_file() else report / name)
    results = report / "results.json"
    try:
        document = json.loads(results.read_text(encoding="utf-8"))
        runs = {run["id"]: (target["name"], run) for target in document["targets"] for run in target["runs"]}
    except FileNotFoundError:
        raise NoSuchRun(f"there is no {results}: nothing was run here, or --report names another folder") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoSuchRun(f"{results} cannot be read: {type(error).__name__}: {error}") from error
    if name not in runs:
        raise NoSuchRun(f"{results} has no run {name!r}{nearest(name, runs)}")
    target, run = runs[name]
    trace = report / run["trace"] if run.get("trace") else None
    return Case(
        run=name,
        target=target,
        scenario=run["scenario"],
        boundary=run.get("boundary"),
        variant=run.get("variant"),
        environment=run.get("environment"),
        command=_from_trace(trace).command if trace is not None and trace.is_file() else (),
    )


def _from_trace(path: Path) -> Case:
    try:
        events = read(path)
    except (OSError, TraceError) as error:
        raise NoSuchRun(f"the trace cannot be read: {error}") from error
    started = events[0]
    assert isinstance(started, RunStarted)  # the reader's promise
    command = next((event.command for event in events if isinstance(event, Spawned)), ())
    return Case(
        run=started.run,
        target=started.target,
        scenario=started.scenario,
        boundary=started.n,
        variant=started.variant,
        environment=_environment(started.run),
        command=command,
    )


def _environment(run: str) -> int | None:
    """A trace has the environment's variables, and its number in the run's id."""
    found = re.search(r"/environment-(\d+)$", run)
    return int(found[1]) if found else None


@dataclass(frozen=True)
class Shown:
    """How a replay is shown. ``report`` is the folder that the trace's path is relative to."""

    report: Path
    progress: Progress
    style: Style
    texts: Mapping[str, RuleText]


def replay_case(session: EngineSession, case: Case, shown: Shown) -> int:
    """Follow the session, print the case's timeline as it happens and then what it violates; returns the exit code."""
    exit_code: int | None = None
    while (message := _next(session, shown.progress)) is not None:
        if message.kind == "event" and case.is_case_of(message.payload):
            shown.progress.clear()
            print(timeline.line(from_json(message.payload["event"]), shown.style), flush=True)
        elif message.kind == "run-judged" and case.is_case_of(message.payload):
            shown.progress.clear()
            exit_code = _print(message.payload, shown)
        else:
            shown.progress.show(message)
    shown.progress.clear()
    if exit_code is None:
        print(f"{case.run} did not take place: the target's boundaries may be others than they were")
        return 3
    return exit_code


def _next(session: EngineSession, progress: Progress) -> Message | None:
    try:
        return session.next()
    except EngineFailed:
        progress.clear()
        raise


def _print(payload: Mapping[str, Any], shown: Shown) -> int:
    style = shown.style
    events = {event.seq: event for event in read(shown.report / payload["trace"])}
    failures = failures_of_run(payload, shown.texts, shown.report)
    print()
    for failure in failures:
        print(style.paint(f"{failure.rule.id}  {failure.rule.level}", "bold", "red"))
        print("\n".join(style.labelled("violation", printable(failure.message))))
        if failure.events:
            print(timeline.line(events[failure.events[-1]], style, mark=True))
    for rule, row in payload.get("rules", {}).items():
        if row.get("outcome") == "uncounted":
            print(
                "\n".join(
                    style.labelled(
                        "not counted", f"{rule}: {printable(row.get('reason') or 'no reason given')}", column=16
                    )
                )
            )
    if not failures:
        print("no violation")
    return 1 if any(failure.rule.level == "MUST" for failure in failures) else 0
