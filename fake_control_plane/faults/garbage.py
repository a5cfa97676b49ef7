"""Bytes that are no HTTP where the status line should be (RFC 9112, 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.parameters import check_whole
from fake_control_plane.faults.receipts import cut_off, too_late
from fake_control_plane.faults.stages import Delivery

MOST = 1 << 20
"""Bytes."""


@dataclass(frozen=True, kw_only=True)
class Garbage(Delivery):
    """The same bytes each time, and not one of the first four is of ``HTTP``."""

    name = "garbage"
    summary = "bytes that are no HTTP, then a close"
    receipt = "the bytes were accepted, and the connection closed behind them"
    example = "garbage=512 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"size": f"how many bytes, a whole number from 1 to {MOST} (default 512)"}
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"size": {"minimum": 1, "maximum": MOST}}

    size: int = 512

    def __post_init__(self) -> None:
        check_whole(self, "size", least=1, most=MOST)

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the bytes were accepted."""
        try:
            await exchange.send(hashlib.shake_256(b"no HTTP").digest(self.size))
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        return cut_off(exchange, f"{self.size} bytes that are no HTTP accepted, then closed")
