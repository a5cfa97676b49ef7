"""stop/exits and stop/exit-status: after a refusal the target is stopped, and its exit says so."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.support import (
    baseline_did_work_after,
    ended_on_refusal,
    exit_words,
    finding,
    first_refusal,
    judged,
    own_instances,
    stopped,
    uncounted,
    validate_words,
    why_uncounted,
)


class Exits(Rule):
    """Ended by itself, or no work without a fresh allow, or every stimulus denied."""

    id = "stop/exits"
    by_time = True
    level = "MUST"
    statement = "After a refusal the target is stopped."
    applies_when = "always"
    source = "PYTHON; GUIDE Example: webhooks"
    remedy = (
        "End the process (`sys.exit(1)`), or block until a fresh allow; a webhook answers the denied status, 403, and does "
        "nothing else."
    )

    def check(self, case: Case) -> Observation:
        """Fails on a target that goes on, or answers a stimulus as if it had been allowed."""
        reason = why_uncounted(case, needs_work=False)
        if reason is not None:
            return uncounted(reason)
        refusal = first_refusal(case)
        if refusal is None or refusal.ended is None:
            return uncounted("no validate was refused after the change")
        is_stopped, why = stopped(case.view, case.target, profile=case.profile)
        if is_stopped and not ended_on_refusal(case.view) and not baseline_did_work_after(case):
            return uncounted("the fault-free baseline did no work after this point, so there was nothing to stop")
        if is_stopped:
            return judged((), notes=())
        found = finding(
            case,
            f"after {validate_words(refusal)} the target is not stopped: {why}",
            (refusal.ended, _last(case, refusal.ended)),
            "the process ends, or no work starts without a fresh allow, or each stimulus is denied",
            why,
        )
        return judged((found,))


def _last(case: Case, refused: int) -> int:
    """The first line that shows it going on: work, or the answer to a stimulus."""
    worked = [effect.began for effect in case.view.work if effect.began > refused]
    replied = [s.answered for s in case.view.stimuli if s.answered is not None and s.answered > refused]
    return min((*worked, *replied), default=case.view.events[-1].seq)


class ExitStatus(Rule):
    """Supervisors and cron look at the exit code, not at the log."""

    id = "stop/exit-status"
    level = "SHOULD"
    statement = "A process that ends on a refusal exits non-zero."
    applies_when = "it ends by itself"
    source = "PYTHON Pattern A `exit(1)`"
    remedy = "End with `sys.exit(1)`, so that what started the process sees that it was refused."

    def not_shown(self, cases: Sequence[Case]) -> str | None:
        """A target that blocks instead of exiting has no exit code of its own."""
        if cases and not any(ended_on_refusal(case.view) for case in cases):
            return "the target never ends by itself on a refusal; it would apply to one that exits"
        return None

    def check(self, case: Case) -> Observation:
        """Fails on exit code 0."""
        own = own_instances(case.view, case.target)
        ends = [process for process in ended_on_refusal(case.view) if process.instance in own]
        if not ends:
            return uncounted("the process did not end by itself on a refusal")
        findings = []
        for process in ends:
            exited = process.exited
            if exited is not None and exited.code == 0:
                refused = [
                    v for v in case.view.refusals if v.instance == process.instance and (v.ended or 0) < exited.seq
                ]
                last = refused[-1]
                findings.append(
                    finding(
                        case,
                        f"the process ended with {exit_words(exited)} after {validate_words(last)}",
                        (last.ended or last.asked, exited.seq),
                        "a non-zero exit code",
                        exit_words(exited),
                    )
                )
        return judged(findings)


RULES: tuple[Rule, ...] = (Exits(), ExitStatus())
