"""logging/*: what the log has to say of a deny. One notion of "the log of this deny", and a rule for each thing in it.

A deny's request id is made up for its answer, so a line that carries it was written after the answer was received,
whatever the order in which a pipe and a socket were read. Everything else is looked for in the *account* of the deny:
the lines from its request to the next decision on its device, and the lines around those that carry its id (output may
be buffered).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from machineid_conformance.judge.api import Case, Finding, Level, Observation, Rule
from machineid_conformance.judge.logs import Record, names_boundary, records, structured
from machineid_conformance.judge.rules.identity_declared_device import declared, is_own
from machineid_conformance.judge.support import finding, judged, uncounted, validate_words
from machineid_conformance.judge.view import Validate

CUT_SHORT = frozenset({"asked", "horizon", "run_within", "stimuli"})
"""How a run ends when the harness ends it on a decision: the last deny may have had no time to be logged."""
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def denials(case: Case) -> tuple[tuple[Validate, ...], ...]:
    """The denies that have to be logged, one group for each start of an instance.

    Left out: a deny that came when the main process had already ended; and the last of several in a run that the
    harness cut short upon it.
    """
    groups: dict[tuple[int, int], list[Validate]] = {}
    ends = {(process.instance, process.start): process.exited for process in case.view.processes}
    for deny in case.view.denies:
        exited = ends.get((deny.instance, deny.start))
        if is_own(case, deny.instance) and (exited is None or (deny.ended or 0) < exited.seq):
            groups.setdefault((deny.instance, deny.start), []).append(deny)
    cut = case.view.ended is None or case.view.ended.reason in CUT_SHORT
    for key, group in groups.items():
        exited = ends.get(key)
        if len(group) > 1 and cut and (exited is None or exited.by == "harness"):
            group.pop()
    return tuple(tuple(group) for group in groups.values())


def account(case: Case, deny: Validate, lines: Sequence[Record]) -> tuple[Record, ...]:
    """The log lines that speak of this deny."""
    own = [line for line in lines if line.instance == deny.instance and line.seq > deny.asked]
    others = {call.request_id for call in case.view.validates if call.request_id and call.request_id != deny.request_id}
    until = _next_decision(case, deny)
    chosen = {line.seq for line in own if line.seq < until}
    for stream in {line.stream for line in own}:
        block: list[Record] = []  # lines between two that carry the id of another decision
        for line in [*(line for line in own if line.stream == stream), None]:
            if line is not None and not any(other in line.text for other in others):
                block.append(line)
                continue
            if any(deny.request_id and deny.request_id in each.text for each in block):
                chosen |= {each.seq for each in block}
            block = []
    return tuple(line for line in own if line.seq in chosen)


def _next_decision(case: Case, deny: Validate) -> int:
    """Where the next decision on the same device came; with N > 1 they overlap, and any later line may speak of one."""
    end = case.view.events[-1].seq + 1
    if case.target.concurrency > 1:
        return end
    later = (
        call.ended
        for call in case.view.validates
        if call.ended and call.asked > deny.asked and call.instance == deny.instance and call.device == deny.device
    )
    return min(later, default=end)


class DenyIsLogged(Rule):
    """Each deny is logged with what the rule asks for; at N > 1 one of the denies of each start."""

    applies_when = "a deny was delivered"

    def missing(self, case: Case, deny: Validate, lines: Sequence[Record]) -> str | None:
        """What the account of this deny lacks, in words, or None."""
        raise NotImplementedError(self.id)

    def expected(self, case: Case, deny: Validate) -> str:
        """What was looked for."""
        raise NotImplementedError(self.id)

    def check(self, case: Case) -> Observation:
        """Uncounted in a run without a deny that the target could log."""
        groups = denials(case)
        if not groups:
            return uncounted("no deny was delivered in this run")
        lines = records(case.view.outputs)
        findings: list[Finding] = []
        for group in groups:
            lacking = [(deny, words) for deny in group if (words := self.missing(case, deny, lines)) is not None]
            if case.target.concurrency > 1 and len(lacking) < len(group):
                continue
            for deny, words in lacking[:1] if case.target.concurrency > 1 else lacking:
                findings.append(self._finding(case, deny, words, account(case, deny, lines)))
        return judged(findings)

    def _finding(self, case: Case, deny: Validate, words: str, said: Sequence[Record]) -> Finding:
        return finding(
            case,
            f"{validate_words(deny)}: {words}",
            (deny.ended or deny.asked, *((said[-1].seq,) if said and said[-1].seq > (deny.ended or 0) else ())),
            expected=self.expected(case, deny),
            got=f"{said[-1].stream}: {said[-1].text[:200]}" if said else "nothing was logged",
        )


class RequestId(DenyIsLogged):
    """The id of this very decision: not an earlier one's, not a made-up one."""

    id = "logging/request-id"
    level: Level = "MUST"
    statement = (
        "Each deny is logged with its own `request_id`, verbatim, after it was received. At N > 1: one of the denies "
        "answered before the target ends."
    )
    source = 'PYTHON "Log code + request_id for auditability"; CREWAI Troubleshooting'
    remedy = 'Log what the answer says: `log.error("denied", extra={"request_id": decision["request_id"]})`.'

    def missing(self, case: Case, deny: Validate, lines: Sequence[Record]) -> str | None:
        """Its own id in any line of its instance after its request."""
        own = [line for line in lines if line.instance == deny.instance and line.seq > deny.asked]
        if any(deny.request_id and deny.request_id in line.text for line in own):
            return None
        said = account(case, deny, lines)
        earlier = {call.request_id for call in case.view.validates if call.request_id and call.asked < deny.asked}
        if _any_of(earlier, said):
            return "the log names the request_id of an earlier decision (stale)"
        if any(_UUID.search(line.text) for line in said):
            return "the log names another id, not the decision's request_id"
        return "its request_id is not in the log"

    def expected(self, case: Case, deny: Validate) -> str:
        """The id."""
        del case
        return f"a line with {deny.request_id}"


class Code(DenyIsLogged):
    """The stable code of the decision."""

    id = "logging/code"
    level: Level = "MUST"
    statement = "Each deny is logged with its `code`."
    source = 'PYTHON "Log code + request_id for auditability"'
    remedy = 'Log the code beside the request id: `decision["code"]`, not words of your own.'

    def missing(self, case: Case, deny: Validate, lines: Sequence[Record]) -> str | None:
        """The code in the account of the deny."""
        if not deny.code or _any_of({deny.code}, account(case, deny, lines)):
            return None
        return "its code is not in the log"

    def expected(self, case: Case, deny: Validate) -> str:
        """The code."""
        del case
        return f"a line with {deny.code}"


class DeviceId(DenyIsLogged):
    """Whose permission was refused. The official templates do not log it, hence SHOULD."""

    id = "logging/device-id"
    level: Level = "SHOULD"
    statement = "Each deny is logged with the device id."
    source = 'GUIDE Logging and audit, "At minimum, log: Device ID"'
    remedy = "Add the device id to the record of the deny, or to every record of the process."

    def missing(self, case: Case, deny: Validate, lines: Sequence[Record]) -> str | None:
        """The device in the account of the deny."""
        if not deny.device or _any_of({deny.device}, account(case, deny, lines)):
            return None
        return "the device id is not in the log"

    def expected(self, case: Case, deny: Validate) -> str:
        """The device."""
        del case
        return f"a line with {deny.device}"


class BoundaryKind(DenyIsLogged):
    """Where permission was refused."""

    id = "logging/boundary"
    level: Level = "SHOULD"
    statement = "Each deny is logged with the boundary's kind (startup, task, side-effect, tool-call, …)."
    source = 'GUIDE Logging and audit, "Boundary type (startup / task / side-effect)"'
    remedy = 'Pass the kind to the gate and log it: `gate(boundary="side-effect")`.'

    def missing(self, case: Case, deny: Validate, lines: Sequence[Record]) -> str | None:
        """A word of ``judge.logs.BOUNDARIES`` in the account of the deny."""
        devices = {*declared(case), *((deny.device,) if deny.device else ())}
        if any(names_boundary(line.text, devices=devices) for line in account(case, deny, lines)):
            return None
        return "the boundary's kind is not in the log"

    def expected(self, case: Case, deny: Validate) -> str:
        """Words."""
        del case, deny
        return "a line that names the boundary: startup, task, side-effect, tool-call, llm-call, handoff, loop, …"


class Structured(DenyIsLogged):
    """One record that a machine can read. If the id is nowhere, it may name the code: the id has its own rule."""

    id = "logging/structured"
    level: Level = "SHOULD"
    statement = "Each deny is logged as one structured record (JSON or logfmt)."
    source = 'GUIDE Logging and audit, "Keep logs structured"'
    remedy = 'Print one JSON object a line: `print(json.dumps({"event": "denied", "request_id": …, "code": …}))`.'

    def missing(self, case: Case, deny: Validate, lines: Sequence[Record]) -> str | None:
        """A field with the id in one line of the account."""
        said = account(case, deny, lines)
        known = deny.request_id if deny.request_id and _any_of({deny.request_id}, said) else deny.code
        fields = [structured(line.text) or () for line in said]
        if any(value == known for pairs in fields for _key, value in pairs):
            return None
        return "it is not logged as one structured record"

    def expected(self, case: Case, deny: Validate) -> str:
        """The form."""
        del case
        return f"one line of JSON or logfmt with a field that is {deny.request_id}"


def _any_of(words: Iterable[str], lines: Iterable[Record]) -> bool:
    wanted = tuple(words)
    return any(word in line.text for line in lines for word in wanted)


RULES: tuple[Rule, ...] = (RequestId(), Code(), DeviceId(), BoundaryKind(), Structured())
