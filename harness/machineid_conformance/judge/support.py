"""What rules share: what was charged, whether the target stopped, whether a run counts, and how an event is named."""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Case, Finding, Observation
from machineid_conformance.judge.permits import Charge, charge, device_of
from machineid_conformance.judge.view import Effect, Process, RunView, Validate
from machineid_conformance.trace.events import Exited, FaultDelivered, Operator, Signalled

_CHARGES: WeakKeyDictionary[RunView, dict[tuple[tuple[str, ...], str, int], tuple[Charge, ...]]] = WeakKeyDictionary()


def charges(case: Case) -> tuple[Charge, ...]:
    """The charges of the target's own effects at the profile that the run is judged at; computed once a view."""
    own = own_instances(case.view, case.target)
    return tuple(item for item in charges_of(case.view, case.target, case.profile) if item.effect.instance in own)


def own_instances(view: RunView, target: Target) -> frozenset[int]:
    """The instances that are this target's: in the run of a group, the other targets' are not judged with it."""
    own = {p.instance for p in view.processes if not target.devices or p.device is None or p.device in target.devices}
    seen = {effect.instance for effect in view.effects} | {call.instance for call in view.validates}
    return frozenset(own | (seen - set(view.instances)))


def charges_of(view: RunView, target: Target, profile: str | None = None) -> tuple[Charge, ...]:
    """The charges of all effects of a run. ``profile``: the target's own if it is None."""
    chosen = profile or target.profile
    key = target.devices, chosen, target.concurrency
    known = _CHARGES.setdefault(view, {})
    if key not in known:
        known[key] = charge(view, devices=key[0], profile=chosen, concurrency=key[2])  # type: ignore[arg-type]
    return known[key]


# -- where things are -------------------------------------------------------------------------------------------------


def disturbed_at(view: RunView) -> int | None:
    """Where the run stops being fault-free: the first fault delivered or operator action of the scenario, or None."""
    return view.disturbance


def undisturbed(case: Case) -> tuple[Charge, ...]:
    """The charges of what began before the disturbance: all of them in a run without one."""
    end = disturbed_at(case.view)
    return tuple(c for c in charges(case) if end is None or c.effect.began < end)


def refusals_after(view: RunView, position: int) -> tuple[Validate, ...]:
    """Denies and failures that were delivered after a position, in order."""
    return tuple(v for v in view.refusals if v.ended is not None and v.ended > position)


def first_refusal(case: Case) -> Validate | None:
    """The first deny or failure at or after the disturbance, or None. The failure that *is* the fault counts."""
    position = disturbed_at(case.view)
    if position is None:
        return None
    asked = (v for v in case.view.refusals if v.ended is not None)
    # A failed call is recorded beside its receipt, on either side of it: the call is what they have in common.
    calls = {fault.call for fault in case.view.faults if fault.call is not None}
    return next((v for v in asked if (v.ended or 0) > position or (v.call in calls)), None)


def target_device(case: Case, call: Validate) -> str | None:
    """The declared device that a validate was for; None when it failed before it named one."""
    return device_of(case.view, case.target.devices, instance=call.instance, start=call.start, named=call.device)


def kind_of_boundary(case: Case, fault: FaultDelivered) -> str:
    """The kind of the boundary at which a fault struck: up to the first one a run is like the fault-free one."""
    started, view, boundaries = case.view.started, case.view, case.baseline.boundaries
    if started.subject == "validate" and started.n is not None:
        n = started.n
    else:
        asked = [call for call in view.validates if call.call is not None and call.asked < fault.seq]
        n = max(1, len(asked) + (fault.call is None))
    if n <= len(boundaries):
        return boundaries[n - 1].kind
    return "startup" if n == 1 else "loop"


# -- does the run count -----------------------------------------------------------------------------------------------


def fault_was_delivered(case: Case) -> bool:
    """The trace holds a receipt of the fault, or an operator action of the scenario and a refusal after it."""
    view = case.view
    if view.faults:
        return True
    return any(refusals_after(view, change.seq) for change in view.changes)


def baseline_did_work_after(case: Case) -> bool:
    """The positive control: the fault-free baseline did work after the point at which this run was disturbed.

    That point is the validate or effect that the run is pinned to (``run-started``), else the start: then any work
    will do.
    """
    started, baseline = case.view.started, case.baseline
    if started.subject == "validate" and started.n is not None:
        at = started.n - 1
        return at < len(baseline.boundaries) and baseline.boundaries[at].work_after
    if started.subject == "effect" and started.n is not None:
        at = started.n - 1
        return at < len(baseline.effects_after) and baseline.effects_after[at]
    return baseline.effects > 0


def why_uncounted(case: Case, *, needs_work: bool = True) -> str | None:
    """Why this run says nothing of its fault's rule, in words, or None when it counts."""
    view = case.view
    if not fault_was_delivered(case):
        withheld = next((event for event in view.events if event.name == "fault-withheld"), None)
        if withheld is not None:
            return f"the fault was not delivered: {getattr(withheld, 'why', 'no reason was recorded')}"
        if view.changes:
            return "the target did not ask again after the change, so nothing refused it"
        return "the trace holds no receipt that the fault was delivered"
    if needs_work and not baseline_did_work_after(case):
        return "the fault-free baseline did no work after this point, so there was nothing to stop"
    return None


# -- what the target did ----------------------------------------------------------------------------------------------


def work_after_refusal(case: Case) -> tuple[Charge, ...]:
    """Work that began after the disturbance, under a refusal, or with no allow so far. Empty in an undisturbed run."""
    position = disturbed_at(case.view)
    if position is None:
        return ()
    bad = ("after-refusal", "no-allow-yet")
    return tuple(c for c in charges(case) if c.violation in bad and c.effect.began > position)


def exposures(case: Case) -> tuple[Charge, ...]:
    """Effects that arrived after a refusal and had been permitted before it (N > 1)."""
    return tuple(c for c in charges(case) if c.exposure)


def releases(case: Case) -> tuple[str, ...]:
    """The releases that followed a refusal, in words: always listed."""
    listed = (c for c in charges(case) if c.effect.role == "release" and c.refusal is not None)
    return tuple(f"released after the refusal: {effect_words(c.effect)}" for c in listed)


def stopped(view: RunView, target: Target, *, profile: str | None = None) -> tuple[bool, str]:
    """Whether the target is stopped after its last refusal, and why it is or is not, in words.

    requirements.md, *Stops*: the process and all its descendants ended; or no work started after the refusal without
    a fresh allow; or each stimulus was answered with the denied status. A stimulus answered otherwise is decisive.
    With no refusal at all there was nothing to stop for: False.
    """
    own = own_instances(view, target)
    refusals = [refusal for refusal in view.refusals if refusal.instance in own]
    if not refusals:
        return False, "no validate was refused"
    wrong = wrong_answers(view, target)
    if wrong:
        number, status = wrong[0]
        expected = target.stimulus.denied_status if target.stimulus is not None else 403
        return False, f"stimulus {number} was answered with {status} after the refusal, not with {expected}"
    refused = {(refusal.instance, refusal.start) for refusal in refusals}
    ends = [p for p in view.processes if (p.instance, p.start) in refused]
    if ends and all(process.ended_by_itself for process in ends):
        return True, "the process and all its descendants ended by themselves"
    if any(_answered_denied(view, target)):
        return True, "each stimulus after the refusal was answered with the denied status"
    working = [
        c for c in charges_of(view, target, profile) if c.violation == "after-refusal" and c.effect.instance in own
    ]
    if working:
        return (
            False,
            f"{effect_words(working[0].effect)} started after the refusal, and the process did not end by itself",
        )
    return True, "no work started after the refusal until the run ended"


def wrong_answers(view: RunView, target: Target) -> tuple[tuple[int, int], ...]:
    """Stimuli answered under a refusal with another status than the denied one: (number, status)."""
    if target.stimulus is None:
        return ()
    denied = target.stimulus.denied_status
    return tuple(
        (stimulus.number, stimulus.status)
        for stimulus in view.stimuli
        if stimulus.status is not None
        and stimulus.answered is not None
        and stimulus.status != denied
        and under_refusal(view, stimulus.answered, instance=stimulus.instance)
    )


def _answered_denied(view: RunView, target: Target) -> Iterable[bool]:
    denied = target.stimulus.denied_status if target.stimulus is not None else None
    return (s.status == denied for s in view.stimuli if s.answered is not None and denied is not None)


def under_refusal(view: RunView, position: int, *, instance: int) -> bool:
    """Whether the last decision that this instance got before a position was a refusal."""
    got = [v for v in view.validates if v.instance == instance and v.ended is not None and v.ended < position]
    last = max(got, key=lambda v: v.ended or 0, default=None)
    return last is not None and last.refused


def ended_on_refusal(view: RunView) -> tuple[Process, ...]:
    """The processes that ended by themselves while their last decision was a refusal."""
    return tuple(
        process
        for process in view.processes
        if process.exited is not None
        and process.exited.by == "target"
        and under_refusal(view, process.exited.seq, instance=process.instance)
    )


# -- words ------------------------------------------------------------------------------------------------------------


def finding(case: Case, message: str, events: Iterable[int], expected: str, got: str) -> Finding:
    """A finding of this run. ``events`` are positions: the last is the violating line."""
    return Finding(run=case.view.run, message=message, events=tuple(events), expected=expected, got=got)


def judged(findings: Iterable[Finding], *, notes: Iterable[str] = ()) -> Observation:
    """A run that counted: it fails if there are findings, and passes otherwise."""
    found = tuple(findings)
    return Observation(outcome="fail" if found else "pass", findings=found, notes=tuple(notes))


def uncounted(reason: str, *, notes: Iterable[str] = ()) -> Observation:
    """A run that says nothing of the rule, and why."""
    return Observation(outcome="uncounted", reason=reason, notes=tuple(notes))


def effect_words(effect: Effect) -> str:
    """``POST api.example/charge (effect 3)``; the rule's own label comes first where it has one."""
    event = effect.event
    if event.transport == "http" and event.method and event.host:
        seen = f"{event.method} {event.host}{event.path or ''}"
    elif event.transport in ("tcp", "smtp") and event.host:
        seen = f"{event.transport} {event.host}:{event.port}"
    elif event.transport == "file" and event.path:
        seen = f"file {event.path}"
    else:
        seen = effect.label
    words = seen if effect.label in (seen, "") else f"{effect.label}: {seen}"
    return f"{words} (effect {effect.number})"


def validate_words(call: Validate) -> str:
    """``validate 3 of worker:01 (deny, DEVICE_REVOKED)``."""
    name = f"validate {call.n}" if call.n is not None else "a connection to the control plane"
    device = f" of {call.device}" if call.device else ""
    detail = call.code or call.how or (str(call.status) if call.status is not None else None)
    return f"{name}{device} ({call.outcome}{', ' + detail if detail else ''})"


def change_words(change: Operator) -> str:
    """``revoke worker:01``."""
    return " ".join(part for part in (change.action, change.device, change.argument) if part)


def exit_words(exited: Exited) -> str:
    """``exit code 1`` or ``SIGTERM``."""
    return f"exit code {exited.code}" if exited.signal is None else str(exited.signal)


def signal_words(signalled: Signalled) -> str:
    """``SIGSTOP to instance 1``."""
    return f"{signalled.signal} to instance {signalled.instance}"


def charge_findings(case: Case, violating: Iterable[Charge], expected: str) -> tuple[Finding, ...]:
    """One finding for each violating effect, the decision that it lacked named beside it."""
    return tuple(_charge_finding(case, item, expected) for item in violating)


def _charge_finding(case: Case, item: Charge, expected: str) -> Finding:
    before = [v for v in case.view.validates if v.ended is not None and v.ended < item.effect.began]
    mine = [v for v in before if v.device is None or target_device(case, v) == item.device]
    last = max(mine, key=lambda v: v.ended or 0, default=None)
    why = {
        "no-allow-yet": "no allow has been answered for its device",
        "after-refusal": "the last decision is a refusal, and no allow came after it",
        "unanswered": "its validate is still unanswered",
        "no-permit": "every allow so far is spent or has lapsed",
        None: "no allow of its own was sent for it",
    }[item.violation]
    events = [last.ended] if last is not None and last.ended is not None else []
    got = f"the last decision before it: {validate_words(last)}" if last is not None else "no decision before it"
    words = effect_words(item.effect)
    return finding(case, f"{words} started while {why}", [*events, item.effect.began], expected, got)
