"""An ``allowed`` that is not a JSON boolean. requirements.md: ``fail-closed/not-boolean``. RFC 8259, 3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, Exchange, Receipt
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import wrong
from fake_control_plane.faults.receipts import send_whole


@dataclass(frozen=True, kw_only=True)
class NotBoolean(AnswerFault):
    """An allow whose ``allowed`` is this value."""

    name = "not-boolean"
    summary = "an allow whose allowed is no boolean"
    parameters: ClassVar[Mapping[str, str]] = {"value": "any JSON value but true (an allow) and false (a deny)"}

    value: Any

    def __post_init__(self) -> None:
        try:
            json.dumps(self.value, allow_nan=False)
        except (TypeError, ValueError):
            raise wrong(self, "value") from None
        if isinstance(self.value, bool):
            raise wrong(self, "value")

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the response was accepted."""
        return await send_whole(exchange, Answer(body={**allow_object(exchange), "allowed": self.value}))
