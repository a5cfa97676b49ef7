"""How long stopping took: the figures of ``stop_latency`` in results.json.

Counted are runs in which the scenario's operator changed something and a deny followed. All times are in target seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from machineid_conformance.judge.api import Case
from machineid_conformance.judge.support import charges, target_device
from machineid_conformance.judge.view import Validate
from machineid_conformance.trace.events import Operator

DENYING = ("revoke", "remove", "disable", "rotate", "plan", "cap")
"""Actions of an operator after which the next decision is a deny (or, after a rotated key, no decision at all)."""
STOPPING = ("revoke", "remove", "disable", "rotate", "plan")
"""The same without ``cap``, which refuses new devices and leaves the others as they are."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """One stop: the change, the refusal that followed, and what came of it. Durations are None where there was no such end."""

    change: Operator
    refusal: Validate
    change_to_deny: float
    deny_to_end: float | None  # until the process ended by itself
    change_to_last_effect: float | None  # until the last work that began after the change
    last_work: float | None  # from the deny until the last work that began after it
    effects_between: int
    effects_after: int


def stop_of(case: Case) -> Stop | None:
    """The stop of one run, or None when there was no change in it, or no refusal after the change.

    A change that falls while the device's validate is held is followed by that validate's answer.
    """
    view = case.view
    change = next((c for c in view.changes if c.action in STOPPING), None)
    if change is None:
        return None
    refusal = refusal_after(case, change)
    if refusal is None or refusal.ended is None or refusal.ended_at is None:
        return None
    spending = [
        item
        for item in charges(case)
        if item.effect.is_work
        and item.effect.began > change.seq
        and (change.device is None or item.device == change.device)
        and not _fresh(case, item.allow, refusal.ended)
    ]
    between = [item for item in spending if item.effect.began < refusal.ended and item.effect.may_spend]
    after = [item for item in spending if item.effect.began > refusal.ended]
    last = max((item.effect.at for item in spending), default=None)
    worked = max((item.effect.at for item in after), default=None)
    ends = [p.exited.at for p in view.processes if p.instance == refusal.instance and p.ended_by_itself and p.exited]
    ended = next((at for at in ends if at >= refusal.ended_at), None)
    return Stop(
        change=change,
        refusal=refusal,
        change_to_deny=_round(refusal.ended_at - change.at),
        deny_to_end=None if ended is None else _round(ended - refusal.ended_at),
        change_to_last_effect=None if last is None else _round(last - change.at),
        last_work=None if worked is None else _round(worked - refusal.ended_at),
        effects_between=len(between),
        effects_after=len(after),
    )


def refusal_after(case: Case, change: Operator) -> Validate | None:
    """The first refusal of the changed device (of any device, when the change names none) that followed the change."""
    for refusal in case.view.refusals:
        if (refusal.ended or 0) < change.seq:
            continue
        if change.device is None or refusal.device is None or target_device(case, refusal) == change.device:
            return refusal
    return None


def latency(cases: Iterable[Case]) -> dict[str, Any]:
    """``stop_latency`` of results.json (design.md): figures over all runs that were stopped, {} where no run has one."""
    stops = [stop for stop in (stop_of(case) for case in cases) if stop is not None]
    return {
        "runs": len(stops),
        "change_to_deny": figures([stop.change_to_deny for stop in stops]),
        "deny_to_end": figures([stop.deny_to_end for stop in stops if stop.deny_to_end is not None]),
        "change_to_last_effect": figures(
            [stop.change_to_last_effect for stop in stops if stop.change_to_last_effect is not None]
        ),
        "effects_after_deny": sum(stop.effects_after for stop in stops),
        "effects_between_change_and_deny": sum(stop.effects_between for stop in stops),
    }


def figures(seconds: Sequence[float]) -> dict[str, float]:
    """Minimum, median, 95th percentile (nearest rank) and maximum; {} of nothing."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {
        "min": _round(ordered[0]),
        "median": _round(median),
        "p95": _round(ordered[math.ceil(0.95 * len(ordered)) - 1]),
        "max": _round(ordered[-1]),
    }


def _fresh(case: Case, allow: int | None, refused: int) -> bool:
    """Whether work is covered by an allow from after the refusal: then it is no part of this stop."""
    del case
    return allow is not None and allow > refused


def _round(seconds: float) -> float:
    return round(max(0.0, seconds), 6)
