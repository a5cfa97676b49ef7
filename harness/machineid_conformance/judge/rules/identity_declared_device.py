"""identity/declared-device: permission is asked for the devices that were declared, and for no other."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.support import finding, judged, uncounted
from machineid_conformance.judge.view import Register, Validate


def is_own(case: Case, instance: int) -> bool:
    """Whether an instance is the target's; later ones of a run are other targets of its group, with their own runs."""
    return instance <= case.target.instances


def identity_calls(case: Case) -> tuple[Register | Validate, ...]:
    """The register and validate requests of the target in a run, in the order in which they were asked."""
    calls: tuple[Register | Validate, ...] = (*case.view.registers, *case.view.validates)
    arrived = (call for call in calls if call.call is not None and is_own(case, call.instance))
    return tuple(sorted(arrived, key=lambda call: call.asked))


def declared(case: Case) -> frozenset[str]:
    """The devices that this run may name.

    The configuration's, those of its effect rules, and what each instance was started with. If the configuration names
    none, the first device that each instance registers counts as declared, or validates if it registers none.
    """
    target = case.target
    given = {process.device for process in case.view.processes if process.device and is_own(case, process.instance)}
    devices = {*given, *(rule.device for rule in target.effects if rule.device)}
    if target.devices or given:
        return frozenset({*devices, *target.devices})
    first: dict[int, Register | Validate] = {}
    for call in identity_calls(case):
        known = first.get(call.instance)
        if call.device and (known is None or (isinstance(known, Validate) and isinstance(call, Register))):
            first[call.instance] = call
    return frozenset({*devices, *(call.device for call in first.values() if call.device)})


class DeclaredDevice(Rule):
    """Looks at each register and validate, and at the devices of each start of an instance."""

    id = "identity/declared-device"
    level = "MUST"
    statement = "Every register and validate names a declared device, the same ones after a restart."
    applies_when = "always"
    source = "GUIDE Identity model (a stable device identity); GUARANTEES 5"
    remedy = (
        'Read the device id from the deployment, `device_id = os.environ["MACHINEID_DEVICE_ID"]`, and make none up at '
        "run time; declare each further device in `devices`."
    )
    always = True

    def check(self, case: Case) -> Observation:
        """Uncounted when nothing was registered or validated."""
        calls = identity_calls(case)
        if not calls:
            return uncounted("the target registered and validated no device in this run")
        return judged(_undeclared(case, calls) or _changed(case, calls))


def _undeclared(case: Case, calls: Sequence[Register | Validate]) -> list[Finding]:
    """One finding for each name that is not declared, at its first call."""
    devices = declared(case)
    first: dict[tuple[int, str | None], Register | Validate] = {}
    for call in calls:
        if call.device not in devices:
            first.setdefault((call.instance, call.device), call)
    return [
        finding(
            case,
            f"{type(call).__name__.lower()} names {_name(call.device)}, which is not declared",
            (call.asked,),
            expected=" or ".join(sorted(devices)) or "a device id",
            got=_name(call.device),
        )
        for call in first.values()
    ]


def _changed(case: Case, calls: Sequence[Register | Validate]) -> list[Finding]:
    """Starts of one instance that have no device in common with its first start.

    Not every device has to come again: a start that is refused early names fewer.
    """
    named: dict[tuple[int, int], list[Register | Validate]] = {}
    for call in calls:
        named.setdefault((call.instance, call.start), []).append(call)
    findings = []
    first: dict[int, set[str | None]] = {}
    for (instance, _start), those in sorted(named.items()):
        devices = {call.device for call in those}
        before = first.setdefault(instance, devices)
        if not before & devices:
            findings.append(
                finding(
                    case,
                    f"after a restart the target calls itself {_name(those[0].device)}",
                    (those[0].asked,),
                    expected=" or ".join(sorted(_name(device) for device in before)),
                    got=_name(those[0].device),
                )
            )
    return findings


def _name(device: str | None) -> str:
    return device or "no device"


RULES: tuple[Rule, ...] = (DeclaredDevice(),)
