"""placement/handoff: work is handed over only with an allow for the agent that takes it."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.permits import Charge
from machineid_conformance.judge.rules.placement_evidence import handed_over
from machineid_conformance.judge.support import charge_findings, charges, disturbed_at, judged, uncounted, undisturbed


class Handoff(Rule):
    """The handoff itself, and the first work of a device that was handed to."""

    id = "placement/handoff"
    level = "MUST"
    statement = (
        "Work of the agent handed to starts only after an allow for its device (or, without devices a role, a fresh allow "
        "for the run's device); a refused handoff transfers nothing."
    )
    applies_when = "handoffs are declared"
    source = "SWARM Handoff boundary"
    remedy = "Validate the device of the agent that takes over, immediately before the transfer; when it is denied, stop the run."
    always = True

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """Only a declared handoff can be recognised."""
        del baseline
        if target.declares("handoff"):
            return None
        return 'no handoff is declared; declare the request that hands over with role = "handoff" and the device that takes it'

    def check(self, case: Case) -> Observation:
        """Fails on a handoff, or work of the device handed to, without its allow; and after its refusal, where it is asked."""
        before = [item for item in undisturbed(case) if _concerns(case, item)]
        end = disturbed_at(case.view)
        asked = self.id in case.view.started.rules and end is not None
        after = [item for item in charges(case) if asked and item.effect.began > (end or 0) and _transfers(case, item)]
        refused = asked and any(
            v.device != case.target.device or len(case.target.devices) < 2 for v in case.view.refusals
        )
        if not before and not after and not refused:
            return uncounted("no handoff was seen before the run was disturbed")
        wrong = [item for item in before if item.violation in ("no-permit", "no-allow-yet")]
        wrong += [item for item in after if item.violation in ("after-refusal", "no-allow-yet")]
        return judged(
            charge_findings(case, wrong, "an allow for the device that is handed to, sent before the handoff")
        )


def _concerns(case: Case, item: Charge) -> bool:
    """A handoff that the gate does not judge, or work that was handed over without an allow."""
    if item.effect.role == "handoff":
        return item.violation != "no-allow-yet" or handed_over(case, item)
    return item.violation == "no-allow-yet" and handed_over(case, item)


def _transfers(case: Case, item: Charge) -> bool:
    """A handoff, or work of a device that is not the run's own: what a refused handoff must not lead to."""
    return item.effect.role == "handoff" or (item.effect.is_work and item.device != case.target.device)


RULES: tuple[Rule, ...] = (Handoff(),)
