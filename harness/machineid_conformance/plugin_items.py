"""The conformance items of a pytest session: configuration file → target → scenarios and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance.config.model import Target
from machineid_conformance.plugin_ledger import Ledger, LeftOut, Payload
from machineid_conformance.plugin_longrepr import longrepr
from machineid_conformance.plugin_plan import VERDICT, Plan
from machineid_conformance.plugin_subtests import Subtest, show
from machineid_conformance.report.failure import Failure, brief, failures_of_run, failures_of_target, render
from machineid_conformance.report.rules import texts
from machineid_conformance.report.style import Style, printable
from machineid_conformance.session import EngineFailed

MARKER = "machineid_conformance"


class Violated(Exception):  # noqa: N818  (the verdict on the target, not an error of ours)
    """A conformance item fails; the message is all that its reader needs."""


class Shown:
    """What of a session was shown already: a rule's words stand once, and not in each of fifty runs."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._texts = texts(plan.rules)
        self._rules: set[tuple[str, str]] = set()
        self.style = Style()
        self.engine_failed = False

    def of_run(self, payload: Payload) -> list[Failure]:
        """Every violation of one run."""
        return failures_of_run(payload, self._texts, self._plan.report)

    def of_target(self, target: Payload) -> list[Failure]:
        """Every violation of a target."""
        return failures_of_target(target, self._texts, self._plan.report)

    def render(self, failures: Iterable[Failure]) -> str:
        """The failures, each rule in full at its first."""
        lines: list[str] = []
        for failure in failures:
            key = (failure.target, failure.rule.id)
            lines += ["", *(brief if key in self._rules else render)(failure, self.style, self._plan.again)]
            self._rules.add(key)
        return "\n".join(lines[1:])


class Context:
    """What every item of a session shares. ``ledger`` starts the engine, or finds its spool, at the first call."""

    def __init__(self, plan: Plan, ledger: Callable[[], Ledger]) -> None:
        self.plan = plan
        self.ledger = ledger
        self.shown = Shown(plan)


class ConformanceFile(pytest.File):
    """The configuration file."""

    context: Context

    def collect(self) -> Iterable[pytest.Collector]:
        """One collector a target."""
        return collect_targets(self, self.context)


class ConformanceCommand(pytest.Collector):
    """Stands where the file would stand, when there is only a command."""

    context: Context

    def collect(self) -> Iterable[pytest.Collector]:
        """One collector a target."""
        return collect_targets(self, self.context)


def collect_targets(parent: pytest.Collector, context: Context) -> Iterable[pytest.Collector]:
    """The targets of the plan as collectors below ``parent``."""
    for target in context.plan.targets:
        collector = TargetCollector.from_parent(parent, name=target.name)
        collector.context, collector.target = context, target
        yield collector


def root(session: pytest.Session, context: Context) -> pytest.Collector:
    """The one collector that goes below the session."""
    path: Path | None = context.plan.configuration.path
    collector: ConformanceFile | ConformanceCommand
    if path is not None:
        collector = ConformanceFile.from_parent(session, path=path)
    else:
        collector = ConformanceCommand.from_parent(session, name="command", nodeid="command")
    collector.context = context
    return collector


class TargetCollector(pytest.Collector):
    """One target."""

    context: Context
    target: Target

    def collect(self) -> Iterable[pytest.Item]:
        """One item a scenario, and the verdict."""
        for scenario in self.context.plan.scenarios:
            yield ConformanceItem.make(ScenarioItem, self, scenario.id)
        yield ConformanceItem.make(VerdictItem, self, VERDICT)


class ConformanceItem(pytest.Item):
    """What scenarios and verdicts have in common."""

    context: Context
    target: Target

    @staticmethod
    def make(kind: type[ConformanceItem], parent: TargetCollector, name: str) -> ConformanceItem:
        """An item with its markers."""
        item = kind.from_parent(parent, name=name)
        item.context, item.target = parent.context, parent.target
        item.add_marker(MARKER)
        if item.config.pluginmanager.hasplugin("timeout"):
            # pytest-timeout's limit is meant for unit tests; the engine has limits of its own for every wait.
            item.add_marker(pytest.mark.timeout(0))
        return item

    def judge(self) -> None:
        """Wait for what the item is about and raise what it comes to."""
        raise NotImplementedError

    def runtest(self) -> None:
        """Judge, and say of an engine that failed all that there is to say once."""
        try:
            self.judge()
        except EngineFailed as failed:
            first, self.context.shown.engine_failed = not self.context.shown.engine_failed, True
            text = failed.message if first else failed.message.splitlines()[0]
            raise Violated(f"nothing could be judged ({failed.error} error): {text}") from failed

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: a Python traceback says nothing of a target."""
        if isinstance(excinfo.value, Violated):
            text = str(excinfo.value)
            return longrepr(self.path, text, summary=text.split("\n", 1)[0])
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the item stands: the configuration file has no line for it."""
        return self.path, 0, f"{self.target.name}::{self.name}"


class ScenarioItem(ConformanceItem):
    """One scenario of one target: its runs are subtests."""

    def judge(self) -> None:
        """Show every run; fail if a MUST is violated in one of them."""
        try:
            runs = self.context.ledger().scenario(self.target.name, self.name)
        except LeftOut as reason:
            raise pytest.skip.Exception(str(reason), _use_item_location=True) from None
        subtests = [self._subtest(payload) for payload in runs]
        shown = show(self, subtests)
        failed = [subtest for subtest in subtests if subtest.outcome == "failed"]
        if failed:
            rules = ", ".join(sorted({rule for subtest in failed for rule in subtest.rules}))
            head = f"{len(failed)} of {len(runs)} {'runs violate' if len(runs) != 1 else 'run violates'} {rules}"
            raise Violated(head if shown else "\n\n".join([head, *(subtest.text for subtest in failed)]))
        if warned := [subtest.warning for subtest in subtests if subtest.warning]:
            self.add_report_section("call", "conformance warnings", "\n\n".join(warned))
        if any(subtest.outcome == "xfailed" for subtest in subtests):
            raise pytest.xfail.Exception(
                "; ".join(sorted({subtest.text for subtest in subtests if subtest.outcome == "xfailed"}))
            )
        if all(subtest.outcome == "skipped" for subtest in subtests):
            reasons = "; ".join(dict.fromkeys(subtest.text for subtest in subtests))
            raise pytest.skip.Exception(f"no run counted: {reasons}", _use_item_location=True)

    def _subtest(self, payload: Payload) -> Subtest:
        plan, shown = self.context.plan, self.context.shown
        failures = shown.of_run(payload)
        expected = {failure.rule.id: plan.expected_failure(self.target, failure.rule.id) for failure in failures}
        hard = [
            failure
            for failure in failures
            if expected[failure.rule.id] is None and (failure.rule.level == "MUST" or self.target.strict)
        ]
        soft = [
            failure
            for failure in failures
            if expected[failure.rule.id] is None and failure.rule.level == "SHOULD" and not self.target.strict
        ]
        rows = payload.get("rules", {})
        uncounted = [
            f"{rule}: {row.get('reason') or 'no reason given'}"
            for rule, row in rows.items()
            if row["outcome"] == "uncounted"
        ]
        named = [rule for rule in self._named() if rule in rows] or list(rows)
        passed = Subtest(
            label=_label(payload),
            outcome="passed",
            seconds=float(payload.get("wall_seconds") or 0.0),
            warning=shown.render(soft) if soft else "",
            notes="\n".join(f"did not count for {printable(line)}" for line in uncounted),
        )
        if hard:
            rules = tuple(failure.rule.id for failure in hard)
            return replace(passed, outcome="failed", text=shown.render(hard), rules=rules)
        if any(expected.values()):
            reasons = sorted(f"{rule}: {reason}" for rule, reason in expected.items() if reason)
            return replace(passed, outcome="xfailed", text="; ".join(reasons))
        if named and all(rows[rule]["outcome"] == "uncounted" for rule in named):
            reasons = list(dict.fromkeys(rows[rule].get("reason") or "no reason given" for rule in named))
            return replace(passed, outcome="skipped", text=printable("; ".join(reasons)))
        return passed

    def _named(self) -> Sequence[str]:
        return next(scenario.rules for scenario in self.context.plan.scenarios if scenario.id == self.name)


def _label(payload: Payload) -> str:
    """A run among its scenario's: boundary, variant and environment, or the end of its id."""
    parts = []
    if payload.get("boundary") is not None:
        parts.append(f"{'effect' if payload.get('subject') == 'effect' else 'boundary'} {payload['boundary']}")
    if payload.get("variant") is not None:
        parts.append(str(payload["variant"]))
    if payload.get("environment") is not None:
        parts.append(f"environment {payload['environment']}")
    known = "/".join([payload["target"], payload["scenario"]])
    rest = str(payload["run"]).removeprefix(known).strip("/")
    return ", ".join(parts) or (f"run {rest}" if rest else "the run")


class VerdictItem(ConformanceItem):
    """The verdict of one target, with the rules that span its runs."""

    def judge(self) -> None:
        """Fail unless the target conforms; skip when only a part was run and nothing of it failed."""
        ledger = self.context.ledger()
        target = ledger.target(self.target.name)
        if target is None:
            raise pytest.skip.Exception("the session ended before this target was judged", _use_item_location=True)
        rows = list(target.get("rules") or ())
        failed = [row for row in rows if row["status"] == "fail" or (row["status"] == "warn" and self.target.strict)]
        complete = bool(target.get("complete", True)) and bool((ledger.finished or {}).get("complete", True))
        starved = [row for row in rows if row["status"] == "inconclusive"] if complete else []
        open_musts = [row for row in starved if row["level"] == "MUST"]
        stale = [f"  {printable(str(text))}" for text in target.get("xfail_problems") or ()]
        show(self, [_starved(row) for row in starved])
        verdict = target.get("verdict", "inconclusive")
        if failed or open_musts or stale:
            lines = [f"{self.target.name} is {verdict}", *map(_line, [*failed, *open_musts]), *stale]
            beyond = self._beyond_runs(ledger, target, {row["id"] for row in failed})
            details = self.context.shown.render(beyond)
            raise Violated("\n".join([*lines, *(["", details] if details else [])]))
        if not complete:
            raise pytest.skip.Exception(
                "incomplete: only a part of what is configured was run; nothing failed, but it is no verdict",
                _use_item_location=True,
            )
        expected = [row for row in rows if row["status"] == "xfail"]
        if expected:
            raise pytest.xfail.Exception(
                "; ".join(f"{row['id']}: {row.get('reason') or 'expected'}" for row in expected)
            )
        if verdict != "conforming":
            problems = target.get("problems") or ["the engine gave no reason"]
            raise Violated(
                "\n".join([f"{self.target.name} is {verdict}", *(f"  {printable(str(text))}" for text in problems)])
            )

    def _beyond_runs(self, ledger: Ledger, target: Payload, rules: set[str]) -> list[Failure]:
        """The violations that no single run shows: they stand nowhere else."""
        in_runs = {
            rule
            for (name, _), payloads in ledger.runs.items()
            if name == self.target.name
            for payload in payloads
            for rule, row in payload.get("rules", {}).items()
            if row["outcome"] == "fail"
        }
        return [failure for failure in self.context.shown.of_target(target) if failure.rule.id in rules - in_runs]


def _line(row: Payload) -> str:
    findings = row.get("findings") or ()
    reason = row.get("reason") or (findings[0]["message"] if findings else "no reason given")
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"  {row['id']} ({row['level']}) {row['status']}: {printable(str(reason))}{more}"


def _starved(row: Payload) -> Subtest:
    outcome: Any = "failed" if row["level"] == "MUST" else "skipped"
    reason = printable(str(row.get("reason") or "no reason given"))
    return Subtest(
        label=f"{row['id']} inconclusive",
        outcome=outcome,
        text=f"{row['id']} ({row['level']}) is inconclusive: {reason}",
    )
