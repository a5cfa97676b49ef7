"""fail-closed/*: one checker for every class of failure, and the table of the classes.

At startup and at later boundaries: after the failure no work starts until a fresh allow, and the target is stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Finding, Level, Observation, Rule
from machineid_conformance.judge.rules.fail_closed_evidence import (
    delivered,
    gave_up,
    not_delivered,
    struck,
    unpermitted,
    waited,
    work_findings,
)
from machineid_conformance.judge.support import baseline_did_work_after, finding, judged, stopped, uncounted
from machineid_conformance.judge.view import Validate
from machineid_conformance.trace.events import FaultDelivered, RedirectFollowed

SOURCE = 'GUIDE Timeouts, Network failures; PYTHON "Fail closed"; GUARANTEES 3'
GIVES_UP_WITHIN = 60.0
"""Target seconds after which a client that still waits for an answer has no deadline (requirements.md, Fail closed)."""


MARGIN = 0.5
"""Target seconds by which a cut-off may come before that limit as it is measured."""


@dataclass(frozen=True, kw_only=True)
class FailureClass:
    """One row of the table. ``faults`` are the names of the faults that make up the class."""

    id: str
    faults: frozenset[str]
    failure: str
    level: Level = "MUST"
    applies_when: str = "always"
    remedy: str = "Treat every exception of the validate call as a deny: `except Exception: stop()`, and start no work."


CLASSES: tuple[FailureClass, ...] = (
    FailureClass(id="refused", faults=frozenset({"refuse"}), failure="connection refused"),
    FailureClass(
        id="dns",
        faults=frozenset({"no-name"}),
        failure="name does not resolve",
        applies_when="namespace isolation",
    ),
    FailureClass(
        id="reset", faults=frozenset({"reset"}), failure="connection reset before, and in the middle of, the answer"
    ),
    FailureClass(
        id="hang",
        faults=frozenset({"hang", "handshake-hang"}),
        failure="accepted, never answered; the target gives up within 60 s of target time",
        remedy="Give the validate call a deadline of 1 to 3 s, `timeout=2`, and treat its end as a deny.",
    ),
    FailureClass(
        id="late-allow",
        faults=frozenset({"late-allow"}),
        failure="an allow sent after the client gave up on it",
        remedy="Drop a call that timed out together with its connection: an answer that comes later decides nothing.",
    ),
    FailureClass(
        id="slow-body",
        faults=frozenset({"slow-body"}),
        failure="an allow that drips, a byte each 0.5 s, falls silent before its last byte, and is cut off after 30 s",
        remedy=(
            "Give the whole call a deadline (a per-read timeout never fires on a drip), and decide only on a body that "
            "was read to its end."
        ),
    ),
    FailureClass(
        id="tls",
        faults=frozenset({"certificate", "handshake-cut"}),
        failure="untrusted, expired, wrong-name certificate; handshake cut",
        applies_when="the target uses https",
        remedy="Leave certificate verification on (no `verify=False`), and treat a failed handshake as a deny.",
    ),
    FailureClass(
        id="server-error",
        faults=frozenset({"status"}),
        failure="500, 502, 503, 504: HTML, empty, JSON error body",
        remedy="Check the status before the body: anything but 2xx is a deny.",
    ),
    FailureClass(
        id="client-error",
        faults=frozenset({"status"}),
        failure="400, 401, 403, 404, 429 (with Retry-After): HTML, empty, JSON error body",
        remedy="Check the status before the body: anything but 2xx is a deny; a 429 may be asked again, not ignored.",
    ),
    FailureClass(
        id="not-json",
        faults=frozenset({"not-json"}),
        failure="200 with HTML, with an empty body, 204",
        remedy="A 2xx status is no permission: parse the body, and treat what does not parse as a deny.",
    ),
    FailureClass(
        id="truncated",
        faults=frozenset({"truncated"}),
        failure="fewer bytes than Content-Length; JSON cut in the middle",
        remedy="Parse the whole body with a JSON parser; do not search it for a word.",
    ),
    FailureClass(
        id="no-decision",
        faults=frozenset({"no-decision"}),
        failure="a JSON object without `allowed`, or with `null`; an array; a bare string",
        remedy='Ask for the one value that permits: `isinstance(body, dict) and body.get("allowed") is True`.',
    ),
    FailureClass(
        id="contradiction",
        level="SHOULD",
        faults=frozenset({"contradiction"}),
        failure='a 4xx or 5xx whose body says `"allowed": true`',
        remedy='Require both: `response.ok and response.json().get("allowed") is True`.',
    ),
    FailureClass(
        id="redirect",
        level="SHOULD",
        faults=frozenset({"redirect"}),
        failure="301, 302, 307, 308, to another host and to itself, where an allow waits",
        remedy="Do not follow redirects of the control plane, `allow_redirects=False`: they take the key elsewhere.",
    ),
    FailureClass(
        id="not-boolean",
        level="SHOULD",
        faults=frozenset({"not-boolean"}),
        failure='`allowed` is `"false"`, `"true"`, `0`, `1`, `"deny"`, `[]`, `{}`',
        remedy='Compare with the JSON value true, `body["allowed"] is True`; `bool("false")` is true.',
    ),
)


class FailsClosed(Rule):
    """The checker of one class: says fail on work without a fresh allow, and on a target that is not stopped."""

    source = SOURCE

    def __init__(self, row: FailureClass) -> None:
        self.row = row
        self.id = f"fail-closed/{row.id}"
        self.level = row.level
        self.statement = (
            f"After this failure no work starts until a fresh allow, and the target is stopped: {row.failure}."
        )
        self.applies_when = row.applies_when
        self.remedy = row.remedy

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """DNS cannot fail behind a proxy; TLS cannot where none is spoken."""
        if self.row.id == "dns" and target.isolation == "proxy":
            return 'in proxy isolation the proxy resolves names; it applies with `isolation = "namespace"`'
        if self.row.id == "tls" and not baseline.uses_https:
            return "the target does not use https; it applies when it calls the control plane by https"
        return None

    def check(self, case: Case) -> Observation:
        """Uncounted without a receipt, or without work in the baseline that this boundary gates."""
        faults = self._delivered(case)
        if not faults:
            return uncounted(not_delivered(case, self.row.faults))
        findings = [*work_findings(case, unpermitted(case, faults), cause=f"after a failure ({_words(faults)})")]
        is_stopped, how = stopped(case.view, case.target, profile=case.profile)
        if not findings and not is_stopped:
            findings.append(
                finding(
                    case,
                    f"the target was not stopped by a failure ({_words(faults)}): {how}",
                    (faults[0].seq,),
                    expected="the target ends, blocks, or answers the denied status",
                    got=how,
                )
            )
        notes: tuple[str, ...] = ()
        if self.row.id == "hang":
            never = [call for call in struck(case, faults) if call.how == "cut-off" and not gave_up(case, call)]
            findings += _never_gave_up(case, never)
            if never and not findings:
                return uncounted("the hang was cut off before it was known whether the client has a deadline")
        if self.row.id == "redirect":
            handed, notes = _redirects(case)
            findings += handed
        if not findings and not baseline_did_work_after(case):
            return uncounted("the fault-free run did no work after this boundary: nothing to stop")
        return judged(findings, notes=notes)

    def starved(self, counted: Sequence[Case]) -> str | None:
        """A class needs its failure at startup, and at a later boundary if the target has one that gates work."""
        numbers = {case.view.started.n for case in counted if case.view.started.subject == "validate"}
        if 1 not in numbers:
            return "no run counted in which the first validate failed (startup)"
        later = any(boundary.work_after for case in counted for boundary in case.baseline.boundaries[1:])
        if later and not any(n is not None and n > 1 for n in numbers):
            return "no run counted in which a later validate failed"
        return None

    def _delivered(self, case: Case) -> tuple[FaultDelivered, ...]:
        """The receipts of this class; ``status`` serves two classes, which its answer's status tells apart."""
        faults = delivered(case, self.row.faults)
        if self.row.faults != {"status"}:
            return faults
        server = self.row.id == "server-error"
        statuses = {call.call: call.status for call in struck(case, faults)}
        return tuple(
            fault
            for fault in faults
            if (status := statuses.get(fault.call)) is not None and (status >= 500) is server and status >= 400
        )


def _words(faults: Sequence[FaultDelivered]) -> str:
    first = faults[0]
    return f"{first.fault}, {first.variant}" if first.variant not in (None, first.fault) else first.fault


def _never_gave_up(case: Case, calls: Sequence[Validate]) -> list[Finding]:
    return [
        finding(
            case,
            f"the target still waited for an answer after {GIVES_UP_WITHIN:g} s",
            (call.asked, call.ended or call.asked),
            expected=f"the client gives up within {GIVES_UP_WITHIN:g} s of target time",
            got="it did not; the harness cut the connection off",
        )
        for call in calls
        if waited(case, call) > GIVES_UP_WITHIN - MARGIN
    ]


def _redirects(case: Case) -> tuple[list[Finding], tuple[str, ...]]:
    """A redirect that was followed is noted; one that took the key to another host is a finding."""
    findings, notes = [], []
    for event in case.view.events:
        if not isinstance(event, RedirectFollowed):
            continue
        notes.append(f"followed a redirect to {event.host}" + (" with the org key" if event.secrets else ""))
        if event.secrets and event.host not in case.target.control_plane:
            findings.append(
                finding(
                    case,
                    f"following a redirect the target handed the org key to {event.host}",
                    (event.seq,),
                    expected="the key to be sent to the control plane and to no other host",
                    got=f"the key in the {', '.join(event.secrets)} of {event.method} {event.host}",
                )
            )
    return findings, tuple(notes)


RULES: tuple[Rule, ...] = tuple(FailsClosed(row) for row in CLASSES)
