"""placement/in-run: a target that goes on by itself asks again while it works."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Finding, Observation, Rule
from machineid_conformance.judge.support import disturbed_at, effect_words, finding, judged, own_instances, uncounted
from machineid_conformance.judge.view import Effect


class InRun(Rule):
    """Counts the work effects between two validates of one instance."""

    id = "placement/in-run"
    level = "MUST"
    statement = (
        "A target that goes on by itself has boundaries during real work: not more than `max_gap` effects (default 10) "
        "without a validate."
    )
    applies_when = "the target reaches its horizon, or does more effects than that"
    source = 'PYTHON, SWARM "at least one stop point during real work"'
    remedy = "Validate inside the loop, before each unit of work, not only before the loop."
    always = True

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """A short target that ends by itself needs no further boundary."""
        if baseline.reaches_horizon or baseline.effects > target.max_gap:
            return None
        return (
            f"the target ends by itself after {baseline.effects} effects, and max_gap is {target.max_gap}; it would apply to "
            "one that reaches its horizon or does more"
        )

    def check(self, case: Case) -> Observation:
        """Fails at the first effect beyond ``max_gap`` for each worker, and on a loop with no boundary at all."""
        end = disturbed_at(case.view)
        own = own_instances(case.view, case.target)
        work = [e for e in case.view.work if e.instance in own and (end is None or e.began < end)]
        at_horizon = end is None and case.view.ended is not None and case.view.ended.reason == "horizon"
        if len(work) <= case.target.max_gap and not at_horizon:
            return uncounted(f"the target did not do more than {case.target.max_gap} effects, nor reach its horizon")
        if not work:
            return uncounted("the target did no work")
        findings = [found for instance in sorted(own) for found in self._gaps(case, instance, work)]
        return judged(findings)

    def _gaps(self, case: Case, instance: int, all_work: list[Effect]) -> list[Finding]:
        limit = case.target.max_gap * case.target.concurrency
        work = [effect for effect in all_work if effect.instance == instance]
        asked = [v.asked for v in case.view.validates if v.instance == instance]
        stretch: list[Effect] = []
        for effect in work:
            if stretch and any(stretch[-1].began < position < effect.began for position in asked):
                stretch = []
            stretch.append(effect)
            if len(stretch) > limit:
                return [_finding(case, stretch, limit)]
        # The horizon may be nearer than max_gap: a loop that asked only before its first effect has no boundary at all.
        short = min(limit, case.target.horizon)
        ended = case.view.ended is not None and case.view.ended.reason == "horizon"
        if ended and case.view.disturbance is None and len(stretch) == len(work) >= short > 0:
            return [_finding(case, stretch, limit)]
        return []


def _finding(case: Case, stretch: list[Effect], limit: int) -> Finding:
    last = stretch[-1]
    return finding(
        case,
        f"{len(stretch)} effects without a validate, up to {effect_words(last)}",
        (stretch[0].began, last.began),
        f"a validate at the latest after {limit} effects, and at least one during the work",
        f"none since {effect_words(stretch[0])}",
    )


RULES: tuple[Rule, ...] = (InRun(),)
