"""degraded/flapping: a control plane that comes and goes changes nothing about permits."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.degraded_no_work import NOTHING_TO_STOP
from machineid_conformance.judge.rules.fail_closed_evidence import (
    delivered,
    not_delivered,
    since,
    unpermitted,
    work_findings,
)
from machineid_conformance.judge.support import baseline_did_work_after, charge_findings, charges, judged, uncounted


class Flapping(Rule):
    """Looks at all work from the first failure on: a backlog that shares one allow is found here too."""

    id = "degraded/flapping"
    level = "MUST"
    statement = "While the control plane flaps, all work has its permit."
    applies_when = "always"
    source = 'GUIDE Network failures, "Decide your failure policy up front"'
    remedy = (
        "Ask for each piece of work and act on that answer alone: no last known decision, no allow shared by a backlog."
    )

    def check(self, case: Case) -> Observation:
        """Uncounted without a receipt, or without work in the baseline after this point."""
        faults = delivered(case)
        if not faults:
            return uncounted(not_delivered(case))
        first = since(case, faults)
        closed = unpermitted(case, faults)
        bare = [
            charge
            for charge in charges(case)
            if charge.violation is not None and charge.effect.began > first and charge not in closed
        ]
        findings = (
            *work_findings(case, closed, cause="while the control plane flapped, without a fresh allow"),
            *charge_findings(case, bare, "a permit of its own for each piece of work"),
        )
        if not findings and not baseline_did_work_after(case):
            return uncounted(NOTHING_TO_STOP)
        return judged(sorted(findings, key=lambda each: each.events[-1]))


RULES: tuple[Rule, ...] = (Flapping(),)
