"""An error status. requirements.md: ``fail-closed/server-error`` and ``fail-closed/client-error``.

RFC 9110, 15.5 and 15.6 (the statuses), 10.2.3 (Retry-After); RFC 6585, 4 (429).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.api import handler_of
from fake_control_plane.dialects import error
from fake_control_plane.faults.api import AnswerFault, Exchange, Receipt
from fake_control_plane.faults.bodies import html, phrase
from fake_control_plane.faults.parameters import check_choice, check_error_status, wrong
from fake_control_plane.faults.receipts import send_whole

RETRY_AFTER = 1
"""Seconds that a 429 names unless it is told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Status(AnswerFault):
    """One whole error response. Its body says neither yes nor no."""

    name = "status"
    summary = "an error status, with an HTML, empty or JSON error body"
    parameters: ClassVar[Mapping[str, str]] = {
        "status": "a whole number from 400 to 599",
        "body": "html, empty or json (default json)",
        "retry_after": "whole seconds, 0 or more, or none (default: 1 for 429, none for others)",
    }

    status: int
    body: Literal["html", "empty", "json"] = "json"
    retry_after: int | Literal["none"] | None = None

    def __post_init__(self) -> None:
        check_error_status(self, "status")
        check_choice(self, "body", ("html", "empty", "json"))
        seconds = self.retry_after
        if seconds in (None, "none"):
            return
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
            raise wrong(self, "retry_after")

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the response was accepted."""
        seconds = RETRY_AFTER if self.retry_after is None and self.status == 429 else self.retry_after
        headers = {"Retry-After": str(seconds)} if isinstance(seconds, int) else {}
        if self.body == "html":
            answer = Answer(status=self.status, raw=html(self.status), content_type="text/html", headers=headers)
        elif self.body == "empty":
            answer = Answer(status=self.status, raw=b"", headers=headers)
        else:
            word = phrase(self.status).lower().replace(" ", "_").replace("-", "_")
            handler = handler_of(exchange.target)
            answer = error(self.status, word, phrase(self.status) + ".", handler=handler, headers=headers)
        return await send_whole(exchange, answer)
