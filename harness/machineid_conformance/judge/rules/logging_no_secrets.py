"""logging/no-secrets: the key is not for the log."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Observation, Rule
from machineid_conformance.judge.rules.identity_declared_device import is_own
from machineid_conformance.judge.support import finding, judged, uncounted
from machineid_conformance.trace.events import Output
from machineid_conformance.trace.redact import OLD_KEY_MARK, ORG_KEY_MARK


class NoSecretsInLogs(Rule):
    """Looks for the marks that stand in the trace where the key stood; one finding a stream is enough."""

    id = "logging/no-secrets"
    level = "MUST"
    statement = "The org key never appears in full in any output or log."
    applies_when = "always"
    source = "GUIDE Logging and audit; common sense"
    remedy = "Log neither headers nor the environment; where a key must be told apart, log its last four characters."
    always = True

    def check(self, case: Case) -> Observation:
        """Uncounted in a run without output."""
        outputs = [output for output in case.view.outputs if is_own(case, output.instance)]
        if not outputs:
            return uncounted("the target wrote no output in this run")
        leaks: dict[tuple[int, str], Output] = {}
        for output in outputs:
            if ORG_KEY_MARK in output.text or OLD_KEY_MARK in output.text:
                leaks.setdefault((output.instance, output.stream), output)
        return judged(
            finding(
                case,
                f"the org key stands in {output.stream}",
                (output.seq,),
                expected="no org key in any output or log",
                got=output.text[:200],
            )
            for output in leaks.values()
        )


RULES: tuple[Rule, ...] = (NoSecretsInLogs(),)
