"""stop/exposure: between the change and the deny no more is started than was permitted."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.latency import DENYING, refusal_after
from machineid_conformance.judge.rules.placement_evidence import beyond_permitted, not_at, started_between
from machineid_conformance.judge.support import (
    baseline_did_work_after,
    change_words,
    charge_findings,
    judged,
    uncounted,
)


class Exposure(Rule):
    """What was in flight at the change does not count; neither do reads and dequeues."""

    id = "stop/exposure"
    level = "MUST"
    statement = (
        "Between the change and the deny no more work starts than already permitted: high: N side effects; medium: the rest "
        "of N units. Reads and dequeues do not count."
    )
    applies_when = "profile medium or high"
    source = 'SWARM "Stop latency is determined by your boundary placement"'
    remedy = "Validate more often: before each unit of work (medium), before each side effect (high)."

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """At ``low`` no number of effects is promised."""
        del baseline
        return not_at(target, "medium", "high")

    def check(self, case: Case) -> Observation:
        """Fails on each effect beyond what was permitted, whether a deny ever came or not."""
        change = next((c for c in case.view.changes if c.action in DENYING), None)
        if change is None:
            return uncounted("the scenario's change was not made in this run")
        refusal = refusal_after(case, change)
        started = started_between(case, change.seq, refusal.ended if refusal is not None else None, change.device)
        excess = beyond_permitted(case, started)
        n = case.target.concurrency
        allowed = (
            f"{n} side effect{'s' if n > 1 else ''}"
            if case.profile == "high"
            else f"the rest of {n} unit{'s' if n > 1 else ''}"
        )
        findings = charge_findings(case, excess, f"between the change and the deny at most {allowed}")
        notes = (f"{len(started)} effects between the change ({change_words(change)}) and the deny",)
        if findings:
            return judged(findings, notes=notes)
        if refusal is None:
            return uncounted("the target did not ask again after the change, and did no more than was permitted")
        if not baseline_did_work_after(case):
            return uncounted("the fault-free baseline did no work after this point, so there was nothing to stop")
        return judged((), notes=notes)


RULES: tuple[Rule, ...] = (Exposure(),)
