"""One failure.

The rule and what it says, the trace around the violation, expected and got, and how to run this case again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from machineid_conformance.report import timeline
from machineid_conformance.report.style import Style, printable
from machineid_conformance.trace.events import Event
from machineid_conformance.trace.reader import TraceError, read

AROUND = 4
"""Events before and after the violating one that an excerpt shows."""


@dataclass(frozen=True, kw_only=True)
class RuleText:
    """What a rule says, for people."""

    id: str
    level: str
    statement: str = ""
    source: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One rule violated in one run.

    ``events`` are lines of its trace, the last of them the violating one. ``scenario`` is empty for a violation that
    only several runs together show.
    """

    rule: RuleText
    target: str
    scenario: str
    run: str
    message: str
    boundary: int | None = None
    variant: str | None = None
    environment: int | None = None
    events: tuple[int, ...] = ()
    expected: str = ""
    got: str = ""
    trace: Path | None = None

    @property
    def case(self) -> str:
        """The case in a few words: scenario, boundary, variant, environment."""
        parts = [
            f"boundary {self.boundary}" if self.boundary is not None else "",
            self.variant or "",
            f"environment {self.environment}" if self.environment is not None else "",
        ]
        return ", ".join([self.scenario or self.run or "over several runs", *(part for part in parts if part)])


Again = Callable[[Failure], str]
"""Gives the command that runs a failure's case again."""


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """How this session was started, as far as running one case again needs it.

    ``prefix`` of the options is ``""`` for ``machineid-conformance run`` and ``"machineid-"`` for pytest. ``options``
    are those that change what a run is (config, profile, isolation, …), each with its value.
    """

    program: tuple[str, ...]
    prefix: str = ""
    options: tuple[tuple[str, str], ...] = ()
    command: tuple[str, ...] = ()

    def __call__(self, failure: Failure) -> str:
        """The exact command."""
        chosen = [*self.options]
        if not self.command:
            chosen.append(("target", failure.target))
        if failure.scenario:
            chosen.append(("scenario", failure.scenario))
        if failure.boundary is not None:
            chosen.append(("boundary", str(failure.boundary)))
        if failure.variant is not None:
            chosen.append(("variant", failure.variant))
        if failure.environment is not None:
            chosen.append(("environment", str(failure.environment)))
        words = [*self.program, *(word for name, value in chosen for word in (f"--{self.prefix}{name}", value))]
        if self.command and self.prefix:
            words += [f"--{self.prefix}command", shlex.join(self.command)]
        elif self.command:
            words += ["--", *self.command]
        return shlex.join(words)


def failures_of_run(payload: Mapping[str, Any], texts: Mapping[str, RuleText], report: Path) -> list[Failure]:
    """Every violation that a ``run-judged`` message tells of.

    ``report`` is the folder that the trace's path is relative to.
    """
    run = {**payload, "id": payload["run"]}
    return [
        _failure(payload["target"], _text(rule, row, texts), finding, run, report)
        for rule, row in payload.get("rules", {}).items()
        if row.get("outcome") == "fail"
        for finding in row.get("findings") or [{"message": row.get("reason") or "violated"}]
    ]


def failures_of_target(
    target: Mapping[str, Any],
    texts: Mapping[str, RuleText],
    report: Path,
    *,
    statuses: Sequence[str] = ("fail", "warn"),
) -> list[Failure]:
    """Every violation of one target of results.json, rule by rule, of the rules that ended in one of ``statuses``."""
    runs = {run["id"]: run for run in target.get("runs") or ()}
    return [
        _failure(target["name"], _text(row["id"], row, texts), finding, runs.get(finding.get("run"), {}), report)
        for row in target.get("rules") or ()
        if row["status"] in statuses
        for finding in row.get("findings") or ()
    ]


def _text(rule: str, row: Mapping[str, Any], texts: Mapping[str, RuleText]) -> RuleText:
    """The rule's words, with the level that it had for this target."""
    known = texts.get(rule, RuleText(id=rule, level="MUST"))
    return replace(known, level=row.get("level") or known.level)


def _failure(target: str, rule: RuleText, finding: Mapping[str, Any], run: Mapping[str, Any], report: Path) -> Failure:
    trace = run.get("trace")
    return Failure(
        rule=rule,
        target=target,
        scenario=run.get("scenario", ""),
        run=run.get("id") or finding.get("run") or "",
        message=finding["message"],
        boundary=run.get("boundary"),
        variant=run.get("variant"),
        environment=run.get("environment"),
        events=tuple(finding.get("events") or ()),
        expected=finding.get("expected") or "",
        got=finding.get("got") or "",
        trace=report / trace if trace else None,
    )


def render(failure: Failure, style: Style, again: Again) -> list[str]:
    """The whole failure, as lines."""
    lines = [style.paint(f"{failure.rule.id}  {failure.rule.level}", "bold", "red")]
    if failure.rule.statement:
        source = f" ({failure.rule.source})" if failure.rule.source else ""
        lines += style.labelled("the rule", failure.rule.statement + source)
    lines += style.labelled("target", f"{failure.target}: {failure.case}")
    lines += style.labelled("violation", printable(failure.message))
    lines += ["", *excerpt(failure, style), ""]
    if failure.expected:
        lines += style.labelled("expected", printable(failure.expected))
    if failure.got:
        lines += style.labelled("got", printable(failure.got))
    if failure.rule.remedy:
        lines += style.labelled("remedy", failure.rule.remedy)
    # Not wrapped: it is there to be copied.
    return [*lines, f"  {'again':<12}{again(failure)}"]


def brief(failure: Failure, style: Style, again: Again) -> list[str]:
    """The same violation in another run, without what was said of the rule already."""
    head = style.paint(f"{failure.rule.id}  {failure.rule.level}", "bold", "red")
    return [
        f"{head}  {failure.case}",
        *style.labelled("violation", printable(failure.message)),
        f"  {'again':<12}{again(failure)}",
    ]


def excerpt(failure: Failure, style: Style) -> list[str]:
    """The trace around the violating line, which is the last of the finding's events, with the events that it cites."""
    if failure.trace is None or not failure.events:
        return style.labelled("trace", "no line of the trace shows it; it is what is missing that counts")
    try:
        events = read(failure.trace)
    except (OSError, TraceError) as error:
        return style.labelled("trace", f"cannot be shown: {error}")
    violating = failure.events[-1]
    shown = _chosen(events, cited=set(failure.events), violating=violating)
    lines: list[str] = []
    before = shown[0].seq - 1 if shown else 0
    for event in shown:
        if missing := event.seq - before - 1:
            word = "line" if missing == 1 else "lines"
            lines.append(style.paint(f"       {style.symbol('dots')} {missing} {word}", "dim"))
        lines.append(timeline.line(event, style, mark=event.seq == violating))
        before = event.seq
    return lines


def _chosen(events: tuple[Event, ...], *, cited: set[int], violating: int) -> list[Event]:
    return [event for event in events if event.seq in cited or abs(event.seq - violating) <= AROUND]


BRIEF = 3
"""Further runs that violate the same rule, each in three lines, before the rest is only counted."""


def _elsewhere(group: Sequence[Failure]) -> list[Failure]:
    """The first failure of each other scenario: further ones of the same say nothing new."""
    first: dict[str, Failure] = {}
    for failure in group:
        first.setdefault(failure.scenario, failure)
    return [failure for failure in first.values() if failure is not group[0]]


def render_grouped(failures: Sequence[Failure], style: Style, again: Again) -> list[str]:
    """Failures of a session: of each target and rule the first in full, a few in brief, and how many more there are."""
    groups: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.target, failure.rule.id), []).append(failure)
    lines: list[str] = []
    for (_, rule), group in groups.items():
        lines += [*render(group[0], style, again), ""]
        others = _elsewhere(group)[:BRIEF]
        for failure in others:
            lines += [*brief(failure, style, again), ""]
        if rest := len(group) - 1 - len(others):
            lines += [
                f"  {style.symbol('dots')} and {rest} more of {rule}: all are in results.json",
                "",
            ]
    return lines
