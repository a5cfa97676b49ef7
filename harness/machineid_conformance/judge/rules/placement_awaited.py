"""placement/awaited: work waits for the decision."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.support import charge_findings, judged, uncounted, undisturbed


class Awaited(Rule):
    """Judged where the scenario holds each validate back, so that work that does not wait shows without a race."""

    id = "placement/awaited"
    level = "MUST"
    statement = (
        "Work does not start without a permit while a validate of its device is unanswered (the scenario holds each "
        "validate back for half the measured deadline; without a validate under way it is the placement rule's violation)."
    )
    applies_when = "always"
    source = 'GUIDE "If validation fails, work does not begin"; Node manual "you must await validation"'
    remedy = "Await the validate call, and start the work in what comes after it: `if (!(await validate())) return`."

    def check(self, case: Case) -> Observation:
        """Fails on each effect that began while its own validate was still unanswered."""
        held = [v for v in case.view.validates if v.call is not None and v.outcome == "allow"]
        if not held:
            return uncounted("no validate was held and answered in this run")
        if case.baseline.effects == 0:
            return uncounted("the fault-free baseline did no work, so there was nothing that could start too early")
        wrong = [
            item
            for item in undisturbed(case)
            if item.effect.is_work
            and (item.violation == "unanswered" or (item.violation == "no-allow-yet" and item.pending))
        ]
        return judged(charge_findings(case, wrong, "work starts after the answer of its validate"))


RULES: tuple[Rule, ...] = (Awaited(),)
