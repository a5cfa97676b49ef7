"""identity/per-replica: each instance has an identity of its own."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Finding, Observation, Rule
from machineid_conformance.judge.support import finding
from machineid_conformance.judge.view import Register, Validate
from machineid_conformance.trace.events import Exited, Gone, Spawned


class PerReplica(Rule):
    """Looks at instances that were alive at the same time."""

    id = "identity/per-replica"
    level = "SHOULD"
    statement = "Two live instances do not share one id."
    applies_when = "more than one instance"
    source = 'PYTHON "one fleet device" anti-pattern; SWARM "per replica"; GUIDE Identity model'
    remedy = (
        'Give each replica an id of its own, for example `device = "worker:prod:consumer:{n:02}"`, or build it from '
        "the replica's ordinal; one id for a fleet cannot be revoked one replica at a time."
    )
    always = True

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """One instance has nobody to share with."""
        del baseline
        if target.instances < 2:
            return "the target has one instance; it applies with `instances = 2` or more"
        return None

    def check(self, case: Case) -> Observation:
        """Uncounted unless two instances that were alive together each named a device."""
        lives = _lives(case)
        users: dict[str, dict[int, int]] = {}  # device → instance → the first call that named it
        calls: tuple[Register | Validate, ...] = (*case.view.registers, *case.view.validates)
        for call in calls:
            if call.device:
                instances = users.setdefault(call.device, {})
                instances[call.instance] = min(call.asked, instances.get(call.instance, call.asked))
        named = sorted({instance for instances in users.values() for instance in instances})
        pairs = [(one, other) for one in named for other in named if one < other and _together(lives, one, other)]
        if not pairs:
            return Observation(outcome="uncounted", reason="no two live instances named a device in this run")
        findings: list[Finding] = []
        for device, instances in users.items():
            shared = [(one, other) for one, other in pairs if one in instances and other in instances]
            if shared:
                one, other = shared[0]
                findings.append(
                    finding(
                        case,
                        f"instances {one} and {other} both call themselves {device}",
                        tuple(sorted((instances[one], instances[other]))),
                        expected="an id of its own for each live instance",
                        got=f"{device} for both",
                    )
                )
        return Observation(outcome="fail" if findings else "pass", findings=tuple(findings))


def _lives(case: Case) -> dict[int, list[tuple[int, int]]]:
    """From and to which event each instance was alive."""
    lives: dict[int, list[tuple[int, int]]] = {}
    end = case.view.events[-1].seq
    for event in case.view.events:
        if isinstance(event, Spawned):
            lives.setdefault(event.instance, []).append((event.seq, end))
        elif isinstance(event, Exited | Gone) and lives.get(event.instance):
            since, until = lives[event.instance][-1]
            lives[event.instance][-1] = (since, min(until, event.seq))
    return lives


def _together(lives: dict[int, list[tuple[int, int]]], one: int, other: int) -> bool:
    return any(
        max(since, from_) <= min(until, to) for since, until in lives.get(one, []) for from_, to in lives.get(other, [])
    )


RULES: tuple[Rule, ...] = (PerReplica(),)
