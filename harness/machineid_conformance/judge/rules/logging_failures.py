"""logging/failure and logging/failure-reason: that nobody could be asked is an event too."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.judge.api import Case, Level, Observation, Rule
from machineid_conformance.judge.logs import Record, names_reason, normalise, records
from machineid_conformance.judge.rules.fail_closed_evidence import delivered, not_delivered
from machineid_conformance.judge.rules.identity_declared_device import is_own
from machineid_conformance.judge.support import finding, judged, uncounted, validate_words
from machineid_conformance.judge.view import Register, Validate
from machineid_conformance.trace.events import ControlFailed, RedirectFollowed

NO_ANSWER = frozenset({"refused", "dns", "tls", "reset", "cut-off", "gave-up"})
"""How a call ends that got no HTTP answer. ``unanswered`` is none: the run ended before the target could know."""


def unanswered(case: Case) -> Validate | None:
    """The first validate of the run that got no HTTP answer, or None.

    A client that accepted a certificate that it ought to refuse did get one: the allow that waits there.
    """
    accepted = {event.connection for event in case.view.events if isinstance(event, RedirectFollowed)}
    failed = (
        call
        for call in case.view.refusals
        if call.how in NO_ANSWER and is_own(case, call.instance) and _connection(case, call) not in accepted
    )
    return min(failed, key=lambda call: call.ended or 0, default=None)


def _connection(case: Case, call: Validate) -> int | None:
    event = case.view.event(call.ended) if call.ended else None
    return event.connection if isinstance(event, ControlFailed) else None


def news(case: Case, failed: Validate) -> tuple[Record, ...]:
    """The log lines since the last answer before the failure that no fault-free run has.

    Since the last answer, not since the failure: a client may log a failure before it closes the connection, and what a
    pipe holds is read before a socket's event is stamped.
    """
    calls: tuple[Validate | Register, ...] = (*case.view.validates, *case.view.registers)
    since = max(
        (call.ended for call in calls if call.ended and call.ended < failed.asked and call.instance == failed.instance),
        default=0,
    )
    return tuple(
        line
        for line in records(case.view.outputs)
        if line.instance == failed.instance
        and line.seq > since
        and (words := normalise(line.text))
        and words not in case.baseline.outputs
    )


class FailureIsLogged(Rule):
    """Looks for one record of the first failure; what it has to say is the subclass's."""

    applies_when = "a validate without an HTTP answer was delivered (refused, DNS, reset, hang, TLS, slow body)"

    def says(self, lines: Sequence[Record]) -> bool:
        """Whether the news say enough."""
        raise NotImplementedError(self.id)

    def expected(self) -> str:
        """What was looked for."""
        raise NotImplementedError(self.id)

    def check(self, case: Case) -> Observation:
        """Uncounted without the receipt of a fault, or if every validate got an HTTP answer."""
        if not delivered(case):
            return uncounted(not_delivered(case))
        failed = unanswered(case)
        if failed is None:
            return uncounted("every validate of this run got an HTTP answer")
        lines = news(case, failed)
        if self.says(lines):
            return judged(())
        got = f"{lines[-1].stream}: {lines[-1].text[:200]}" if lines else "no line that a fault-free run does not have"
        events = (failed.ended or failed.asked, *(line.seq for line in lines[-1:] if line.seq > (failed.ended or 0)))
        words = f"{validate_words(failed)} got no answer"
        said = "its reason is not in the log" if lines else "nothing of it is in the log"
        return judged((finding(case, f"{words}: {said}", events, expected=self.expected(), got=got),))


class Failure(FailureIsLogged):
    """Any record that no fault-free run has; a traceback counts."""

    id = "logging/failure"
    level: Level = "MUST"
    statement = (
        "After a validate that got no HTTP answer (refused, DNS, reset, hang, TLS, slow body) at least one record "
        "appears that no fault-free run has; a traceback counts."
    )
    source = 'GUIDE Network failures, "Surface the failure via logs/alerts"'
    remedy = 'Log the exception where it is caught: `log.error("validate failed: %r", error)`.'

    def says(self, lines: Sequence[Record]) -> bool:
        """Anything new."""
        return bool(lines)

    def expected(self) -> str:
        """A new record."""
        return "a record that no fault-free run has"


class FailureReason(FailureIsLogged):
    """The record names why: a word of ``judge.logs.REASONS``, or the exception's name."""

    id = "logging/failure-reason"
    level: Level = "SHOULD"
    statement = (
        "The record of a validate that got no HTTP answer names the reason (a published list of words: timeout, "
        "refused, reset, TLS, the exception's name, …)."
    )
    source = 'GUIDE Logging and audit, "Reason/error"'
    remedy = 'Log the exception itself, not only that there was one: `log.error("validate failed: %r", error)`.'

    def says(self, lines: Sequence[Record]) -> bool:
        """A reason in any new record."""
        return any(names_reason(line.text) for line in lines)

    def expected(self) -> str:
        """A reason."""
        return "a record that names the reason: timeout, refused, reset, TLS, the exception's name, …"


RULES: tuple[Rule, ...] = (Failure(), FailureReason())
