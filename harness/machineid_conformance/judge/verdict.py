"""From traces to a verdict: each rule over each run, the runs of one rule together, the rules of one target
together.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import (
    Baseline,
    Case,
    Finding,
    Level,
    Observation,
    Rule,
    RuleResult,
    Status,
)

Verdict = Literal["conforming", "non-conforming", "inconclusive"]

_CUT_SHORT = "the trace stops before the end of the run: what is missing may hold a violation"


def judge_run(case: Case, rules: Mapping[str, Rule]) -> dict[str, Observation]:
    """What one run says of the rules that its scenario names, and of those that every run is judged by.

    A rule that only spans runs says nothing here. A checker that raises leaves the run uncounted, with what it
    raised; a rule that does not apply is not asked on runs whose scenario does not name it.
    """
    named = set(case.view.started.rules)
    observations: dict[str, Observation] = {}
    for name, rule in rules.items():
        if not (rule.always or name in named) or type(rule).check is Rule.check:
            continue
        if not (rule.shown_by_runs and name in named) and rule.not_applicable(case.target, case.baseline) is not None:
            continue
        observations[name] = _observe(rule, case)
    return observations


def _observe(rule: Rule, case: Case) -> Observation:
    if case.view.voided is not None:
        return Observation(outcome="uncounted", reason=case.view.voided)
    try:
        observation = rule.check(case)
    except Exception as error:  # noqa: BLE001  (whatever a checker raises, the other rules are still judged)
        return _crash(error)
    if observation.outcome == "pass" and case.view.ended is None:
        # A disk that was full, a file that was cut: a violation that was seen stands, but nothing passes.
        return Observation(outcome="uncounted", reason=_CUT_SHORT)
    return observation


def _crash(error: Exception) -> Observation:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return Observation(outcome="uncounted", reason=f"the checker crashed: {type(error).__name__}: {error}{where}")


# -- one rule over all runs -------------------------------------------------------------------------------------------


def conclude(
    judged: Sequence[tuple[Case, Mapping[str, Observation]]],
    rules: Mapping[str, Rule],
    target: Target,
    baseline: Baseline,
) -> tuple[RuleResult, ...]:
    """One result for each rule, in the order of ``rules``.

    A rule passes if at least one run counted for it and none failed; it is inconclusive if none did, or if those that
    did are not enough for it. A rule that does not apply says why, unless a run shows that it does (a group's
    surgical revoke).
    """
    return tuple(_conclude(rule, judged, target, baseline) for rule in rules.values())


@dataclass(kw_only=True)
class _Tally:
    """What was gathered of one rule."""

    counted: list[Case] = field(default_factory=list)
    uncounted: list[tuple[str, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    crashed: list[tuple[str, str]] = field(default_factory=list)
    spanning: bool = False  # what all runs together say counted

    def add(self, case: Case, observation: Observation) -> None:
        self._take(observation)
        if observation.outcome == "uncounted":
            reason = observation.reason or "no reason was given"
            self.uncounted.append((case.view.run, reason))
            if reason.startswith("the checker crashed") or reason == _CUT_SHORT:
                self.crashed.append((case.view.run, reason))
        else:
            self.counted.append(case)

    def add_spanning(self, observation: Observation) -> None:
        self._take(observation)
        if observation.outcome == "uncounted":
            self.uncounted.append(("all runs together", observation.reason or "no reason was given"))
        else:
            self.spanning = True

    def _take(self, observation: Observation) -> None:
        self.findings += observation.findings
        self.notes += (note for note in observation.notes if note not in self.notes)

    @property
    def exercised(self) -> bool:
        return bool(self.counted) or self.spanning


def _conclude(
    rule: Rule, judged: Sequence[tuple[Case, Mapping[str, Observation]]], target: Target, baseline: Baseline
) -> RuleResult:
    tally, level = _Tally(), rule.level_for(target)
    observed = [(case, seen[rule.id]) for case, seen in judged if rule.id in seen]
    for case, observation in observed:
        tally.add(case, observation)
    naming = [case for case, _ in judged if rule.always or rule.id in case.view.started.rules]
    try:
        for observation in rule.conclude(naming, observed):
            tally.add_spanning(observation)
        starved = rule.starved(tally.counted) if tally.exercised else None
    except Exception as error:  # noqa: BLE001  (likewise)
        starved = _crash(error).reason
    absent = rule.not_applicable(target, baseline)
    if rule.shown_by_runs and tally.exercised:
        absent = None
    if absent is None and not tally.exercised:
        absent = rule.not_shown([case for case, _ in observed])
    status, reason = _status(level, tally, starved, absent, baseline)
    return RuleResult(
        rule=rule.id,
        level=level,
        status=status,
        runs=len(tally.counted),
        reason=reason,
        findings=tuple(tally.findings) if status in ("fail", "warn", "info") else (),
        counted=tuple(case.view.run for case in tally.counted),
        uncounted=tuple(tally.uncounted),
        notes=tuple(tally.notes),
    )


def _status(
    level: Level, tally: _Tally, starved: str | None, absent: str | None, baseline: Baseline
) -> tuple[Status, str | None]:
    if baseline.diagnosis is not None:
        return "inconclusive", f"nothing can be judged: {baseline.diagnosis}"
    if absent is not None:
        return "not-applicable", absent
    if level == "report":
        return "info", None if tally.exercised else _why_starved(tally)
    if tally.findings:
        return ("warn" if level == "SHOULD" else "fail"), None
    if not tally.exercised:
        return "inconclusive", _why_starved(tally)
    if starved is not None:
        return "inconclusive", starved
    if tally.crashed:
        run, reason = tally.crashed[0]
        return "inconclusive", f"{reason} (in {run}): a run that could not be judged may hold a violation"
    return "pass", None


def _why_starved(tally: _Tally) -> str:
    """Why no run counted: the reason that most runs gave, and how many gave it."""
    if not tally.uncounted:
        return "no run exercised it: no scenario that names it was run"
    reasons = [reason for _, reason in tally.uncounted]
    most = max(dict.fromkeys(reasons), key=reasons.count)
    others = len(reasons) - reasons.count(most)
    runs = "the only run" if len(reasons) == 1 else f"{reasons.count(most)} of {len(reasons)} runs"
    return f"no run counted: {most} ({runs})" if others or len(reasons) > 1 else f"no run counted: {most}"


# -- all rules of one target ------------------------------------------------------------------------------------------


def apply_strict(results: Sequence[RuleResult], *, strict: bool) -> tuple[RuleResult, ...]:
    """Under ``strict`` a warning is a failure."""
    if not strict:
        return tuple(results)
    return tuple(replace(result, status="fail") if result.status == "warn" else result for result in results)


def apply_xfail(results: Sequence[RuleResult], target: Target, today: date) -> tuple[RuleResult, ...]:
    """Mark what the configuration expects to fail. An expired entry excuses nothing; see ``xfail_problems``."""
    marked = []
    for result in results:
        entry = target.xfail.get(result.rule)
        if entry is None or result.status not in ("fail", "warn"):
            marked.append(result)
        elif entry.until is not None and entry.until < today:
            said = f"the expected failure expired on {entry.until.isoformat()}: {entry.reason}"
            marked.append(replace(result, reason=said))
        else:
            marked.append(replace(result, status="xfail", reason=entry.reason))
    return tuple(marked)


def xfail_problems(results: Sequence[RuleResult], target: Target, today: date, *, complete: bool) -> tuple[str, ...]:
    """Entries of ``xfail`` that must be changed, each in words: expired, passing, not applicable, or naming no rule.

    Take it of the results as ``apply_xfail`` returned them; any of these ends the session with exit code 1. That a rule passes, or does
    not apply, only a ``complete`` session can say: the run that violates it may be one that was left out.
    """
    known = {result.rule: result for result in results}
    problems = []
    for name, entry in target.xfail.items():
        result = known.get(name)
        if result is None:
            problems.append(f"xfail {name!r} names no rule that was judged; remove it or correct its name")
        elif entry.until is not None and entry.until < today and result.status in ("fail", "warn"):
            problems.append(
                f"xfail {name!r} expired on {entry.until.isoformat()} ({entry.reason}); "
                "mend the target or renew the entry"
            )
        elif complete and result.status == "pass":
            problems.append(f"xfail {name!r} ({entry.reason}): the rule passes; remove the entry")
        elif complete and result.status == "not-applicable":
            said = f"xfail {name!r} ({entry.reason}): the rule does not apply"
            problems.append(f"{said}, {result.reason}; remove the entry")
    return tuple(problems)


def target_verdict(results: Sequence[RuleResult], *, strict: bool) -> Verdict:
    """``non-conforming`` if a MUST fails (or a SHOULD under ``strict``), expected or not; else ``inconclusive`` if a
    MUST that applies is; else ``conforming``. No results at all prove nothing: ``inconclusive``.
    """
    binding = ("MUST", "SHOULD") if strict else ("MUST",)
    if any(result.level in binding and result.status in ("fail", "warn", "xfail") for result in results):
        return "non-conforming"
    if not results or any(result.level == "MUST" and result.status == "inconclusive" for result in results):
        return "inconclusive"
    return "conforming"


def at_high(cases: Sequence[Case], target: Target, baseline: Baseline, rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """What the placement rules would find at ``high`` in the runs of a target with a lower profile, in words, each
    once.

    Empty for a target that is judged at ``high``.
    """
    if target.profile == "high":
        return ()
    raised = replace(target, profile="high")
    found: dict[str, None] = {}
    for rule in rules.values():
        if not (rule.id.startswith("placement/") and rule.always) or rule.level == "report":
            continue
        if rule.not_applicable(raised, baseline) is not None:
            continue
        for case in cases:
            observation = _observe(rule, replace(case, target=raised, profile="high"))
            for finding in observation.findings:
                found.setdefault(f"at high, {rule.id} would fail: {finding.message}")
    return tuple(found)
