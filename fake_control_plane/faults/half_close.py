"""One direction closed: our FIN instead of the answer, or of its second half, while we go on reading (RFC 9293, 3.6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import half, head_and_body
from fake_control_plane.faults.parameters import SECONDS, check_choice, check_seconds
from fake_control_plane.faults.receipts import cut_off, too_late
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class HalfClose(Delivery):
    """To the client the connection can still be written to: only reading tells it that no answer will come."""

    name = "half-close"
    summary = "FIN before, or in the middle of, the answer, and what the client sends is still read"
    receipt = "FIN was sent to a client that was still there; when it closed too, or that it never did, is told"
    example = "half-close=before operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "when": "before or middle (of the answer)",
        "seconds": "target seconds above 0 until the other direction is closed too (default 60)",
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"seconds": SECONDS}

    when: Literal["before", "middle"]
    seconds: float = 60.0

    def __post_init__(self) -> None:
        check_choice(self, "when", ("before", "middle"))
        check_seconds(self, "seconds")

    @property
    def lasts(self) -> float:
        """Until the other direction is closed too."""
        return self.seconds

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered once the FIN is out."""
        sent = "FIN sent before any byte of the answer"
        try:
            if self.when == "middle":
                head, body = head_and_body(exchange)
                await exchange.send(head + half(body))
                sent = f"FIN sent after {len(half(body))} of {len(body)} body bytes"
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        how = await exchange.client_gone(0)
        if how is not None:
            return too_late(exchange, how)
        exchange.half_close()
        how = await exchange.client_gone(self.seconds)
        then = "it had not closed" if how is None else f"it closed ({how})"
        return cut_off(exchange, f"{sent}; {exchange.elapsed():.3f} s after the request {then}")
