"""stop/next-boundary: the next decision after a change is a deny, and nothing starts after it."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.latency import DENYING, refusal_after
from machineid_conformance.judge.support import (
    baseline_did_work_after,
    change_words,
    charge_findings,
    charges,
    effect_words,
    exposures,
    judged,
    releases,
    uncounted,
)


class NextBoundary(Rule):
    """Reads, dequeues and farewells included: only ``log``, ``release`` and ``ignore`` may follow the deny."""

    id = "stop/next-boundary"
    level = "MUST"
    statement = (
        "After a revoke, remove, org disable, key rotation or frozen plan — before any boundary, or while any effect is in "
        "flight — the next decision is a deny, and no work of that device starts after it."
    )
    applies_when = "always"
    source = "GUARANTEES 4; PYTHON Org-wide disable"
    remedy = (
        "Let a deny end the loop: `if allowed is not True: break`. No `except` that goes on, no final report, no further "
        'dequeue after it; declare an alert as role = "log".'
    )

    def check(self, case: Case) -> Observation:
        """Fails on each effect of the changed device that began after the deny, without a fresh allow."""
        change = next((c for c in case.view.changes if c.action in DENYING), None)
        if change is None:
            return uncounted("the scenario's change was not made in this run")
        refusal = refusal_after(case, change)
        if refusal is None or refusal.ended is None:
            return uncounted(f"no decision followed the change ({change_words(change)}), so nothing refused the target")
        if not baseline_did_work_after(case):
            return uncounted("the fault-free baseline did no work after this point, so there was nothing to stop")
        ended = refusal.ended
        wrong = [
            item
            for item in charges(case)
            if item.violation == "after-refusal"
            and item.effect.began > ended
            and (change.device is None or item.device == change.device)
        ]
        late = (f"permitted before the deny, arrived after it: {effect_words(i.effect)}" for i in exposures(case))
        return judged(
            charge_findings(case, wrong, "no work of the device after the deny, without a fresh allow"),
            notes=(*releases(case), *late),
        )


RULES: tuple[Rule, ...] = (NextBoundary(),)
