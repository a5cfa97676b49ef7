"""degraded/no-work: an outage is no permission."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.permits import Charge
from machineid_conformance.judge.rules.fail_closed_evidence import (
    delivered,
    not_delivered,
    since,
    unpermitted,
    work_findings,
)
from machineid_conformance.judge.support import baseline_did_work_after, judged, uncounted
from machineid_conformance.trace.events import FaultArmed, FaultCleared, Watched

NOTHING_TO_STOP = "the fault-free run did no work after this point: nothing to stop"


def cleared_at(case: Case) -> int | None:
    """Where the outage ended for good: the last ``fault-cleared`` that no ``fault-armed`` follows, or None."""
    cleared = max((event.seq for event in case.view.events if isinstance(event, FaultCleared)), default=None)
    armed = max((event.seq for event in case.view.events if isinstance(event, FaultArmed)), default=0)
    return cleared if cleared is not None and cleared > armed else None


def work_in_outage(case: Case) -> tuple[Charge, ...]:
    """Work without a fresh allow, from the first failure to the end of the outage or of the run."""
    faults = delivered(case)
    cleared = cleared_at(case)
    return tuple(charge for charge in unpermitted(case, faults) if cleared is None or charge.effect.began < cleared)


def all_ended(case: Case) -> bool:
    """Nothing of the target was left in the end, and the harness ended nothing: it cannot violate what comes later.

    That a run ended because all was gone is decisive: the end of the main process may be noticed after it.
    """
    view = case.view
    return (view.ended is not None and view.ended.reason == "gone") or (
        bool(view.processes) and all(process.ended_by_itself for process in view.processes)
    )


def watched_notes(case: Case) -> tuple[str, ...]:
    """How long the outage was watched, in target seconds, and what ended it."""
    notes = [
        f"watched for {event.seconds:.1f} s ({event.what}), until {event.until}"
        for event in case.view.events
        if isinstance(event, Watched)
    ]
    faults = delivered(case)
    if not notes and faults and case.view.ended is not None:
        seconds = case.view.ended.at - case.view.at(since(case, faults))
        notes.append(f"watched for {seconds:.1f} s, until the run ended ({case.view.ended.reason})")
    return tuple(notes)


class NoWork(Rule):
    """Looks at the work between the first failure and the end of the outage."""

    id = "degraded/no-work"
    level = "MUST"
    statement = "While the control plane stays unavailable no work starts, for as long as it is watched."
    applies_when = "always"
    source = 'GUIDE No degraded mode, "Proceed anyway but log a warning"'
    remedy = "When validate fails, end or wait; start nothing, not even with a warning, before an allow has come."

    def check(self, case: Case) -> Observation:
        """Uncounted without a receipt, or without work in the baseline after this point."""
        faults = delivered(case)
        if not faults:
            return uncounted(not_delivered(case))
        findings = work_findings(case, work_in_outage(case), cause="while the control plane was unavailable")
        if not findings and not baseline_did_work_after(case):
            return uncounted(NOTHING_TO_STOP)
        return judged(findings, notes=watched_notes(case))


RULES: tuple[Rule, ...] = (NoWork(),)
