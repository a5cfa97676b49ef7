"""identity/register-first: a device is registered before it is validated."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.rules.identity_declared_device import is_own
from machineid_conformance.judge.support import finding
from machineid_conformance.trace.events import ControlAnswered, ControlFailed, ControlRequest


class RegisterFirst(Rule):
    """Looks at the first validate of each device; what the register answer said does not matter."""

    id = "identity/register-first"
    level = "MUST"
    statement = "A register call was answered, whatever it said, before the device's first validate."
    applies_when = "not `preregistered`"
    source = "PYTHON Pattern A: Startup gate (register once, validate once, then start the work loop)"
    remedy = (
        "Call register(device_id) and wait for its answer before the first validate(device_id); if the devices are "
        "registered elsewhere, say so with `preregistered = true`."
    )
    always = True

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """A target whose devices are registered elsewhere need not register."""
        del baseline
        if target.preregistered:
            return "the devices are preregistered; with `preregistered = false` the target has to register them"
        return None

    def check(self, case: Case) -> Observation:
        """Uncounted without a validate."""
        registered: set[str | None] = set()
        # A drip: its head was there at once, and a client may act on that.
        dripped = {
            event.call for event in case.view.events if isinstance(event, ControlFailed) and event.silent is not None
        }
        seen: dict[str | None, int] = {}
        findings = []
        for event in case.view.events:
            if isinstance(event, ControlRequest) and not is_own(case, event.instance):
                continue
            if (isinstance(event, ControlAnswered) and event.operation == "register") or (
                isinstance(event, ControlRequest) and event.operation == "register" and event.call in dripped
            ):
                registered.add(event.device)
            elif isinstance(event, ControlRequest) and event.operation == "validate" and event.device not in seen:
                seen[event.device] = event.seq
                if event.device not in registered:
                    findings.append(
                        finding(
                            case,
                            f"{event.device} is validated before a register call for it was answered",
                            (event.seq,),
                            expected=f"an answered register of {event.device} before this validate",
                            got="none",
                        )
                    )
        if not seen:
            return Observation(outcome="uncounted", reason="the target validated no device in this run")
        return Observation(outcome="fail" if findings else "pass", findings=tuple(findings))


RULES: tuple[Rule, ...] = (RegisterFirst(),)
