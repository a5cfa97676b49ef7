"""What the rules on failures share: which faults reached the target, and which work had no permission after them.

No rule of its own. A fault counts once its receipt (``fault-delivered``) is in the trace; what the target does before
that is none of the fault's business, with one exception: work that starts while the very call under fault is
unanswered was not awaited, and the fault only made that visible.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from machineid_conformance.judge.api import Case, Finding, Rule
from machineid_conformance.judge.deadlines import wait_of
from machineid_conformance.judge.permits import Charge
from machineid_conformance.judge.support import charges, effect_words, finding
from machineid_conformance.judge.view import Validate
from machineid_conformance.trace.events import ControlFailed, FaultDelivered, FaultWithheld

RULES: tuple[Rule, ...] = ()

TRUTHFUL = frozenset(
    {"content-type", "contradictory-code", "duplicate-field", "latency", "mistyped-field", "replay", "stale"}
)
"""Faults that leave a decision in the answer, late, old or oddly dressed: no outage, and an allow under them is a permit
(requirements.md, Words: ``allowed`` alone decides).
"""


def delivered(case: Case, faults: Collection[str] | None = None) -> tuple[FaultDelivered, ...]:
    """The receipts of faults that struck a validate, or a connection before anyone knew what it was for.

    ``faults``: names of the faults that matter; None: any that takes the answer away.
    """
    return tuple(
        fault
        for fault in case.view.faults
        if fault.operation in ("validate", "unknown")
        and (fault.fault not in TRUTHFUL if faults is None else fault.fault in faults)
    )


def not_delivered(case: Case, faults: Collection[str] | None = None) -> str:
    """Why no receipt of these faults is in the trace, in words."""
    for event in case.view.events:
        if isinstance(event, FaultWithheld) and (faults is None or event.fault in faults):
            return f"the fault {event.fault} could not be delivered: {event.why}"
    others = sorted({fault.fault for fault in case.view.faults if faults is not None and fault.fault not in faults})
    if others:
        return f"the fault that was delivered ({', '.join(others)}) is not of this class"
    if any(fault.fault not in TRUTHFUL for fault in case.view.faults):
        return "the fault struck no validate, only a call of another kind"
    return "the fault was not delivered: the target made no call that it could strike"


def struck(case: Case, faults: Iterable[FaultDelivered]) -> tuple[Validate, ...]:
    """The validates that these faults struck, and the connections before anyone knew what they were for, by their receipts."""
    calls, connections = set[int](), set[int]()
    for fault in faults:
        if fault.call is not None:
            calls.add(fault.call)
        elif fault.connection is not None:
            connections.add(fault.connection)
    return tuple(
        call
        for call in case.view.validates
        if (call.call in calls if call.call is not None else _connection(case, call) in connections)
    )


def _connection(case: Case, call: Validate) -> int | None:
    event = case.view.event(call.ended) if call.ended is not None else None
    return event.connection if isinstance(event, ControlFailed) else None


def waited(case: Case, call: Validate) -> float:
    """For how many target seconds the client waited for the end of a call."""
    return wait_of(case, call)[0]


def gave_up(case: Case, call: Validate) -> bool:
    """Whether it was the client who ended the wait."""
    return wait_of(case, call)[1]


def since(case: Case, faults: Collection[FaultDelivered]) -> int:
    """Where the first of these faults struck: its receipt, or the failed call that stands just before the receipt."""
    first = min(fault.seq for fault in faults)
    return first - 1 if isinstance(case.view.event(first - 1), ControlFailed) else first


def unpermitted(case: Case, faults: Collection[FaultDelivered]) -> tuple[Charge, ...]:
    """Work that started without a fresh allow because of these faults, in the order in which it began.

    Work after the refusal; work before any allow; work that started while a call under fault was unanswered; and work
    on the allow of a call under fault: one behind a bad certificate or a redirect is never a permit.
    """
    if not faults:
        return ()
    first = since(case, faults)
    calls = struck(case, faults)
    dangled = {call.ended for call in calls if call.outcome == "allow"}
    found = []
    for charge in charges(case):
        began = charge.effect.began
        if not charge.effect.is_work:
            wrong = charge.violation is not None and began > first  # more releases than units in flight
        elif charge.violation in ("after-refusal", "no-allow-yet") and began > first:
            wrong = True
        elif charge.violation in ("unanswered", "no-allow-yet"):
            wrong = any(call.asked < began < (call.ended or began + 1) for call in calls)
        else:
            wrong = charge.violation is None and charge.allow in dangled
        if wrong:
            found.append(charge)
    return tuple(found)


def work_findings(case: Case, work: Iterable[Charge], *, cause: str) -> tuple[Finding, ...]:
    """One finding for each piece of work that should not have started; ``cause`` is what came before it, in words."""
    return tuple(
        finding(
            case,
            f"{effect_words(charge.effect)} started {cause}",
            _places(charge),
            expected=f"no work of {charge.device} until a fresh allow",
            got=f"{effect_words(charge.effect)} ({charge.effect.role})",
        )
        for charge in work
    )


def _places(charge: Charge) -> tuple[int, ...]:
    began = charge.effect.began
    return (charge.refusal, began) if charge.refusal is not None and charge.refusal < began else (began,)
