"""Accepted, never answered. requirements.md: ``fail-closed/hang`` (the client gives up within 60 s of target time)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fake_control_plane.faults.api import Exchange, Receipt
from fake_control_plane.faults.parameters import SECONDS, check_seconds
from fake_control_plane.faults.receipts import cut_off, gave_up
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class Hang(Delivery):
    """Not a byte, until the client gives up or the connection is cut off."""

    name = "hang"
    summary = "the request is accepted and never answered"
    receipt = "the client closed while it waited, or it was cut off"
    example = "hang=30 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"seconds": "target seconds above 0 until it is cut off (default 60)"}
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"seconds": SECONDS}

    seconds: float = 60.0

    def __post_init__(self) -> None:
        check_seconds(self, "seconds")

    @property
    def lasts(self) -> float:
        """Until it is cut off."""
        return self.seconds

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the client gave up, and when it was cut off: it has waited for as long as it was let."""
        how = await exchange.client_gone(self.seconds)
        if how is not None:
            return gave_up(exchange, how, during="waiting for the first byte")
        return cut_off(exchange, f"no byte sent, cut off {exchange.elapsed():.3f} s after the request")
