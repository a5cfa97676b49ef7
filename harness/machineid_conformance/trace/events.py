"""What can be written in a trace: one frozen event for each thing that happened, in the order in which it happened.

One writer gives the sequence numbers; nothing in this module reads a clock, a socket or a file. An event says what was
*seen*; what it means (permit, unit of work, violation) is for the checkers. Names and fields are the schema of
``reports/schema/trace.schema.json``.

Positions. A checker orders events by ``began``: the sequence number of the event at which the thing began, which is the
event's own unless ``since`` points back (a TCP connection is an effect from its connect on, but is known to be no HTTP
only when its first bytes come).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

Decision = Literal["allow", "deny", "failure"]
"""requirements.md, Words: an allow is a 2xx JSON object whose ``allowed`` is the JSON value true, a deny one whose
``allowed`` is false; anything else, and no answer, is a failure."""

Role = Literal["side-effect", "read", "task-source", "llm-call", "tool-call", "handoff", "log", "release", "ignore"]
Operation = Literal[
    "register", "validate", "list", "usage", "revoke", "unrevoke", "remove", "org-create", "billing", "unknown"
]
Key = Literal["current", "old", "other", "missing"]
By = Literal["target", "harness"]
Deliverer = Literal["built-in", "toxiproxy"]

REGISTRY: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of a trace. ``seq`` counts from 1 without a gap; ``at`` is in target seconds since the run began."""

    name: ClassVar[str]
    own_fields: ClassVar[
        tuple[str, ...]
    ]  # beside those of every event; kept, because every event that is written asks for them

    seq: int = 0
    at: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """The line as a JSON object: ``seq``, ``at``, ``event`` and the event's own fields."""
        line: dict[str, Any] = {"seq": self.seq, "at": self.at, "event": self.name}
        for field in self.own_fields:
            line[field] = getattr(self, field)
        return line


def event(name: str) -> Any:
    """Register an event class under the name it has on disk."""

    def register(cls: type[Event]) -> type[Event]:
        cls.name = name
        cls.own_fields = tuple(field.name for field in dataclasses.fields(cls) if field.name not in {"seq", "at"})
        REGISTRY[name] = cls
        return cls

    return register


# -- the run -----------------------------------------------------------------------------------------------------------


@event("run-started")
@dataclass(frozen=True, kw_only=True, slots=True)
class RunStarted(Event):
    """The first line of every trace: which case this is."""

    name: ClassVar[str]
    run: str  # the run's id, stable from one session to the next: "worker/revoke-at-boundary/validate-3/…"
    target: str
    scenario: str
    rules: tuple[str, ...]  # the rules that the scenario names
    subject: str | None = None  # what the run is pinned to: "validate" | "effect" | "start" | …
    n: int | None = None  # … and to which one
    variant: str | None = None
    baseline: bool = False
    isolation: str = "namespace"
    speed: float = 1.0
    environment: dict[str, str] = dataclasses.field(default_factory=dict)  # a declared `variants` or `bypass_env` entry


@event("run-ended")
@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnded(Event):
    """The last line. ``reason``: ``gone`` (all processes ended by themselves), ``horizon`` (watched long enough, then
    revoked), ``idle`` (no work and no validate for ``idle_after``), ``asked`` (asked again ``horizon`` times after a refusal),
    ``watched`` (the scenario's window is over), ``run_within``, ``start_within`` (the limit was reached), ``stimuli`` (all
    were answered), ``voided``.
    """

    name: ClassVar[str]
    reason: str
    files_written: tuple[str, ...] = ()  # relative to the working folder; what the overlay's upper layer holds


# -- processes ---------------------------------------------------------------------------------------------------------


@event("spawned")
@dataclass(frozen=True, kw_only=True, slots=True)
class Spawned(Event):
    """``instance`` counts from 1 over the live processes of the run, ``start`` from 1 over the starts of one instance."""

    name: ClassVar[str]
    instance: int
    start: int
    command: tuple[str, ...]
    device: str | None = None


@event("output")
@dataclass(frozen=True, kw_only=True, slots=True)
class Output(Event):
    """One line of output without its line end. ``stream``: ``stdout``, ``stderr``, ``file:PATH`` for a declared log
    file, ``effect:N`` for the body of a ``log`` effect. Secrets are already replaced by ``trace.redact.MARKS``.
    """

    name: ClassVar[str]
    instance: int
    start: int
    stream: str
    text: str
    continues: bool = False  # the line was longer than the limit, and goes on in the next event of this stream


@event("exited")
@dataclass(frozen=True, kw_only=True, slots=True)
class Exited(Event):
    """The main process ended. ``code`` or ``signal`` is set; ``by`` is ``harness`` if it was made to."""

    name: ClassVar[str]
    instance: int
    start: int
    code: int | None
    signal: str | None
    by: By
    left: tuple[str, ...] = ()  # command lines of descendants that outlived it


@event("gone")
@dataclass(frozen=True, kw_only=True, slots=True)
class Gone(Event):
    """Nothing of this start is left. ``by`` is ``harness`` if descendants had to be killed; ``killed`` names them."""

    name: ClassVar[str]
    instance: int
    start: int
    by: By
    killed: tuple[str, ...] = ()


@event("signalled")
@dataclass(frozen=True, kw_only=True, slots=True)
class Signalled(Event):
    """The harness sent a signal. ``why``: ``scenario`` or how the run was ended."""

    name: ClassVar[str]
    instance: int
    signal: str
    why: str


# -- connections -------------------------------------------------------------------------------------------------------


@event("connection-opened")
@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOpened(Event):
    name: ClassVar[str]
    connection: int
    instance: int
    host: str  # the name that was looked up, or the address
    port: int


@event("connection-closed")
@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionClosed(Event):
    name: ClassVar[str]
    connection: int
    by: By
    how: Literal["fin", "reset", "tls-alert"]


@event("datagram")
@dataclass(frozen=True, kw_only=True, slots=True)
class Datagram(Event):
    """A UDP datagram other than DNS: recorded, never answered, and no effect."""

    name: ClassVar[str]
    instance: int
    host: str
    port: int
    size: int


# -- the control plane -------------------------------------------------------------------------------------------------


@event("control-request")
@dataclass(frozen=True, kw_only=True, slots=True)
class ControlRequest(Event):
    """A complete request to the control plane arrived."""

    name: ClassVar[str]
    call: int  # counts from 1 over all control-plane requests of the run
    connection: int
    instance: int
    operation: Operation
    n: int  # counts from 1 over the requests of this operation
    method: str
    path: str  # secrets in it are redacted
    device: str | None
    key: Key
    secrets: tuple[str, ...] = ()  # where a secret stood that must not: "device", "url"
    retry: bool = (
        False  # a transport retry: same operation and device, the one before got no answer, same connection pool
    )


@event("control-answered")
@dataclass(frozen=True, kw_only=True, slots=True)
class ControlAnswered(Event):
    """The last byte of an answer was handed to the socket. ``decision`` is set for validate only."""

    name: ClassVar[str]
    call: int
    operation: Operation
    device: str | None
    status: int
    decision: Decision | None = None
    code: str | None = None
    request_id: str | None = None


@event("control-failed")
@dataclass(frozen=True, kw_only=True, slots=True)
class ControlFailed(Event):
    """A control-plane call that got no whole answer. ``call`` and ``device`` are None when it failed before a request
    arrived (refused, DNS, TLS): such a failure is a refusal to every device of its instance. ``how``: ``refused``, ``dns``, ``tls``,
    ``reset``, ``cut-off`` (by the harness), ``gave-up`` (the client closed first), ``unanswered`` (the run ended first).
    """

    name: ClassVar[str]
    call: int | None
    connection: int | None
    instance: int
    operation: Operation
    device: str | None
    how: str
    waited: float | None = None  # target seconds from the request, or from the accept or ClientHello, to the failure
    silent: float | None = None  # likewise, from the last byte of a body that had begun to drip


@event("fault-delivered")
@dataclass(frozen=True, kw_only=True, slots=True)
class FaultDelivered(Event):
    """A receipt: the fault reached the target. ``evidence`` says how that is known (RFC words: RST sent, alert received), ``by`` who
    delivered it: the fake control plane itself, or Toxiproxy (``--faults toxiproxy``).
    """

    name: ClassVar[str]
    fault: str
    variant: str | None
    call: int | None
    connection: int | None
    operation: Operation
    device: str | None
    evidence: str
    by: Deliverer = "built-in"


@event("redirect-followed")
@dataclass(frozen=True, kw_only=True, slots=True)
class RedirectFollowed(Event):
    """The client followed a redirect of the fault to where an allow waits. Neither a call nor an effect; the allow is no permit.
    ``secrets``: the org key went along, and where it stood.
    """

    name: ClassVar[str]
    connection: int
    instance: int
    method: str
    host: str
    secrets: tuple[str, ...] = ()


@event("fault-withheld")
@dataclass(frozen=True, kw_only=True, slots=True)
class FaultWithheld(Event):
    """A fault was due and could not be delivered; why."""

    name: ClassVar[str]
    fault: str
    variant: str | None
    why: str


@event("fault-armed")
@dataclass(frozen=True, kw_only=True, slots=True)
class FaultArmed(Event):
    name: ClassVar[str]
    fault: str
    variant: str | None


@event("fault-cleared")
@dataclass(frozen=True, kw_only=True, slots=True)
class FaultCleared(Event):
    name: ClassVar[str]
    fault: str
    variant: str | None


@event("operator")
@dataclass(frozen=True, kw_only=True, slots=True)
class Operator(Event):
    """The scenario changed the control plane. ``action``: revoke restore remove disable enable rotate plan cap.
    ``why`` is ``scenario``, or ``horizon`` / ``setup`` when the harness did it for its own ends.
    """

    name: ClassVar[str]
    action: str
    device: str | None = None
    argument: str | None = None
    why: Literal["scenario", "horizon", "setup"] = "scenario"
    held: int | None = None  # the effect that was in flight, its answer held back until the change was made


# -- effects -----------------------------------------------------------------------------------------------------------


@event("request-head")
@dataclass(frozen=True, kw_only=True, slots=True)
class RequestHead(Event):
    """A request head to a host that is not the control plane, whose role only its body can tell."""

    name: ClassVar[str]
    connection: int
    instance: int
    method: str
    host: str
    path: str


@event("effect-started")
@dataclass(frozen=True, kw_only=True, slots=True)
class EffectStarted(Event):
    name: ClassVar[str]
    effect: int  # counts from 1
    instance: int
    role: Role
    label: str  # the rule's label, or "POST api.example/charge"
    transport: Literal["http", "tcp", "smtp", "file", "output"]
    device: str  # whose permit covers it
    method: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None  # HTTP path with query, or the file's
    connection: int | None = None
    rule: int | None = None  # index of the configuration's effect rule that matched
    group: str | None = None
    joins: int | None = None  # an earlier effect of the same group that this request is part of
    since: int | None = None
    secrets: tuple[str, ...] = ()  # where the org key stood: "header x-org-key", "url", "body"

    @property
    def began(self) -> int:
        """The sequence number that places this effect among the others."""
        return self.since if self.since is not None else self.seq

    @property
    def silent(self) -> bool:
        """Whether nobody waits for its answer: nothing of it goes through the gateway."""
        return self.transport in {"file", "output"}


@event("effect-answered")
@dataclass(frozen=True, kw_only=True, slots=True)
class EffectAnswered(Event):
    """``holds_unit``: a task source's answer that held something (2xx, and not empty, null, [] or {})."""

    name: ClassVar[str]
    effect: int
    status: int | None
    holds_unit: bool = False


@event("effect-aborted")
@dataclass(frozen=True, kw_only=True, slots=True)
class EffectAborted(Event):
    name: ClassVar[str]
    effect: int
    by: By


# -- stimuli -----------------------------------------------------------------------------------------------------------


@event("stimulus-sent")
@dataclass(frozen=True, kw_only=True, slots=True)
class StimulusSent(Event):
    name: ClassVar[str]
    stimulus: int
    instance: int
    method: str
    path: str


@event("stimulus-answered")
@dataclass(frozen=True, kw_only=True, slots=True)
class StimulusAnswered(Event):
    """``status`` is None when the connection failed or was closed; ``error`` says how."""

    name: ClassVar[str]
    stimulus: int
    status: int | None
    error: str | None = None


# -- what the harness noticed --------------------------------------------------------------------------------------------


@event("diagnosed")
@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosed(Event):
    """``problem``: ``ca-rejected``, ``http2-only``, ``not-isolated``, ``bad-http``, ``void`` …; ``detail`` in words, with the remedy."""

    name: ClassVar[str]
    problem: str
    detail: str


@event("watched")
@dataclass(frozen=True, kw_only=True, slots=True)
class Watched(Event):
    """The harness watched an outage or an idle target for so long; ``until`` says what ended it."""

    name: ClassVar[str]
    what: str
    seconds: float
    until: str


def from_json(line: dict[str, Any]) -> Event:
    """The event of one line.

    Raises:
        ValueError: the event's name is unknown, or its fields are not those of that event.
    """
    fields = dict(line)
    try:
        kind = REGISTRY[fields.pop("event")]
    except KeyError as error:
        raise ValueError(
            f"trace line {line.get('seq', '?')}: unknown event {error}; expected one of {', '.join(sorted(REGISTRY))}"
        ) from None
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = tuple(value)
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"trace line {line.get('seq', '?')} ({kind.name}): {error}") from None
