"""An allow that is cut short. requirements.md: ``fail-closed/truncated``.

``length``: fewer bytes than Content-Length, then FIN: an incomplete message (RFC 9112, 8). ``json``: a whole message,
whose JSON ends in the middle (RFC 8259, 2). Either holds ``"allowed": true``: a lenient reader could take it for an
allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import half, head_and_body
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import cut_off, send_whole, too_late
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class Truncated(Delivery):
    """The first half of an allow's body."""

    name = "truncated"
    summary = "an allow that is cut short, by HTTP's or by JSON's measure"
    receipt = "the bytes were accepted; length: and the connection closed behind them"
    example = "truncated=length operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "how": "length (fewer bytes than Content-Length) or json (whole HTTP, half the JSON)"
    }

    how: Literal["length", "json"]

    def __post_init__(self) -> None:
        check_choice(self, "how", ("length", "json"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when what there is of the answer was accepted."""
        if self.how == "json":
            return await send_whole(exchange, replace(exchange.allow, body=None, raw=half(exchange.allow.payload())))
        head, body = head_and_body(exchange)
        try:
            await exchange.send(head + half(body))
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        return cut_off(exchange, f"closed after {len(half(body))} of {len(body)} body bytes")
