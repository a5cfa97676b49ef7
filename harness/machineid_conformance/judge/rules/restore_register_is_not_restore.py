"""restore/register-is-not-restore: only an operator takes a revoke back."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.fail_closed_evidence import work_findings
from machineid_conformance.judge.support import charges, judged, target_device, uncounted
from machineid_conformance.trace.events import Event, Operator, Spawned


class RegisterIsNotRestore(Rule):
    """Looks at a start of the target while its device is revoked, up to the restore if there is one."""

    id = "restore/register-is-not-restore"
    level = "MUST"
    statement = "Restarted while revoked, the target registers, is denied, and does no work."
    applies_when = "always"
    source = 'SDK: "register() does NOT restore revoked devices"'
    remedy = "Take the answer of register for a name, not for permission: validate after it, and work on an allow only."

    def check(self, case: Case) -> Observation:
        """Uncounted unless the target was restarted while revoked, and either worked or was denied after that."""
        restarted = _restarted_while_revoked(case.view.events)
        if restarted is None:
            return uncounted("the target was not restarted while its device was revoked")
        spawned, revoked = restarted
        until = min(
            (change.seq for change in case.view.changes if change.seq > spawned.seq and change.action == "restore"),
            default=case.view.events[-1].seq + 1,
        )
        work = [
            charge
            for charge in charges(case)
            if charge.violation is not None
            and spawned.seq < charge.effect.began < until
            and charge.effect.instance == spawned.instance
            and charge.device in revoked
        ]
        registers = [
            call
            for call in case.view.registers
            if call.instance == spawned.instance and spawned.seq < call.asked < until
        ]
        notes = () if registers else ("after the restart the target did not register",)
        if work:
            cause = "after a restart while revoked" + (", the device being registered" if registers else "")
            return judged(work_findings(case, work, cause=cause), notes=notes)
        denied = any(
            call.instance == spawned.instance
            and spawned.seq < call.asked < until
            and (call.device in revoked or target_device(case, call) in revoked)
            for call in case.view.denies
        )
        if not denied:
            return uncounted("after the restart the target was not denied: it asked nothing", notes=notes)
        if not case.baseline.effects:
            return uncounted("the fault-free run did no work: nothing to stop", notes=notes)
        return judged((), notes=notes)


def _restarted_while_revoked(events: tuple[Event, ...]) -> tuple[Spawned, frozenset[str]] | None:
    """The first restart at which devices were revoked, and which."""
    revoked: set[str] = set()
    for event in events:
        if isinstance(event, Operator) and event.device:
            if event.action == "revoke":
                revoked.add(event.device)
            elif event.action in ("restore", "remove"):
                revoked.discard(event.device)
        elif isinstance(event, Spawned) and event.start > 1 and revoked:
            return event, frozenset(revoked)
    return None


RULES: tuple[Rule, ...] = (RegisterIsNotRestore(),)
