"""placement/task: each unit of work has its own allow."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.permits import Charge
from machineid_conformance.judge.rules.placement_evidence import not_at, permits_of


class Task(Rule):
    """At ``medium`` the permit model says it; at ``high`` the allow may also be the side effect's."""

    id = "placement/task"
    level = "MUST"
    statement = (
        "Each unit of work has its own allow, sent between the last effect of the unit before it and its own first effect "
        "(at `high` it may also be the side effect's)."
    )
    applies_when = "profile medium or high, and a task source or stimulus is declared"
    source = "GUIDE Pattern B"
    remedy = "Validate for each task: after the dequeue (or on the request) and before its first effect."
    always = True

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """Without units of work the whole run is one."""
        del baseline
        low = not_at(target, "medium", "high")
        if low is not None:
            return low
        if target.stimulus is None and not target.declares("task-source"):
            return 'no task source and no stimulus is declared; declare the dequeue with role = "task-source"'
        return None

    def check(self, case: Case) -> Observation:
        """Fails on the first effect of a unit without an allow of its own, and (``medium``) on what follows it uncovered."""
        violates = _at_high if case.profile == "high" and case.target.concurrency == 1 else _without_permit
        return permits_of(
            case,
            lambda item: item.effect.may_spend and item.unit > 0,
            violates,
            expected="an allow for this unit of work, sent after the last effect of the unit before it",
            nothing="no unit of work had an effect before the run was disturbed",
        )


def _at_high(item: Charge) -> bool:
    return item.first and item.unit_allow is None and item.violation in (None, "no-permit")


def _without_permit(item: Charge) -> bool:
    # Later tool calls and handoffs of a unit need a permit of their own: that is for their own rules.
    if item.violation != "no-permit" or item.effect.role == "handoff":
        return False
    return item.first or item.effect.role != "tool-call"


RULES: tuple[Rule, ...] = (Task(),)
