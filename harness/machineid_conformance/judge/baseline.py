"""The positive control: what the fault-free runs of a target did, as one boundary map.

A fault is pinned to a boundary of this map, and a run counts only where the map shows work after that boundary.
"""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Boundary
from machineid_conformance.judge.logs import normalise, records
from machineid_conformance.judge.support import charges_of, exit_words
from machineid_conformance.judge.view import Effect, RunView, Validate
from machineid_conformance.trace.events import ConnectionOpened, ControlFailed, RequestHead, StimulusSent

_REFUSED_CLIENT = ("ca-rejected", "http2-only", "not-isolated", "bad-http")
"""Diagnoses that explain why no call arrived at all, the most telling first."""


def build(cases: Sequence[RunView], target: Target) -> Baseline:
    """The baseline of a target from its fault-free runs, three as a rule.

    The map is that of the run with the fewest boundaries, so that every run can be pinned to it. What the harness did
    to end a run at the horizon, and what came after, is left out.

    Raises:
        ValueError: there is no run.
    """
    if not cases:
        raise ValueError("a baseline needs at least one fault-free run; found none")
    shortest = min(cases, key=lambda view: (len(_boundaries(view, target)), len(_work(view))))
    work = _work(shortest)
    positions = [effect.began for effect in work]
    return Baseline(
        boundaries=_boundaries(shortest, target),
        effect_labels=tuple(effect.label for effect in work),
        effects_after=tuple(any(later > position for later in positions) for position in positions),
        deterministic=len({_sequence(view) for view in cases}) == 1,
        registers=any(view.registers for view in cases),
        reaches_horizon=any(view.ended is not None and view.ended.reason == "horizon" for view in cases),
        roles=frozenset(effect.role for view in cases for effect in view.effects),
        outputs=frozenset(normalise(record.text) for view in cases for record in records(view.outputs)),
        uses_https=_uses_https(cases),
        diagnosis=_diagnosis(cases),
    )


def _work(view: RunView) -> tuple[Effect, ...]:
    """Work before the end that the harness brought about; what was under way towards the last deny still counts."""
    end = next((v.ended for v in view.refusals if view.horizon is not None and (v.ended or 0) > view.horizon), None)
    return tuple(effect for effect in view.work if end is None or effect.began < end)


def _validates(view: RunView) -> tuple[Validate, ...]:
    end = view.horizon
    return tuple(v for v in view.validates if v.call is not None and (end is None or v.asked < end))


def _boundaries(view: RunView, target: Target) -> tuple[Boundary, ...]:
    validates, work = _validates(view), _work(view)
    covered: dict[int, list[str]] = {}
    for item in charges_of(view, target):
        if item.allow is not None and item.effect.is_work:
            covered.setdefault(item.allow, []).append(item.effect.label)
    boundaries = []
    seen: set[tuple[int, int]] = set()  # starts of instances that have had their first validate
    for number, call in enumerate(validates, 1):
        first = (call.instance, call.start) not in seen
        seen.add((call.instance, call.start))
        end = call.ended
        boundaries.append(
            Boundary(
                n=number,
                kind="startup" if first else _kind(call, validates, view, target),
                device=call.device,
                covers=tuple(covered.get(end, ())) if end is not None else (),
                work_after=end is not None and any(effect.began > end for effect in work),
            )
        )
    return tuple(boundaries)


def _kind(call: Validate, validates: Sequence[Validate], view: RunView, target: Target) -> str:
    """What the target does next, before it asks again, says what the boundary stands before."""
    again = next((v.asked for v in validates if v.asked > call.asked and v.instance == call.instance), None)
    following = (
        item
        for item in charges_of(view, target)
        if item.effect.is_work
        and item.effect.instance == call.instance
        and item.effect.began > call.asked
        and (again is None or item.effect.began < again)
    )
    item = next(following, None)
    if item is None:
        return "loop"
    role = item.effect.role
    if role == "task-source":
        return "task"
    if role in ("tool-call", "llm-call", "handoff"):
        return role
    first = item.unit > 0 and not any(
        other.unit == item.unit and other.effect.instance == call.instance and other.effect.is_work
        for other in charges_of(view, target)
        if other.effect.began < item.effect.began and other.effect.role != "task-source"
    )
    return "task" if first else "side-effect"


def _sequence(view: RunView) -> tuple[tuple[str, str | None], ...]:
    """What happened in which order, without times, ids and ports."""
    seen = [(call.asked, ("validate", call.device)) for call in _validates(view)]
    seen += [(effect.began, (effect.label, effect.device)) for effect in _work(view)]
    return tuple(what for _, what in sorted(seen, key=lambda pair: pair[0]))


def _uses_https(cases: Sequence[RunView]) -> bool:
    """Whether the control plane was called over TLS; True when it was never called."""
    ports = {
        view.connections[call.connection].port
        for view in cases
        for call in view.control
        if call.connection in view.connections
    }
    return not ports or 443 in ports


def _diagnosis(cases: Sequence[RunView]) -> str | None:
    """Why nothing can be judged, with the remedy, or None."""
    voided = [view.voided for view in cases]
    if all(voided):
        return voided[0]
    if any(view.control for view in cases):
        return None
    found = {diagnosis.problem: diagnosis.detail for view in cases for diagnosis in view.diagnoses}
    for problem in _REFUSED_CLIENT:
        if problem in found:
            return found[problem]
    if found:
        return next(iter(found.values()))
    failed = next((e for view in cases for e in view.events if isinstance(e, ControlFailed)), None)
    if failed is not None:
        return f"the target reached the control plane but sent no request: {failed.how}"
    return _silent(cases)


def _silent(cases: Sequence[RunView]) -> str:
    """No control-plane call: what the target did instead."""
    said = "the target made no control-plane call in its fault-free runs"
    went = sorted({e.host for v in cases for e in v.events if isinstance(e, ConnectionOpened | RequestHead)})
    where = f"; it connected to {', '.join(went[:5])}" if went else ""
    for view in cases:
        text = next((line.text for line in reversed(view.outputs) if line.text.strip()), None)
        last = f"; its last line was: {text}" if text else ""
        if view.ended is not None and view.ended.reason == "start_within":
            return (
                f"{said}: nothing happened before start_within was over{last}. See what it waits for; if it only starts "
                "slowly, set start_within higher"
            )
        for process in view.processes:
            if process.exited is not None and process.exited.by == "target":
                return (
                    f"{said}{where}; it ended with {exit_words(process.exited)}{last}. Run the same command by hand, "
                    "and see that it calls https://machineid.io"
                    + (', or set control_plane = ["…"] if that has another name' if went else "")
                )
    view = cases[0]
    if any(isinstance(event, StimulusSent) for event in view.events):
        return f"{said}, although it was sent stimuli. See that its handler calls https://machineid.io"
    return (
        f'{said}{where}. If its control plane has another name, set control_plane = ["…"]; if it is not started by '
        "this command, correct command"
    )
