"""startup/denied, startup/cap, startup/unreachable: a start that is refused does no work, and stops."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Finding, Observation, Rule
from machineid_conformance.judge.support import (
    baseline_did_work_after,
    charge_findings,
    disturbed_at,
    finding,
    first_refusal,
    judged,
    releases,
    stopped,
    uncounted,
    why_uncounted,
    work_after_refusal,
)
from machineid_conformance.judge.view import Register

NO_WORK = "no work, and the target stopped"


def kept_out(case: Case) -> Observation:
    """A start under a change or a fault that refuses it: any work fails it, and so does a target that is not stopped.

    Work fails it even if the target never asked, or its baseline did none: a violation needs no positive control.
    """
    findings: tuple[Finding, ...] = charge_findings(case, work_after_refusal(case), NO_WORK)
    if not findings:
        reason = why_uncounted(case)
        if reason is not None:
            return uncounted(reason)
        refusal = first_refusal(case)
        if refusal is None:
            return judged((), notes=releases(case))  # it gave up before its first validate, and did no work
        is_stopped, why = stopped(case.view, case.target, profile=case.profile)
        if not is_stopped:
            events = [refusal.ended] if refusal.ended is not None else []
            findings = (finding(case, f"the target is not stopped: {why}", events, NO_WORK, why),)
    return judged(findings, notes=releases(case))


class Denied(Rule):
    """Revoked, removed, disabled or without a plan before it starts."""

    id = "startup/denied"
    level = "MUST"
    statement = (
        "Revoked, removed, org disabled or plan not active before the start: no work, and the target is stopped."
    )
    applies_when = "always"
    source = "GUARANTEES 1"
    remedy = "Exit, or refuse every task, when the first validate is denied: `if allowed is not True: sys.exit(1)`."

    def check(self, case: Case) -> Observation:
        """Fails on any work, and on a target that is not stopped."""
        return kept_out(case)


class Unreachable(Rule):
    """The control plane cannot be reached when the target starts."""

    id = "startup/unreachable"
    level = "MUST"
    statement = "Control plane unreachable at the start: no work, and the target is stopped."
    applies_when = "always"
    source = "GUIDE Network failures"
    remedy = "Let an exception of the first validate end the start: no `except: pass` around it, no default of `allowed = True`."

    def check(self, case: Case) -> Observation:
        """Fails on any work, and on a target that is not stopped."""
        return kept_out(case)


class Cap(Rule):
    """The register call is refused because the plan's cap is reached."""

    id = "startup/cap"
    level = "MUST"
    statement = "Register refused because the cap is reached: no work, and the target is stopped."
    applies_when = "the target registers"
    source = "PYTHON caps; CREWAI troubleshooting"
    remedy = (
        "Look at the register answer: a status of 400 or more, `limit_reached` or `blocked` ends the start. Validate "
        "afterwards in any case: an unregistered device is denied."
    )

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """Without a register call there is nothing to refuse."""
        if target.preregistered or not baseline.registers:
            return (
                "the target makes no register call in its fault-free runs; it would apply to one that registers itself"
            )
        return None

    def check(self, case: Case) -> Observation:
        """Fails on any work after the refused register, and on a stimulus that is not denied."""
        refused = _refused_register(case)
        if isinstance(refused, str):
            return uncounted(refused)
        if not baseline_did_work_after(case):
            return uncounted("the fault-free baseline did no work, so there was nothing to stop")
        if first_refusal(case) is not None or work_after_refusal(case):
            return kept_out(case)
        denied = case.target.stimulus.denied_status if case.target.stimulus is not None else None
        wrong = [
            s
            for s in case.view.stimuli
            if denied is not None and s.answered is not None and s.status not in (None, denied)
        ]
        return judged(
            finding(
                case,
                f"stimulus {s.number} was answered with {s.status} although the device could not be registered",
                (refused.ended or refused.asked, s.answered or s.sent),
                f"the denied status, {denied}",
                f"status {s.status}",
            )
            for s in wrong
        )


def _refused_register(case: Case) -> Register | str:
    """The register call that the cap refused, or why there is none."""
    change = disturbed_at(case.view)
    if change is None:
        return "the cap was not lowered in this run"
    asked = [r for r in case.view.registers if r.ended is not None and r.ended > change and r.status is not None]
    if not asked:
        return "the target did not register after the cap was reached"
    allowed = [v for v in case.view.validates if v.outcome == "allow" and (v.ended or 0) > change]
    if allowed:
        return "the device was allowed after it registered: the cap was not reached for it"
    return asked[0]


RULES: tuple[Rule, ...] = (Denied(), Cap(), Unreachable())
