"""identity/no-secrets: an id is a name, and the key goes to the control plane alone."""

from __future__ import annotations

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.rules.identity_declared_device import is_own
from machineid_conformance.judge.support import finding
from machineid_conformance.trace.events import ControlRequest, EffectStarted
from machineid_conformance.trace.redact import OLD_KEY_MARK, ORG_KEY_MARK

KEYS = (ORG_KEY_MARK, OLD_KEY_MARK)


class NoSecrets(Rule):
    """Looks at every request of the target.

    Where the key followed a redirect is ``fail-closed/redirect``'s business: the target did not choose that host.
    """

    id = "identity/no-secrets"
    level = "MUST"
    statement = (
        "No org key or other secret in a device id or a URL; the target sends the key to the control plane and no "
        "other host (a followed redirect is judged under `fail-closed/redirect`)."
    )
    applies_when = "always"
    source = 'GUIDE Device ID strategy, "Do not embed secrets in device IDs"'
    remedy = (
        "Send the key in the header x-org-key of requests to the control plane only: set it on that call, not on a "
        "session or client that talks to other hosts too."
    )
    always = True

    def check(self, case: Case) -> Observation:
        """Uncounted when the target sent nothing at all."""
        findings: list[Finding] = []
        requests = 0
        for event in case.view.events:
            if isinstance(event, ControlRequest | EffectStarted) and not is_own(case, event.instance):
                continue
            if isinstance(event, ControlRequest):
                requests += 1
                places = set(event.secrets)
                if _has_key(event.device):
                    places.add("device")
                if _has_key(event.path):
                    places.add("url")
                findings += [
                    finding(
                        case,
                        f"{event.operation} carries a secret in its {'device id' if place == 'device' else 'URL'}",
                        (event.seq,),
                        expected="the key in the header x-org-key, and nowhere else",
                        got=f"a secret in the {'device id' if place == 'device' else 'URL'}",
                    )
                    for place in sorted(places)
                ]
            elif isinstance(event, EffectStarted):
                requests += 1
                places = set(event.secrets) | ({"url"} if _has_key(event.path) else set())
                if places:
                    findings.append(
                        finding(
                            case,
                            f"the org key goes to {event.host or event.label}, in its {', '.join(sorted(places))}",
                            (event.seq,),
                            expected="the key to be sent to the control plane and to no other host",
                            got=f"the key in the {', '.join(sorted(places))} of {event.label}",
                        )
                    )
        if not requests:
            return Observation(outcome="uncounted", reason="the target sent no request in this run")
        return Observation(outcome="fail" if findings else "pass", findings=tuple(findings))


def _has_key(text: str | None) -> bool:
    return text is not None and any(mark in text for mark in KEYS)


RULES: tuple[Rule, ...] = (NoSecrets(),)
