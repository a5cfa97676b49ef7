"""Whether a run says more of a busy machine than of the target: then it is run again before anything is said of it.

A target has deadlines of its own. Where the machine is too busy, one can pass although nothing was wrong with the call; what follows is
what the target does in an outage, and no scenario asked for one. Only what is missing or late can come of that: work that was done
without a permit was done, and stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.view import RunView
from machineid_conformance.trace.events import (
    ConnectionOpened,
    ControlFailed,
    ControlRequest,
    EffectAborted,
    EffectStarted,
    FaultArmed,
    FaultDelivered,
)

PATIENCE = 0.5
"""Target seconds: who gives up sooner did not wait for an answer (a deny cancels the other calls of one that does several at a time)."""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """``words`` say why a run is doubted; two runs with the same ``kind`` are doubted for the same: what a repeat confirms of one holds for
    the other.
    """

    kind: tuple[str, ...]
    words: str


def doubt(
    case: Case, observations: Mapping[str, Observation], rules: Mapping[str, Rule], *, usual_end: str | None
) -> Doubt | None:
    """Why this run, if the machine was busy, is to be repeated; None where it stands.

    ``usual_end`` is how the target's other runs with a refusal ended (``run-ended.reason``); None: there is none yet.
    """
    failed = [name for name, observation in observations.items() if observation.findings]
    if any(not rules[name].by_time for name in failed):
        return None
    if failed:
        return Doubt(kind=tuple(failed), words=f"{failed[0]} failed by something missing or late")
    words = gave_up(case.view) or _stayed(case, usual_end)
    return None if words is None else Doubt(kind=("in", *case.view.started.rules), words=words)


def gave_up(view: RunView) -> str | None:
    """The call or effect on which the target's own deadline passed although nothing was wrong with it, in words."""
    faulty = {event.call for event in view.events if isinstance(event, FaultDelivered)}
    armed = next((event.seq for event in view.events if isinstance(event, FaultArmed)), None)
    began: dict[tuple[str, int | None], float] = {}
    for event in view.events:
        if isinstance(event, ConnectionOpened):
            began["connection", event.connection] = event.at
        elif isinstance(event, ControlRequest):
            # Its first request may have waited, with its connection, for the harness: from the accept on. Later ones from themselves.
            began["call", event.call] = began.pop(("connection", event.connection), event.at)
        elif isinstance(event, EffectStarted):
            began["effect", event.effect] = event.at
        elif isinstance(event, ControlFailed) and event.how == "gave-up" and event.call not in faulty:
            if event.call is None and armed is not None and event.seq > armed:
                continue  # a connection that a fault of the listener made useless
            key = ("connection", event.connection) if event.call is None else ("call", event.call)
            waited = max(event.waited or 0.0, event.at - began.get(key, event.at))
            if waited >= PATIENCE:
                return f"the target gave up a {event.operation} after {waited:.1f} s with nothing wrong with it"
        elif isinstance(event, EffectAborted) and event.by == "target":
            waited = event.at - began.get(("effect", event.effect), event.at)
            if waited >= PATIENCE:
                return f"the target gave up effect {event.effect} after {waited:.1f} s, before it was answered"
    return None


def _stayed(case: Case, usual_end: str | None) -> str | None:
    """A target that ends on a refusal in its other runs, if any are known, and was idle in this one: perhaps it had only not got there."""
    ended = case.view.ended
    idle = ended is not None and ended.reason == "idle"
    if usual_end in (None, "gone") and idle and case.view.refusals:
        return "the target was idle after the refusal" + (", and ends in its other runs" if usual_end else "")
    return None


def usual_end(cases: Iterable[Case]) -> str | None:
    """How most runs with a refusal ended."""
    ends = [case.view.ended.reason for case in cases if case.view.ended is not None and case.view.refusals]
    return max(sorted(set(ends)), key=ends.count, default=None)


__all__ = ["Doubt", "doubt", "gave_up", "usual_end"]
