"""identity/readable: an operator finds the right device by its id."""

from __future__ import annotations

import re

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.identity_declared_device import identity_calls

FORM = "{service}:{env}:{role}:{instance}"
PATTERN = re.compile(r"[^:\s]+:[^:\s]+:[^:\s]+:[^:\s]+")


class Readable(Rule):
    """Reports; never fails."""

    id = "identity/readable"
    level = "report"
    statement = f"Ids follow `{FORM}`."
    applies_when = "always"
    source = 'GUIDE Device ID strategy, "a common pattern"'
    remedy = "Name devices like `worker:prod:queue-consumer:07`, so that the right one is found in the console at once."
    always = True

    def check(self, case: Case) -> Observation:
        """Says of each id whether it follows the pattern."""
        devices = sorted({call.device for call in identity_calls(case) if call.device})
        if not devices:
            return Observation(outcome="uncounted", reason="the target named no device in this run")
        notes = tuple(
            f"{device} {'follows' if PATTERN.fullmatch(device) else 'does not follow'} {FORM}" for device in devices
        )
        return Observation(outcome="pass", notes=notes)


RULES: tuple[Rule, ...] = (Readable(),)
