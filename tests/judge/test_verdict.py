"""From observations to statuses, from statuses to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest

from machineid_conformance.config.model import ExpectedFailure, Target
from machineid_conformance.judge.api import Baseline, Case, Finding, Level, Observation, Rule, RuleResult
from machineid_conformance.judge.verdict import (
    apply_strict,
    apply_xfail,
    conclude,
    judge_run,
    target_verdict,
    xfail_problems,
)
from tests.judge._traces import Trace, baseline, target

PASS = Observation(outcome="pass")
SKIP = Observation(outcome="uncounted", reason="nothing to judge")
TODAY = date(2026, 5, 1)


class Scripted(Rule):
    """Says what it is told to, in turn."""

    statement = applies_when = source = remedy = "x"

    def __init__(self, *said: Observation | Exception, name: str = "stop/scripted", level: Level = "MUST") -> None:
        self.id, self.level, self.said = name, level, list(said)
        self.absent: str | None = None
        self.unseen: str | None = None
        self.hungry: str | None = None

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        return self.absent

    def not_shown(self, cases: Sequence[Case]) -> str | None:
        return self.unseen

    def starved(self, counted: Sequence[Case]) -> str | None:
        return self.hungry

    def check(self, case: Case) -> Observation:
        said = self.said.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


FAIL = Observation(outcome="fail", findings=(Finding(run="worker/literal", message="m", events=(1,)),))


def result(rule: Scripted, runs: int | None = None, fault_free: Baseline | None = None) -> RuleResult:
    cases = [Trace(rule.id).spawn().end().case() for _ in range(len(rule.said) if runs is None else runs)]
    judged = [(case, judge_run(case, {rule.id: rule})) for case in cases]
    (found,) = conclude(judged, {rule.id: rule}, target(), fault_free or baseline())
    return found


@pytest.mark.parametrize(
    ("level", "said", "status"),
    [
        ("MUST", (PASS, PASS), "pass"),
        ("MUST", (PASS, SKIP), "pass"),
        ("MUST", (PASS, FAIL), "fail"),
        ("SHOULD", (PASS, FAIL), "warn"),
        ("report", (PASS,), "info"),
        ("report", (SKIP,), "info"),
        ("MUST", (SKIP, SKIP), "inconclusive"),
        ("SHOULD", (SKIP,), "inconclusive"),
        ("MUST", (), "inconclusive"),
        ("MUST", (PASS, ZeroDivisionError("oops")), "inconclusive"),
        ("MUST", (FAIL, ZeroDivisionError("oops")), "fail"),
    ],
)
def test_statuses(level: Level, said: tuple[Any, ...], status: str) -> None:
    assert result(Scripted(*said, level=level)).status == status


def test_runs_are_listed_with_their_reasons() -> None:
    found = result(Scripted(PASS, SKIP))
    assert (found.runs, found.counted) == (1, ("worker/literal",))
    assert found.uncounted == (("worker/literal", "nothing to judge"),)
    assert result(Scripted(SKIP, SKIP)).reason == "no run counted: nothing to judge (2 of 2 runs)"
    assert result(Scripted()).reason == "no run exercised it: no scenario that names it was run"


def test_nothing_passes_by_a_trace_that_stops_early_and_what_it_shows_still_fails() -> None:
    for said, status in ((PASS, "inconclusive"), (FAIL, "fail")):
        rule = Scripted(PASS, said)
        whole, cut = Trace(rule.id).spawn().end().case(), Trace(rule.id).spawn().case()
        judged = [(case, judge_run(case, {rule.id: rule})) for case in (whole, cut)]
        (found,) = conclude(judged, {rule.id: rule}, target(), baseline())
        assert found.status == status


def test_a_checker_that_crashes_leaves_its_run_uncounted() -> None:
    rule = Scripted(ZeroDivisionError("oops"))
    observation = judge_run(Trace(rule.id).spawn().case(), {rule.id: rule})[rule.id]
    assert observation.outcome == "uncounted"
    assert (observation.reason or "").startswith("the checker crashed: ZeroDivisionError: oops (test_verdict.py:")


def test_a_rule_that_does_not_apply_says_why_unless_a_run_shows_it_does() -> None:
    rule = Scripted()
    rule.absent = "no reason to"
    assert (result(rule).status, result(rule).reason) == ("not-applicable", "no reason to")
    shown = Scripted(PASS)
    shown.absent = "no reason to"
    assert result(shown).status == "not-applicable"
    shown.shown_by_runs = True
    assert result(shown).status == "pass"
    unseen = Scripted(SKIP)
    unseen.unseen = "never ends by itself"
    assert (result(unseen).status, result(unseen).reason) == ("not-applicable", "never ends by itself")


def test_too_few_runs_are_inconclusive() -> None:
    rule = Scripted(PASS)
    rule.hungry = "only at startup"
    found = result(rule)
    assert (found.status, found.reason) == ("inconclusive", "only at startup")


def test_a_diagnosis_makes_everything_inconclusive() -> None:
    found = result(Scripted(FAIL), fault_free=baseline(diagnosis="it rejects the CA"))
    assert (found.status, found.reason) == ("inconclusive", "nothing can be judged: it rejects the CA")


def test_a_run_judges_the_rules_that_it_names_and_those_of_every_run() -> None:
    named, always, other = (
        Scripted(PASS, name="a/named"),
        Scripted(PASS, name="a/always"),
        Scripted(PASS, name="a/other"),
    )
    always.always = True
    rules: Mapping[str, Rule] = {rule.id: rule for rule in (named, always, other)}
    assert list(judge_run(Trace("a/named").spawn().case(), rules)) == ["a/named", "a/always"]


def test_a_voided_run_says_nothing() -> None:
    rule = Scripted(FAIL)
    observation = judge_run(Trace(rule.id).spawn().end("voided").case(), {rule.id: rule})[rule.id]
    assert (observation.outcome, observation.reason) == ("uncounted", "the run was voided")


def row(status: Any, level: Level = "MUST", rule: str = "stop/exits") -> RuleResult:
    return RuleResult(rule=rule, level=level, status=status, runs=1, reason=None)


@pytest.mark.parametrize(
    ("rows", "strict", "verdict"),
    [
        ([row("pass"), row("warn", "SHOULD"), row("info", "report")], False, "conforming"),
        ([row("pass"), row("warn", "SHOULD")], True, "non-conforming"),
        ([row("pass"), row("not-applicable")], False, "conforming"),
        ([row("pass"), row("inconclusive", "SHOULD")], False, "conforming"),
        ([row("pass"), row("inconclusive")], False, "inconclusive"),
        ([row("fail"), row("inconclusive")], False, "non-conforming"),
        ([row("xfail")], False, "non-conforming"),
        ([row("xfail", "SHOULD")], False, "conforming"),
        ([], False, "inconclusive"),
    ],
)
def test_target_verdict(rows: list[RuleResult], strict: bool, verdict: str) -> None:
    assert target_verdict(rows, strict=strict) == verdict


def test_strict_turns_warnings_into_failures() -> None:
    assert [r.status for r in apply_strict([row("warn", "SHOULD"), row("pass")], strict=True)] == ["fail", "pass"]
    assert [r.status for r in apply_strict([row("warn", "SHOULD")], strict=False)] == ["warn"]


def test_xfail() -> None:
    of = target(xfail={"stop/exits": ExpectedFailure(reason="OPS-1", until=date(2026, 5, 1))})
    (marked,) = apply_xfail([row("fail")], of, TODAY)
    assert (marked.status, marked.reason) == ("xfail", "OPS-1")
    assert xfail_problems([marked], of, TODAY, complete=True) == ()


def test_an_expired_or_passing_xfail_is_flagged() -> None:
    of = target(xfail={"stop/exits": ExpectedFailure(reason="OPS-1", until=date(2026, 4, 30))})
    (marked,) = apply_xfail([row("fail")], of, TODAY)
    assert (marked.status, marked.reason) == ("fail", "the expected failure expired on 2026-04-30: OPS-1")
    assert "expired on 2026-04-30" in xfail_problems([marked], of, TODAY, complete=True)[0]
    assert "the rule passes" in xfail_problems([row("pass")], of, TODAY, complete=True)[0]
    assert "does not apply" in xfail_problems([row("not-applicable")], of, TODAY, complete=True)[0]
    assert "names no rule" in xfail_problems([], of, TODAY, complete=True)[0]


def test_a_selection_says_of_an_xfail_only_that_it_expired() -> None:
    """The run that violates the rule may be one that was left out."""
    of = target(xfail={"stop/exits": ExpectedFailure(reason="OPS-1", until=date(2026, 4, 30))})
    (marked,) = apply_xfail([row("fail")], of, TODAY)
    assert "expired on 2026-04-30" in xfail_problems([marked], of, TODAY, complete=False)[0]
    assert xfail_problems([row("pass")], of, TODAY, complete=False) == ()
    assert xfail_problems([row("not-applicable")], of, TODAY, complete=False) == ()
