"""JSON that decides nothing. requirements.md: ``fail-closed/no-decision``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, Exchange, Receipt
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import send_whole


@dataclass(frozen=True, kw_only=True)
class NoDecision(AnswerFault):
    """An allow without its ``allowed``, with null in its place, wrapped in an array, or shrunk to its code."""

    name = "no-decision"
    summary = "well-formed JSON without a decision"
    parameters: ClassVar[Mapping[str, str]] = {"body": "missing (no allowed), null (allowed is null), array or string"}

    body: Literal["missing", "null", "array", "string"]

    def __post_init__(self) -> None:
        check_choice(self, "body", ("missing", "null", "array", "string"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the response was accepted."""
        allow = allow_object(exchange)
        without = {name: value for name, value in allow.items() if name != "allowed"}
        bodies: dict[str, Any] = {
            "missing": without,
            "null": {"allowed": None, **without},
            "array": [allow],
            "string": allow.get("code", "ALLOW"),
        }
        return await send_whole(exchange, Answer(body=bodies[self.body]))
