"""degraded/no-hammering: who was refused asks again with patience."""

from __future__ import annotations

from collections import deque

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.support import finding, judged, uncounted

ALLOWANCE = 10
"""Validates in any second of target time, beside one for each of the N that work at once."""
WINDOW = 1.0


class NoHammering(Rule):
    """Counts the validates of an instance, failed connects included, from a refusal to the next allow."""

    id = "degraded/no-hammering"
    level = "SHOULD"
    statement = "After a refusal not more than 10 + N validates in any second of target time."
    applies_when = "it stays alive"
    source = "operational: a fleet that was cut off must not keep the control plane down"
    remedy = "Wait between two attempts, longer each time (exponential back-off with jitter), or end."

    def check(self, case: Case) -> Observation:
        """Uncounted in a run without a refusal; a target that ended on it counts."""
        if not case.view.refusals:
            return uncounted("the target was not refused in this run")
        limit = ALLOWANCE + case.target.concurrency
        findings: list[Finding] = []
        highest = 0
        for instance in case.view.instances:
            most, events = _busiest(case, instance)
            highest = max(highest, most)
            if most > limit:
                findings.append(
                    finding(
                        case,
                        f"{most} validates of instance {instance} within one second after a refusal",
                        events,
                        expected=f"not more than {limit} (10 + N)",
                        got=f"{most}",
                    )
                )
        return judged(findings, notes=(f"at most {highest} validates in any second after a refusal",))


def _busiest(case: Case, instance: int) -> tuple[int, tuple[int, ...]]:
    """The most attempts of an instance within one second while it was refused: how many, the first and the last."""
    refused = False
    window: deque[tuple[float, int]] = deque()
    most, events = 0, (0, 0)
    for seq, at, what in _moments(case, instance):
        if what == "allow":
            refused = False
            window.clear()
        elif what == "asked" and refused:
            window.append((at, seq))
            while window[0][0] <= at - WINDOW:
                window.popleft()
            if len(window) > most:
                most, events = len(window), (window[0][1], seq)
        elif what == "refusal":
            refused = True
    return most, events


def _moments(case: Case, instance: int) -> list[tuple[int, float, str]]:
    """What an instance asked, and what it was told; a connect that failed was asked before it was refused."""
    moments: list[tuple[int, float, str]] = []
    for call in case.view.validates:
        if call.instance != instance:
            continue
        moments.append((call.asked, call.asked_at, "asked"))
        if call.ended is not None and call.outcome != "pending":
            moments.append(
                (call.ended, call.ended_at or call.asked_at, "allow" if call.outcome == "allow" else "refusal")
            )
    return sorted(moments, key=lambda moment: (moment[0], moment[2] != "asked"))


RULES: tuple[Rule, ...] = (NoHammering(),)
