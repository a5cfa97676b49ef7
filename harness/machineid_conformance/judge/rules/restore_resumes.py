"""restore/resumes: a stop can be taken back."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.support import change_words, charges, finding, judged, uncounted
from machineid_conformance.trace.events import ControlAnswered, Operator


class Resumes(Rule):
    """Looks for permitted work after the last restore or enable of the scenario."""

    id = "restore/resumes"
    by_time = True
    level = "MUST"
    statement = "After restore or org enable, a restarted (or still living) target works again, with no other change."
    applies_when = "always"
    source = 'PYTHON three-device walk-through, "Restore the device and confirm work resumes"'
    remedy = (
        "Keep no memory of a refusal, in a file or elsewhere: ask at the next start or attempt, and work if the answer "
        "is an allow."
    )

    def check(self, case: Case) -> Observation:
        """Uncounted unless the target was refused before the restore, and was alive or restarted after it."""
        view = case.view
        restored = next((change for change in reversed(view.changes) if change.action in ("restore", "enable")), None)
        if restored is None:
            return uncounted("nothing was restored or enabled in this run")
        if not any(refusal.ended is not None and refusal.ended < restored.seq for refusal in view.refusals):
            return uncounted("the target was not refused before the restore, so there was nothing to resume")
        if not any(process.exited is None or process.exited.seq > restored.seq for process in view.processes):
            return uncounted("the target was neither alive after the restore nor started again")
        if not case.baseline.effects:
            return uncounted("the fault-free run did no work, so there is none to resume")
        if _unanswered(case, restored.seq):
            return uncounted(
                "after the restore the target asked and gave up before it was answered, with nothing wrong with its calls: this "
                "machine was too busy for the target's own deadline"
            )
        device = _device(case, restored)
        resumed = any(
            charge.effect.is_work
            and charge.violation is None
            and charge.allow is not None
            and charge.allow > restored.seq
            and device in (None, charge.device)
            for charge in charges(case)
        )
        if resumed:
            return judged(())
        after = [call for call in view.validates if call.asked > restored.seq and device in (None, call.device)]
        allows = [call for call in after if call.outcome == "allow"]
        if after and not allows:
            return uncounted("the control plane still refused the target after the restore")
        got = f"{len(allows)} allows and no work" if allows else "no validate and no work"
        whose = f" of {device}" if device else ""
        return judged(
            (
                finding(
                    case,
                    f"after {change_words(restored)} no work{whose} was done again",
                    (restored.seq, view.events[-1].seq),
                    expected=f"work{whose} after a fresh allow, as in the fault-free run",
                    got=got,
                ),
            )
        )


def _unanswered(case: Case, position: int) -> bool:
    """Whether the target went to the control plane after a position, and nothing was answered there."""
    view = case.view
    if any(isinstance(event, ControlAnswered) and event.seq > position for event in view.events):
        return False
    went = (opened for opened in view.connections.values() if opened.host in case.target.control_plane)
    return any(event.seq > position for event in (*view.control, *went))


def _device(case: Case, restored: Operator) -> str | None:
    """Whose work has to come back: the restored device's, if it worked in the fault-free run; else anyone's."""
    works = {boundary.device for boundary in case.baseline.boundaries if boundary.covers}
    return restored.device if restored.device in works else None


RULES: tuple[Rule, ...] = (Resumes(),)
