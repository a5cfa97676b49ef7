"""What the placement rules share. It holds no rule of its own."""

from __future__ import annotations

from collections.abc import Callable

from machineid_conformance.config.model import Profile, Target
from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.permits import Charge
from machineid_conformance.judge.support import charge_findings, charges, judged, target_device, uncounted, undisturbed

RULES: tuple[Rule, ...] = ()


def not_at(target: Target, *profiles: Profile) -> str | None:
    """Why a rule of these profiles does not apply to the target's own."""
    if target.profile in profiles:
        return None
    return (
        f'it applies at profile {" and ".join(profiles)}; the profile is {target.profile} (profile = "{profiles[-1]}")'
    )


def permits_of(
    case: Case, mine: Callable[[Charge], bool], violates: Callable[[Charge], bool], *, expected: str, nothing: str
) -> Observation:
    """The common shape: of what began before the disturbance, the charges that are ``mine`` and violate.

    What began before any allow, or after a refusal that no scenario brought about, is the finding of other rules.
    """
    work = [item for item in undisturbed(case) if mine(item)]
    if not work:
        return uncounted(nothing)
    return judged(charge_findings(case, [item for item in work if violates(item)], expected))


def handed_over(case: Case, item: Charge) -> bool:
    """Work of an agent that was handed to without an allow of its own: ``placement/handoff`` judges it, not the gate.

    So it is where handoffs are declared, and another device of the same start had been allowed before.
    """
    if not case.target.declares("handoff"):
        return False
    return any(
        call.outcome == "allow"
        and call.instance == item.effect.instance
        and call.start == item.effect.start
        and (call.ended or 0) < item.effect.began
        and target_device(case, call) != item.device
        for call in case.view.validates
    )


def started_between(case: Case, after: int, before: int | None, device: str | None) -> tuple[Charge, ...]:
    """Work other than reads and dequeues that began between two positions, of one device or (None) of any."""
    return tuple(
        item
        for item in charges(case)
        if item.effect.may_spend
        and item.effect.began > after
        and (before is None or item.effect.began < before)
        and (device is None or item.device == device)
    )


def beyond_permitted(case: Case, started: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """What of ``started`` is more than was permitted: past N effects at ``high``, past the rest of N units at ``medium``,
    past ``max_gap`` effects for each of N workers at ``low``.
    """
    n = case.target.concurrency
    if case.profile == "high":
        return started[n:]
    if case.profile == "low":
        return started[n * case.target.max_gap :]
    units: list[tuple[int, int]] = []
    excess = []
    for item in started:
        unit = item.effect.instance, item.unit
        if unit not in units:
            units.append(unit)
        if units.index(unit) >= n:
            excess.append(item)
    return tuple(excess)
