"""degraded/no-grace: permission does not come back by waiting."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.degraded_no_work import (
    NOTHING_TO_STOP,
    all_ended,
    watched_notes,
    work_in_outage,
)
from machineid_conformance.judge.rules.fail_closed_evidence import delivered, not_delivered, since, work_findings
from machineid_conformance.judge.support import baseline_did_work_after, judged, uncounted
from machineid_conformance.trace.events import Watched


class NoGrace(Rule):
    """Looks at work that starts later than ``idle_after`` into the outage; sooner is ``degraded/no-work``'s alone."""

    id = "degraded/no-grace"
    level = "MUST"
    statement = (
        "Nor does work start later than `idle_after` into the outage, after any delay: watched over `grace_window` of "
        "target time or until nothing of the target is left; the window watched is reported."
    )
    applies_when = "always"
    source = 'GUIDE No degraded mode, "Continue for 10 minutes until checks recover"'
    remedy = (
        "Give the last allow no lifetime: no timer, counter or cached decision may open the gate that validate closed."
    )

    def check(self, case: Case) -> Observation:
        """Counts if the window was watched to its end, or nothing of the target was left."""
        faults = delivered(case)
        if not faults:
            return uncounted(not_delivered(case))
        start = case.view.at(since(case, faults))
        late = [charge for charge in work_in_outage(case) if charge.effect.at > start + case.target.idle_after]
        findings = work_findings(case, late, cause="during the outage, after a delay")
        notes = watched_notes(case)
        if findings:
            return judged(findings, notes=notes)
        watched = any(isinstance(event, Watched) for event in case.view.events)
        if not watched and not all_ended(case):
            return uncounted("the outage was not watched over a window, and the target had not ended", notes=notes)
        if not baseline_did_work_after(case):
            return uncounted(NOTHING_TO_STOP, notes=notes)
        return judged((), notes=notes)


RULES: tuple[Rule, ...] = (NoGrace(),)
