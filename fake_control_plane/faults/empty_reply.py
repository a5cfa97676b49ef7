"""Closed without an answer: FIN where the status line should begin (RFC 9112, 8: an incomplete message)."""

from __future__ import annotations

from dataclasses import dataclass

from fake_control_plane.faults.api import Exchange, Receipt
from fake_control_plane.faults.receipts import cut_off, too_late
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class EmptyReply(Delivery):
    """What a server that is being restarted does to the requests that it has accepted."""

    name = "empty-reply"
    summary = "the connection is closed in good order without a byte of an answer"
    receipt = "FIN was sent to a client that was still there"
    example = "empty-reply operation=validate"

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the connection was closed before the client did."""
        how = await exchange.client_gone(0)
        if how is not None:
            return too_late(exchange, how)
        return cut_off(exchange, "closed before any byte of the answer")
