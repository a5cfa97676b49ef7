"""One call without a network: what would travel over the connection, and when, on a clock of its own.

Time is virtual: a fault that waits for ten seconds moves the clock by ten seconds and waits for nothing. The client is
known by its read timeout alone: it gives up when so many seconds passed without a byte, as requests and httpx do. What was
sent, and how the connection ended, is then read by the client's own HTTP implementation (``over_httpx``,
``over_requests``), which finds in it what it would find on a socket.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Literal, TypeVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.http1 import render
from fake_control_plane.serving.rendering import marked

T = TypeVar("T")

Ending = Literal["open", "closed", "reset", "timed-out"]
"""What a client meets that reads on behind the last byte: nothing yet, FIN, RST, or its own patience's end."""


class VirtualExchange:
    """A ``faults.api.Exchange``. ``patience``: the client's read timeout in seconds, None if it has none."""

    def __init__(
        self,
        *,
        answer: Answer,
        allow: Answer,
        earlier: Sequence[Answer] = (),
        scheme: str,
        host: str,
        target: str,
        patience: float | None,
        head_only: bool = False,
    ) -> None:
        self.answer = answer
        self.allow = allow
        self.earlier = earlier
        self.scheme = scheme
        self.host = host
        self.target = target
        self.sent = b""
        self.ending: Ending = "open"
        self.patience = patience
        self._head_only = head_only
        self._now = 0.0
        self._heard_at = 0.0

    # -- what a fault does ---------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Raw bytes. Raises ClientGone."""
        if self.ending == "timed-out":
            raise ClientGone("fin")
        self._sent(data)

    async def send_answer(self, answer: Answer) -> None:
        """One whole response. A client that gave up no longer reads it: its socket takes it all the same."""
        if self.ending != "timed-out":
            self._sent(self.render(answer))

    def render(self, answer: Answer) -> bytes:
        """The bytes of one whole response."""
        return render(marked(answer), head_only=self._head_only)

    async def client_gone(self, within: float) -> str | None:
        """Let so many seconds pass; ``fin`` if the client's patience ends in them. A client that has met the end closes too."""
        if self.ending != "open":
            return "fin"
        left = None if self.patience is None else self._heard_at + self.patience - self._now
        if left is None or left > within:
            self._now += within
            return None
        self._now += max(left, 0.0)
        self.ending = "timed-out"
        return "fin"

    async def pause(self, seconds: float) -> None:
        """Let so many seconds pass. Raises ClientGone if the client's patience ends in them."""
        if await self.client_gone(seconds) is not None:
            raise ClientGone("fin")

    def elapsed(self) -> float:
        """Virtual seconds since the request was complete."""
        return self._now

    def reset(self) -> None:
        """RST."""
        self._end("reset")

    def half_close(self) -> None:
        """FIN."""
        self._end("closed")

    def close(self) -> None:
        """FIN."""
        self._end("closed")

    def _sent(self, data: bytes) -> None:
        if self.ending == "open":
            self.sent += data
            self._heard_at = self._now

    def _end(self, ending: Ending) -> None:
        if self.ending == "open":
            self.ending = ending


class Incoming:
    """The client's end of the connection: ``read`` gives what was sent, then raises or ends as the connection did."""

    def __init__(self, exchange: VirtualExchange) -> None:
        self._left = exchange.sent
        # A server closes an idle connection some day: a client without a timeout would wait for that.
        endless = exchange.ending == "open" and exchange.patience is None
        self._ending: Ending = "closed" if endless else exchange.ending

    def read(self, size: int) -> bytes:
        """At most so many bytes; nothing after FIN.

        Raises:
            ConnectionResetError: RST stands behind the last byte.
            TimeoutError: nothing more comes within the client's patience.
        """
        piece, self._left = self._left[:size], self._left[size:]
        if piece:
            return piece
        if self._ending == "reset":
            raise ConnectionResetError(104, "Connection reset by peer")
        if self._ending == "closed":
            return b""
        raise TimeoutError("timed out")


def completed(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that awaits nothing but a ``VirtualExchange``, which never suspends it: no event loop is needed.

    Raises:
        RuntimeError: it awaited something else.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise RuntimeError(
        f"{coroutine!r} waits for something beside its exchange: it cannot be delivered in process, where "
        " time is virtual; use a running server (fake-control-plane serve)"
    )
