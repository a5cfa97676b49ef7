"""identity/declared-device: permission is asked for the devices that were declared, and for no other."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.support import finding
from machineid_conformance.trace.events import ControlRequest, Spawned


def identity_calls(case: Case) -> tuple[ControlRequest, ...]:
    """The register and validate requests of a run."""
    return tuple(
        event
        for event in case.view.events
        if isinstance(event, ControlRequest) and event.operation in ("register", "validate")
    )


def declared(case: Case) -> frozenset[str]:
    """The devices that this run may name.

    The configuration's, those of its effect rules, and what each instance was started with. If none of them names one,
    the first device that each instance registers counts as declared, or the first that it validates if it registers none.
    """
    target = case.target
    given = [event.device for event in case.view.events if isinstance(event, Spawned) and event.device]
    devices = {*given, *(rule.device for rule in target.effects if rule.device)}
    if target.devices or given:
        for device in target.devices:
            devices.update(_expanded(device, target.instances))
        return frozenset(devices)
    first: dict[int, ControlRequest] = {}
    for call in identity_calls(case):
        known = first.get(call.instance)
        if call.device and (known is None or (known.operation == "validate" and call.operation == "register")):
            first[call.instance] = call
    return frozenset({*devices, *(call.device for call in first.values() if call.device)})


def _expanded(device: str, instances: int) -> set[str]:
    """A device with ``{n}`` or ``{n:02}`` in it stands for one device an instance."""
    if "{n" not in device:
        return {device}
    return {device.format(n=n) for n in range(1, instances + 1)}


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
            return Observation(outcome="uncounted", reason="the target registered and validated no device in this run")
        devices = declared(case)
        findings: list[Finding] = []
        blamed: set[tuple[int, str | None]] = set()
        for call in calls:
            if call.device not in devices and (call.instance, call.device) not in blamed:
                blamed.add((call.instance, call.device))
                findings.append(
                    finding(
                        case,
                        f"{call.operation} names {call.device or 'no device'}, which is not declared",
                        (call.seq,),
                        expected=" or ".join(sorted(devices)) or "a device id",
                        got=call.device or "no device id",
                    )
                )
        if not findings:
            findings = _changed(case, calls)
        return Observation(outcome="fail" if findings else "pass", findings=tuple(findings))


def _changed(case: Case, calls: tuple[ControlRequest, ...]) -> list[Finding]:
    """Starts of one instance that have no device in common with its first start.

    Not every device has to come again: a start that is refused early names fewer.
    """
    starts = [event for event in case.view.events if isinstance(event, Spawned)]
    named: dict[tuple[int, int], list[ControlRequest]] = {}
    for call in calls:
        start = max((each.start for each in starts if each.instance == call.instance and each.seq < call.seq), default=1)
        named.setdefault((call.instance, start), []).append(call)
    findings = []
    first: dict[int, set[str | None]] = {}
    for (instance, _start), those in sorted(named.items()):
        devices = {call.device for call in those}
        before = first.setdefault(instance, devices)
        if not before & devices:
            findings.append(
                finding(
                    case,
                    f"after a restart the target calls itself {those[0].device}",
                    (those[0].seq,),
                    expected=" or ".join(sorted(device or "no device id" for device in before)),
                    got=those[0].device or "no device id",
                )
            )
    return findings


RULES: tuple[Rule, ...] = (DeclaredDevice(),)
