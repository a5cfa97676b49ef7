"""A success that is no JSON. requirements.md: ``fail-closed/not-json``. RFC 9110, 15.3.5 (204 has no content)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, Exchange, Receipt
from fake_control_plane.faults.bodies import html
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import send_whole


@dataclass(frozen=True, kw_only=True)
class NotJson(AnswerFault):
    """What a captive portal, a broken proxy or a changed endpoint answers: all is well, and nothing is said."""

    name = "not-json"
    summary = "a 2xx with HTML, with an empty body, or without content"
    parameters: ClassVar[Mapping[str, str]] = {"body": "html (200), empty (200), or no-content (204)"}

    body: Literal["html", "empty", "no-content"]

    def __post_init__(self) -> None:
        check_choice(self, "body", ("html", "empty", "no-content"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the response was accepted."""
        if self.body == "html":
            answer = Answer(status=200, raw=html(200), content_type="text/html")
        else:
            answer = Answer(status=204 if self.body == "no-content" else 200, raw=b"")
        return await send_whole(exchange, answer)
