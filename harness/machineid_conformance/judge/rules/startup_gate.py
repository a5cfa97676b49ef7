"""startup/gate: nothing is done before the first allow."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.placement_evidence import handed_over
from machineid_conformance.judge.support import charge_findings, judged, uncounted, undisturbed


class Gate(Rule):
    """Judged on what every run did before it was disturbed, and anew after each restart."""

    id = "startup/gate"
    level = "MUST"
    statement = "No work before the first allow."
    applies_when = "always"
    source = "GUARANTEES 1; GUIDE Pattern A"
    remedy = (
        "Validate once at the start, and begin nothing before the answer is read: "
        '`if not client.validate(device).get("allowed") is True: sys.exit(1)`. Reads and dequeues are work too.'
    )
    always = True

    def check(self, case: Case) -> Observation:
        """Fails on each effect that began while its device had been allowed nothing."""
        work = [item for item in undisturbed(case) if item.effect.is_work]
        if not work:
            return uncounted("the target did no work before the run was disturbed")
        early = [item for item in work if item.violation == "no-allow-yet" and not handed_over(case, item)]
        return judged(charge_findings(case, early, "no work before the first allow was answered"))


RULES: tuple[Rule, ...] = (Gate(),)
