"""A chunked body that breaks the coding (RFC 9112, 7.1; 8: a body without its last chunk is incomplete)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import half
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import cut_off, too_late
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class BrokenChunks(Delivery):
    """Each holds a whole allow, or so much of one that a lenient reader could take it for the whole, and never ends as it must."""

    name = "broken-chunks"
    summary = "an allow in chunks that break the chunked coding"
    receipt = "the bytes were accepted, and the connection closed behind them"
    example = "broken-chunks=no-end operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "how": "no-end (no last chunk), bad-size (a size that is no number), or short-chunk (fewer bytes than its size)"
    }

    how: Literal["no-end", "bad-size", "short-chunk"]

    def __post_init__(self) -> None:
        check_choice(self, "how", ("no-end", "bad-size", "short-chunk"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the bytes were accepted."""
        headers = {**exchange.allow.headers, "Transfer-Encoding": "chunked"}
        head, blank, coded = exchange.render(replace(exchange.allow, headers=headers)).partition(b"\r\n\r\n")
        body = exchange.allow.payload() if coded else b""  # none in the answer to HEAD
        chunk = b"%x\r\n%b\r\n" % (len(body), body)
        damaged = {
            "no-end": chunk,
            "bad-size": chunk + b"size?\r\n",
            "short-chunk": b"%x\r\n%b" % (len(body), half(body)),
        }[self.how]
        try:
            await exchange.send(head + blank + (damaged if coded else b""))
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        return cut_off(exchange, f"a chunked body of {len(body)} bytes, broken ({self.how}), then closed")
