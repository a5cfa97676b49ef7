"""placement/resume: what was paused for long asks before it goes on."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.latency import DENYING, refusal_after
from machineid_conformance.judge.rules.placement_evidence import beyond_permitted, started_between
from machineid_conformance.judge.support import charge_findings, judged, uncounted
from machineid_conformance.trace.events import Operator, Signalled


class Resume(Rule):
    """SIGSTOP, a change, SIGCONT: then only what had been permitted."""

    id = "placement/resume"
    level = "SHOULD"
    statement = "Stopped (SIGSTOP), revoked and continued, the target starts at most the work already permitted."
    applies_when = "the target loops"
    source = 'PYTHON "Validate before resuming long-paused work"'
    remedy = "Validate at the top of each iteration: then a pause of any length ends in a fresh decision."

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """A target that ends by itself has nothing to resume."""
        del target
        if baseline.reaches_horizon:
            return None
        return (
            "the target does not loop: its fault-free runs end before the horizon; it would apply to one that goes on"
        )

    def check(self, case: Case) -> Observation:
        """Fails on each effect that began after SIGCONT without a permit from before, or beyond N of them.

        What was on its way when the signal came still has its permit, so a single effect without one is too much.
        """
        paused = _paused(case.view.signals, case.view.changes)
        if paused is None:
            return uncounted("the trace holds no SIGSTOP, change and SIGCONT, in this order")
        change, resumed = paused
        refusal = refusal_after(case, change)
        started = started_between(case, resumed, refusal.ended if refusal is not None else None, change.device)
        if refusal is None and not started:
            return uncounted("after SIGCONT the target neither asked nor worked")
        many = beyond_permitted(case, started)
        excess = [item for item in started if item.violation is not None or item in many]
        return judged(charge_findings(case, excess, "after SIGCONT at most the work that was permitted before"))


def _paused(signals: Sequence[Signalled], changes: Sequence[Operator]) -> tuple[Operator, int] | None:
    """The change that fell into a pause, and the position of the SIGCONT after it."""
    for change in changes:
        stops = [s for s in signals if s.signal == "SIGSTOP" and s.seq < change.seq]
        resumed = next((s.seq for s in signals if s.signal == "SIGCONT" and s.seq > change.seq), None)
        if change.action in DENYING and stops and resumed is not None:
            return change, resumed
    return None


RULES: tuple[Rule, ...] = (Resume(),)
