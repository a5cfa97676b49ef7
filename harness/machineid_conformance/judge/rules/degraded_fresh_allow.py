"""degraded/fresh-allow: that the control plane is back is no permission either."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.degraded_no_work import NOTHING_TO_STOP, all_ended, cleared_at
from machineid_conformance.judge.rules.fail_closed_evidence import delivered, not_delivered, unpermitted, work_findings
from machineid_conformance.judge.support import baseline_did_work_after, charges, judged, uncounted


class FreshAllow(Rule):
    """Looks at the work after an outage. A target that ended in it cannot violate the rule: such a run counts."""

    id = "degraded/fresh-allow"
    level = "MUST"
    statement = "A target that is still alive when the control plane comes back works only after a fresh allow."
    applies_when = "it outlives the outage"
    source = "GUIDE No degraded mode; GUARANTEES 4"
    remedy = (
        "After an outage ask again and wait for the allow; that a health check, a register call or a connect works, "
        "permits nothing."
    )

    def check(self, case: Case) -> Observation:
        """Uncounted without a receipt, or while a living target was not watched to the end of the outage."""
        faults = delivered(case)
        if not faults:
            return uncounted(not_delivered(case))
        cleared = cleared_at(case)
        alive = [
            process
            for process in case.view.processes
            if cleared is not None
            and process.spawned < cleared
            and (process.gone is None or process.gone.seq > cleared)
        ]
        if cleared is None or not alive:
            if not all_ended(case):
                return uncounted("the outage did not end while the target was watched")
            if not baseline_did_work_after(case):
                return uncounted(NOTHING_TO_STOP)
            return judged((), notes=("the target ended before the outage did",))
        late = [charge for charge in unpermitted(case, faults) if charge.effect.began > cleared]
        findings = work_findings(case, late, cause="after the outage without a fresh allow")
        if not findings and not baseline_did_work_after(case):
            return uncounted(NOTHING_TO_STOP)
        resumed = any(
            charge.effect.began > cleared and charge.allow is not None and charge.allow > cleared
            for charge in charges(case)
        )
        return judged(
            findings, notes=("it outlived the outage" + (" and worked again after a fresh allow" if resumed else ""),)
        )


RULES: tuple[Rule, ...] = (FreshAllow(),)
