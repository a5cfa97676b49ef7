"""restore/org-disable-keeps-devices: the org's switch and the devices' are two switches."""

from __future__ import annotations

from dataclasses import dataclass, field

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.support import finding, judged, uncounted, validate_words
from machineid_conformance.judge.view import Validate
from machineid_conformance.trace.events import Operator


@dataclass(kw_only=True)
class _Org:
    """What the answers have to follow from. ``blurred``: the plan, a cap or the key changed as well."""

    revoked: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    allowed: set[str] = field(default_factory=set)  # devices that were allowed once: registered and within the plan
    disabled: bool = False
    reenabled: bool = False
    blurred: bool = False
    changed: int = 0

    def change(self, operator: Operator) -> None:
        self.changed = operator.seq
        match operator.action, operator.device:
            case "revoke", str(device):
                self.revoked.add(device)
            case "restore", str(device):
                self.revoked.discard(device)
            case "remove", str(device):
                self.removed.add(device)
            case "disable", _:
                self.disabled = True
            case "enable", _:
                self.reenabled = self.reenabled or self.disabled
                self.disabled = False
            case _:
                self.blurred = True

    def expects(self, call: Validate) -> str | None:
        """``deny``, ``allow``, or None when the trace does not say."""
        device = call.device
        if not self.reenabled or self.disabled or call.asked < self.changed or device is None or device in self.removed:
            return None
        if device in self.revoked:
            return "deny"
        return "allow" if device in self.allowed and not self.blurred else None


class OrgDisableKeepsDevices(Rule):
    """Looks at the decisions after a disable and an enable; a violation is the control plane's, not the target's."""

    id = "restore/org-disable-keeps-devices"
    by_time = True
    level = "MUST"
    statement = "Org disable and enable leave each device's revoked state as it was (a MUST of the control plane)."
    applies_when = "always"
    source = 'PYTHON Org-wide disable, "Org disable does not change device revoked/restored states"'
    remedy = "This is a defect of the fake control plane, not of the target: please report it with the trace."

    def check(self, case: Case) -> Observation:
        """Uncounted unless a device whose state is known was validated after a disable and an enable."""
        struck = {fault.call for fault in case.view.faults}
        decided = {call.ended: call for call in case.view.validates if call.ended and call.call not in struck}
        org = _Org()
        compared = 0
        findings = []
        for event in case.view.events:
            if isinstance(event, Operator):
                org.change(event)
            elif (call := decided.get(event.seq)) is not None and call.outcome in ("allow", "deny"):
                expected = org.expects(call)
                if expected is not None:
                    compared += 1
                    if expected != call.outcome:
                        findings.append(
                            finding(
                                case,
                                f"disabling and enabling the org changed the state of {call.device}",
                                (org.changed, event.seq),
                                expected=f"{expected}, as before the org was disabled",
                                got=validate_words(call),
                            )
                        )
                elif call.outcome == "allow" and call.device is not None:
                    org.allowed.add(call.device)
        if not compared:
            return uncounted("no device whose state is known was validated after a disable and an enable")
        return judged(findings)


RULES: tuple[Rule, ...] = (OrgDisableKeepsDevices(),)
