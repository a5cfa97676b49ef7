"""The truth, late. requirements.md, How runs are judged: below the client's deadline work goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fake_control_plane.faults.api import AnswerFault, ClientGone, Exchange, Receipt
from fake_control_plane.faults.parameters import check_seconds
from fake_control_plane.faults.receipts import gave_up, send_whole


@dataclass(frozen=True, kw_only=True)
class Latency(AnswerFault):
    """The control plane's own answer, so many target seconds after the request was read."""

    name = "latency"
    summary = "the true answer, late"
    parameters: ClassVar[Mapping[str, str]] = {"seconds": "target seconds above 0"}

    seconds: float

    def __post_init__(self) -> None:
        check_seconds(self, "seconds")

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the late answer was accepted, or the client would not wait for it."""
        try:
            await exchange.pause(self.seconds)
        except ClientGone as gone:
            return gave_up(exchange, gone.how, during="waiting for the late answer")
        return await send_whole(exchange, exchange.answer)
