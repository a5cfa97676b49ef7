"""An allow that is sent after the client gave up on it. requirements.md: ``fail-closed/late-allow``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.receipts import gave_up, send_whole
from fake_control_plane.faults.stages import Delivery

PATIENCE = 60.0
"""Target seconds in which a client must have given up (requirements.md, ``fail-closed/hang``)."""


@dataclass(frozen=True, kw_only=True)
class LateAllow(Delivery):
    """Silence until the client is gone, then an allow all the same.

    A client that is still there after ``PATIENCE`` gets the allow too. To it the allow is none that came too late, so
    that is no delivery: the receipt says ``answered``, and not delivered.
    """

    name = "late-allow"
    summary = "an allow is sent after the client gave up on it"
    receipt = "the client closed while it waited; a client that waits on for 60 s has not seen it"
    example = "late-allow operation=validate"

    @property
    def lasts(self) -> float:
        """Until a client that does not give up is answered."""
        return PATIENCE

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the client gave up first."""
        how = await exchange.client_gone(PATIENCE)
        if how is None:
            receipt = await send_whole(exchange, exchange.allow)
            evidence = f"not delivered as late: the client still waited after {PATIENCE:g} s; {receipt.evidence}"
            return replace(receipt, delivered=False, evidence=evidence)
        receipt = gave_up(exchange, how, during="waiting for the first byte")
        try:
            await exchange.send_answer(exchange.allow)
        except ClientGone:
            sent = "the allow sent then was refused by the closed connection"
        else:
            sent = "the allow sent then was accepted by the socket"
        exchange.close()
        return replace(receipt, evidence=f"{receipt.evidence}; {sent}")
