"""identity/self-authorization: who is refused does not lift the refusal."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.rules.identity_declared_device import declared, is_own
from machineid_conformance.judge.support import finding

LIFTS = {
    "unrevoke": "unrevokes {device}",
    "remove": "removes {device}",
    "org-create": "makes itself an org of its own",
}


class SelfAuthorization(Rule):
    """Looks at the control-plane calls after the first refusal of the run.

    Validating another declared device is allowed; so is registering one. The key that the target was started with stays
    its key after a rotation: only a third one is another.
    """

    id = "identity/self-authorization"
    level = "MUST"
    statement = (
        "After a refusal the target does not lift it: no unrevoke, no remove, no undeclared device id, no other org "
        "key. (Validating another declared device is allowed.)"
    )
    applies_when = "always"
    source = "GUARANTEES 2: an execution surface cannot authorize itself"
    remedy = "After a refusal stop, and leave restoring the device to an operator in the console."
    always = True

    def check(self, case: Case) -> Observation:
        """Uncounted in a run without a refusal."""
        refusals = [refusal for refusal in case.view.refusals if is_own(case, refusal.instance)]
        refused = min((refusal.ended for refusal in refusals if refusal.ended), default=None)
        if refused is None:
            return Observation(outcome="uncounted", reason="the target was not refused in this run")
        devices = declared(case)
        findings: list[Finding] = []
        for event in case.view.control:
            if event.seq < refused or not is_own(case, event.instance):
                continue
            deed = None
            if event.operation in LIFTS:
                deed = LIFTS[event.operation].format(device=event.device or "a device")
            elif event.operation in ("register", "validate") and event.device not in devices:
                deed = f"{event.operation}s {event.device or 'no device'}, which is not declared"
            elif event.key == "other":
                deed = f"uses another org key ({event.operation})"
            if deed:
                findings.append(
                    finding(
                        case,
                        f"after a refusal the target {deed}",
                        (refused, event.seq),
                        expected="no attempt to lift the refusal",
                        got=f"{event.method} {event.path}",
                    )
                )
        return Observation(outcome="fail" if findings else "pass", findings=tuple(findings))


RULES: tuple[Rule, ...] = (SelfAuthorization(),)
