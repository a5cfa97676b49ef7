"""One request on a ``Wire`` whose answer is owed, as the faults see it (``faults.api.Exchange``): real time, real bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import ClientGone, Receipt
from fake_control_plane.http1 import render
from fake_control_plane.wire import Wire


class WireExchange:
    """``answer``, ``allow``, ``earlier``, ``scheme``, ``host``, ``target``: as in ``Exchange``.

    ``began``: when the request was complete, on ``clock`` (seconds). ``close``: the answer says that the connection ends with it.
    ``head_only``: the request was HEAD. A kind of exchange whose seconds are not real ones has its own ``clock`` and overrides
    ``client_gone``.
    """

    def __init__(
        self,
        wire: Wire,
        *,
        answer: Answer,
        allow: Answer,
        earlier: Sequence[Answer],
        scheme: str,
        host: str,
        target: str,
        began: float,
        close: bool,
        head_only: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.answer = answer
        self.allow = allow
        self.earlier = earlier
        self.scheme = scheme
        self.host = host
        self.target = target
        self.ended: Literal["fin", "reset"] | None = None
        """How the fault closed the connection, if it did."""
        self._wire = wire
        self._clock = clock
        self._began = began
        self._close = close
        self._head_only = head_only
        self._seen_gone = False  # a fault that has seen the client go may send to its half-closed socket all the same

    async def send(self, data: bytes) -> None:
        """Raw bytes."""
        await self._wire.send(data)

    async def send_answer(self, answer: Answer) -> None:
        """One whole response."""
        await self._wire.send(self.render(answer), half_closed=self._seen_gone)

    def render(self, answer: Answer) -> bytes:
        """The bytes of one whole response."""
        return render(answer, close=self._close, head_only=self._head_only)

    async def client_gone(self, within: float) -> str | None:
        """``fin``, ``reset`` or ``tls-alert``; None when ``within`` seconds passed first."""
        how = await self._wire.client_gone(within)
        self._seen_gone = how is not None
        return how

    async def pause(self, seconds: float) -> None:
        """Let seconds pass; ClientGone as soon as the client closes."""
        how = await self.client_gone(seconds)
        if how is not None:
            raise ClientGone(self._wire.ending or "reset")

    def elapsed(self) -> float:
        """Seconds since the request was complete."""
        return self._clock() - self._began

    def reset(self) -> None:
        """RST."""
        self.ended = "reset"
        self._wire.reset()

    def half_close(self) -> None:
        """FIN; reading goes on."""
        self.ended = "fin"
        self._wire.half_close()

    def close(self) -> None:
        """FIN; whoever owns the wire gives the socket back when the client has closed too."""
        self.half_close()

    async def answer_plainly(self) -> Receipt:
        """The truth, without a fault."""
        try:
            await self.send_answer(self.answer)
        except ClientGone as gone:
            return self.gave_up(gone)
        return Receipt(
            delivered=True,
            evidence="the last byte of the answer was handed to the socket",
            ending="answered",
            answer=self.answer,
            waited=self.elapsed(),
        )

    def gave_up(self, gone: ClientGone) -> Receipt:
        """The client left before the answer, or before the fault could show."""
        return Receipt(
            delivered=False, evidence=f"the client closed first ({gone.how})", ending="gave-up", waited=self.elapsed()
        )
