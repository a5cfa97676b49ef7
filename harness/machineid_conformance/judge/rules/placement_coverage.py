"""placement/coverage: the boundary map of the fault-free runs, and what the highest profile would find."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.judge import registry
from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.permits import Charge
from machineid_conformance.judge.support import charges, effect_words, uncounted, validate_words
from machineid_conformance.judge.verdict import at_high


class Coverage(Rule):
    """Reports; never fails."""

    id = "placement/coverage"
    level = "report"
    statement = (
        "The boundary map: each effect with the decision that covered it, the share covered, the longest stretch (effects, "
        "seconds) without a boundary."
    )
    applies_when = "always"
    source = "GUIDE Long-running loops"
    remedy = "Put a validate where the longest stretch is."
    always = True

    def check(self, case: Case) -> Observation:
        """The map of a fault-free run, a line an effect."""
        if not case.view.started.baseline:
            return uncounted("the boundary map is drawn from the fault-free runs")
        work = [item for item in charges(case) if item.effect.is_work]
        if not work:
            return uncounted("the target did no work")
        covered = sum(item.allow is not None and item.violation is None for item in work)
        effects, seconds = _longest(case, work)
        return Observation(
            outcome="pass",
            notes=(
                f"{covered} of {len(work)} effects covered ({round(100 * covered / len(work))} %)",
                f"longest stretch without a boundary: {effects} effects, {seconds:.1f} s",
                *(_line(case, item) for item in work),
            ),
        )

    def conclude(self, cases: Sequence[Case], observed: Sequence[tuple[Case, Observation]]) -> tuple[Observation, ...]:
        """What ``high`` would find in the fault-free runs of a target with a lower profile."""
        del observed
        fault_free = [case for case in cases if case.view.started.baseline]
        if not fault_free:
            return ()
        notes = at_high(fault_free, fault_free[0].target, fault_free[0].baseline, registry.rules())
        return (Observation(outcome="pass", notes=notes),) if notes else ()


def _line(case: Case, item: Charge) -> str:
    words = effect_words(item.effect)
    if item.violation is not None:
        return f"{words}: {item.violation}"
    call = next((v for v in case.view.validates if v.ended is not None and v.ended == item.allow), None)
    return f"{words}: covered by {validate_words(call)}" if call is not None else f"{words}: not covered"


def _longest(case: Case, work: Sequence[Charge]) -> tuple[int, float]:
    """The longest stretch of work between two validates of one instance: how many effects, and for how many seconds."""
    most, longest = 0, 0.0
    for instance in {item.effect.instance for item in work}:
        asked = [(v.asked, v.asked_at) for v in case.view.validates if v.instance == instance]
        count, since = 0, None
        marks = [(at, when, True) for at, when in asked]
        marks += [(i.effect.began, i.effect.at, False) for i in work if i.effect.instance == instance]
        for _, when, boundary in sorted(marks):
            since = when if since is None else since
            longest = max(longest, when - since)
            count, since = (0, when) if boundary else (count + 1, since)
            most = max(most, count)
    return most, longest


RULES: tuple[Rule, ...] = (Coverage(),)
