"""fail-closed/short-timeout: a target that cannot ask soon knows it."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.rules.fail_closed_evidence import delivered, gave_up, not_delivered, struck, waited
from machineid_conformance.judge.support import finding, judged, uncounted
from machineid_conformance.judge.view import Validate

FAULTS = frozenset({"hang", "handshake-hang", "latency", "slow-body"})
LIMIT = 3.0
"""Target seconds (GUIDE Timeouts: 1 to 3 s)."""
MARGIN = 0.5
"""Target seconds by which a deadline of exactly ``LIMIT`` may be measured too long: the close has to be noticed."""


class ShortTimeout(Rule):
    """Measures from the complete request to the moment at which the client closed."""

    id = "fail-closed/short-timeout"
    by_time = True
    level = "SHOULD"
    statement = "The client gives up within 3 s, on a hang and on a drip; the measured deadline is reported."
    applies_when = "always"
    source = "GUIDE Timeouts (short client timeout, for example 1 to 3 seconds)"
    remedy = (
        "Set a deadline of 1 to 3 s on the whole validate call: `timeout=2`, and where that is a per-read timeout, "
        "a deadline around it as well."
    )

    def check(self, case: Case) -> Observation:
        """Uncounted unless a validate hung or dripped, or its answer was so late that it shows whether there is a deadline."""
        faults = delivered(case, FAULTS)
        if not faults:
            return uncounted(not_delivered(case, FAULTS))
        calls = {
            call: fault
            for fault in faults
            for call in struck(case, (fault,))
            if gave_up(case, call) or _outwaited(case, call)
        }
        if not calls:
            return uncounted(f"no validate was left without an answer for {LIMIT:g} s or until the client gave up")
        findings: list[Finding] = []
        notes: list[str] = []
        for call, fault in calls.items():
            seconds, by_client = waited(case, call), gave_up(case, call)
            if by_client:
                notes.append(f"{fault.fault}: the client gave up after {seconds:.1f} s")
            elif call.outcome == "failure":
                notes.append(
                    f"{fault.fault}: no deadline within {seconds:.1f} s, when the harness cut the connection off"
                )
            else:
                notes.append(f"{fault.fault}: the client still took an answer after {seconds:.1f} s")
            if not by_client or seconds > LIMIT + MARGIN:
                findings.append(
                    finding(
                        case,
                        f"the target waited {seconds:.1f} s for an answer to validate ({fault.fault})",
                        (call.asked, call.ended or call.asked),
                        expected=f"the client gives up within {LIMIT:g} s",
                        got=f"it waited {seconds:.1f} s",
                    )
                )
        return judged(findings, notes=notes)


def _outwaited(case: Case, call: Validate) -> bool:
    """The harness ended the call, or answered it, and not before the client's time was over."""
    if call.outcome == "failure":
        return call.how == "cut-off" and waited(case, call) > LIMIT
    return call.ended is not None and waited(case, call) > LIMIT + MARGIN


RULES: tuple[Rule, ...] = (ShortTimeout(),)
