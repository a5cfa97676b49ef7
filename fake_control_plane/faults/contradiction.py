"""An error whose body is an allow. requirements.md: ``fail-closed/contradiction``. RFC 9110, 15.5 and 15.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, Exchange, Receipt
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import check_error_status
from fake_control_plane.faults.receipts import send_whole


@dataclass(frozen=True, kw_only=True)
class Contradiction(AnswerFault):
    """The status says no and the body says yes: no allow, since an allow is 2xx."""

    name = "contradiction"
    summary = "a 4xx or 5xx whose body is an allow"
    parameters: ClassVar[Mapping[str, str]] = {"status": "a whole number from 400 to 599"}

    status: int

    def __post_init__(self) -> None:
        check_error_status(self, "status")

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the response was accepted."""
        return await send_whole(exchange, Answer(status=self.status, body=allow_object(exchange)))
