"""What a fault is: something that happens instead of the control plane's answer, and the receipt that it happened.

A fault acts at one of two levels. A *listener* fault needs no request: the connect is refused, the name does not resolve,
the handshake fails; whoever owns the listener delivers it. An *answer* fault is delivered on one exchange, whose request
has been read, at one of the three stages of ``faults.stages``. Either ends in a receipt; without one nobody may believe
that the target saw the fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self

from fake_control_plane.answers import Answer

Ending = Literal["answered", "reset", "cut-off", "gave-up"]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """How an exchange under a fault ended. ``delivered`` is False when the client was gone before the fault could show.

    ``answer`` is what the client got as one whole HTTP response (status and body as sent), or None. ``ending`` is
    ``answered`` only then: ``reset`` and ``cut-off`` are ours, ``gave-up`` is the client's. ``waited`` is in target seconds,
    from the complete request to the ending; ``silent`` likewise, from the last byte of a body that had begun to drip. ``by``:
    who did it, this package or a proxy in front of it.
    """

    delivered: bool
    evidence: str
    ending: Ending
    answer: Answer | None = None
    waited: float = 0.0
    silent: float | None = None
    by: Literal["built-in", "toxiproxy"] = "built-in"


class ClientGone(Exception):  # noqa: N818  (not an error of anybody: clients go)
    """The client closed or reset the connection first. ``how`` is ``fin``, ``reset`` or ``tls-alert``."""

    def __init__(self, how: Literal["fin", "reset", "tls-alert"]) -> None:
        super().__init__(how)
        self.how = how


class Exchange(Protocol):
    """One request of a client, read to its end, whose answer is still owed."""

    answer: Answer
    """What the control plane answers if nothing goes wrong: the truth."""
    allow: Answer
    """What an allow for this device looks like, whatever the truth is: for faults that dangle one."""
    earlier: Sequence[Answer]
    """The truths that calls of this operation and device got before, oldest first: at least the last
    ``AnswerFault.earlier_answers`` of them, as far as there were so many."""
    scheme: str
    """``https`` or ``http``: what the client spoke."""
    host: str
    """The authority that the client addressed, as its Host field says it: with the port where one was written."""
    target: str
    """The request's target in origin form: path and query, as sent."""

    async def send(self, data: bytes) -> None:
        """Raw bytes, through TLS if there is any. Raises ClientGone."""

    async def send_answer(self, answer: Answer) -> None:
        """One whole, well-formed response. Raises ClientGone."""

    def render(self, answer: Answer) -> bytes:
        """The bytes that ``send_answer`` would send: head, blank line, body."""

    async def client_gone(self, within: float) -> str | None:
        """Wait until the client closes: ``fin``, ``reset`` or ``tls-alert``; None when ``within`` target seconds passed first."""

    async def pause(self, seconds: float) -> None:
        """Let target seconds pass. Raises ClientGone as soon as the client closes."""

    def elapsed(self) -> float:
        """Target seconds since the request was complete."""

    def reset(self) -> None:
        """Close with RST."""

    def half_close(self) -> None:
        """Send FIN (and close_notify before it) and go on reading."""

    def close(self) -> None:
        """Close in good order, whatever was promised."""


class Fault:
    """A fault with its parameters. Subclass ``AnswerFault`` or ``ListenerFault`` in a file of its own."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """What the client sees, in a few words."""
    receipt: ClassVar[str]
    """How it is known that the client saw it, in a few words."""
    example: ClassVar[str]
    """A fault rule of one line (``fault_rules.text``)."""
    parameters: ClassVar[Mapping[str, str]] = {}
    """Each parameter and what it may be, in words; ``faults.make`` refuses others by naming these. The first is the one that
    the one-line form writes behind the fault's name."""
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """What JSON Schema says of a parameter beyond its type: ``{"minimum": 100}``."""

    @property
    def lasts(self) -> float:
        """Target seconds for which it can leave one client waiting for something that never comes, or comes late."""
        return 0.0

    def at(self, n: int) -> Self:
        """This fault as it strikes for the ``n``-th time, counted from 1: most are the same each time."""
        del n
        return self


class AnswerFault(Fault):
    @property
    def earlier_answers(self) -> int:
        """How many of the device's earlier answers it must be given (``Exchange.earlier``)."""
        return 0

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Do the damage on this exchange and say how it went. ClientGone may be let through: it means not delivered."""
        del exchange
        raise LookupError(self.name)


class ListenerFault(Fault):
    """``layer``: ``tcp`` (the connect is refused), ``dns`` (the name does not resolve), ``tls`` (``certificate`` names which
    one is shown, ``cut`` for a handshake cut after the ClientHello, ``none`` for one that never goes on after it).
    """

    layer: ClassVar[Literal["tcp", "dns", "tls"]]

    @property
    def certificate(self) -> Literal["untrusted", "expired", "wrong-name", "cut", "none"] | None:
        """None at the layers below TLS. A property, so that ``describe`` shows parameters only."""
        return None


def describe(fault: Fault) -> dict[str, Any]:
    """The fault as JSON: its name and the parameters that it was made with."""
    return {"name": fault.name, **vars(fault)}
