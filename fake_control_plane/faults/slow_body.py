"""An allow that drips, and falls silent before its last byte. requirements.md: ``fail-closed/slow-body``.

A timeout for each read never fires on it; only a deadline for the whole call does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import head_and_body
from fake_control_plane.faults.parameters import SECONDS, check_seconds
from fake_control_plane.faults.receipts import cut_off, gave_up, too_late
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class SlowBody(Delivery):
    """The head at once, then one body byte each ``interval``; the last byte never comes."""

    name = "slow-body"
    summary = "an allow drips byte by byte and never ends"
    receipt = "the head was accepted; how the client gave up, or that it never did, is told"
    example = "slow-body=0.5 total=10 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "interval": "target seconds above 0 before each body byte (default 0.5)",
        "total": "target seconds above 0 until it is cut off (default 30)",
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"interval": SECONDS, "total": SECONDS}

    interval: float = 0.5
    total: float = 30.0

    def __post_init__(self) -> None:
        check_seconds(self, "interval")
        check_seconds(self, "total")

    @property
    def lasts(self) -> float:
        """Until it is cut off."""
        return self.total

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered once the head is out; ``waited`` tells when the client gave up, or that it never did."""
        head, body = head_and_body(exchange)
        deadline = exchange.elapsed() + self.total
        try:
            await exchange.send(head)
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        sent, last = 0, exchange.elapsed()
        try:
            while sent < len(body) - 1 and exchange.elapsed() + self.interval < deadline:
                await exchange.pause(self.interval)
                await exchange.send(body[sent : sent + 1])
                sent, last = sent + 1, exchange.elapsed()
            how = await exchange.client_gone(max(0.0, deadline - exchange.elapsed()))
        except ClientGone as gone:
            how = gone.how
        dripped = f"{sent} of {len(body)} body bytes sent"
        if how is not None:
            receipt = gave_up(exchange, how, during=dripped)
        else:
            receipt = cut_off(exchange, f"{dripped}, cut off {exchange.elapsed():.3f} s after the request")
        return replace(receipt, silent=receipt.waited - last)
