"""degraded/no-flags: no switch inside the runtime opens the gate."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Observation, Rule
from machineid_conformance.judge.rules.degraded_no_work import NOTHING_TO_STOP, work_in_outage
from machineid_conformance.judge.rules.fail_closed_evidence import delivered, not_delivered, work_findings
from machineid_conformance.judge.support import baseline_did_work_after, judged, uncounted


class NoFlags(Rule):
    """Looks at outages under a declared bypass environment."""

    id = "degraded/no-flags"
    level = "MUST"
    statement = "While the control plane stays unavailable no work starts, even when a declared `bypass_env` is set."
    applies_when = "`bypass_env` is declared"
    source = 'GUIDE No degraded mode, "Fallback to internal flags when validation is down"'
    remedy = "Remove the switch: what permits work is the control plane's allow, in every environment."

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """Switches cannot be guessed: they have to be declared."""
        del baseline
        if not target.bypass_env:
            return 'no `bypass_env` is declared; it applies with, for example, `bypass_env = [ { FAIL_OPEN = "1" } ]`'
        return None

    def check(self, case: Case) -> Observation:
        """Uncounted unless a declared bypass environment was set and the fault delivered."""
        environment = dict(case.view.started.environment)
        if environment not in [dict(switches) for switches in case.target.bypass_env]:
            return uncounted("no declared bypass environment was set in this run")
        if not delivered(case):
            return uncounted(not_delivered(case))
        switches = ", ".join(f"{name}={value}" for name, value in sorted(environment.items()))
        findings = work_findings(
            case, work_in_outage(case), cause=f"while the control plane was unavailable, with {switches}"
        )
        if not findings and not baseline_did_work_after(case):
            return uncounted(NOTHING_TO_STOP)
        return judged(findings, notes=(f"tried with {switches}",))


RULES: tuple[Rule, ...] = (NoFlags(),)
