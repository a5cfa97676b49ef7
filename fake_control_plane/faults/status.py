"""Any status, errors above all. requirements.md: ``fail-closed/server-error`` and ``fail-closed/client-error``.

RFC 9110, 15 (the statuses), 15.2 (an interim 1xx ends no call), 10.2.3 (Retry-After); RFC 6585, 4 (429).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.api import handler_of
from fake_control_plane.dialects import error
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import html, phrase
from fake_control_plane.faults.parameters import check_choice, check_whole, wrong
from fake_control_plane.faults.stages import Content

RETRY_AFTER = 1
"""Seconds that a 429 names unless it is told otherwise."""


@dataclass(frozen=True, kw_only=True)
class Status(Content):
    """One whole response of this status, or an interim one and a close. Its body says neither yes nor no."""

    name = "status"
    summary = "any status, with an HTML, empty or JSON error body"
    receipt = "the whole response was accepted; a 1xx: its head was, and the connection closed behind it"
    example = "status=503 operation=validate first=2"
    parameters: ClassVar[Mapping[str, str]] = {
        "status": "a whole number from 100 to 599",
        "body": "html, empty or json (default json)",
        "retry_after": "whole seconds, 0 or more, or none (default: 1 for 429, none for others)",
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "status": {"minimum": 100, "maximum": 599},
        "retry_after": {"minimum": 0},
    }

    status: int
    body: Literal["html", "empty", "json"] = "json"
    retry_after: int | Literal["none"] | None = None

    def __post_init__(self) -> None:
        check_whole(self, "status", least=100, most=599)
        check_choice(self, "body", ("html", "empty", "json"))
        seconds = self.retry_after
        if seconds in (None, "none"):
            return
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 0:
            raise wrong(self, "retry_after")

    def instead(self, exchange: Exchange) -> Answer:
        """The response."""
        seconds = RETRY_AFTER if self.retry_after is None and self.status == 429 else self.retry_after
        headers = {"Retry-After": str(seconds)} if isinstance(seconds, int) else {}
        if self.body == "empty" or self.status in (204, 304):  # which have no content (RFC 9110, 15.3.5, 15.4.5)
            return Answer(status=self.status, raw=b"", headers=headers)
        if self.body == "html":
            return Answer(status=self.status, raw=html(self.status), content_type="text/html", headers=headers)
        word = phrase(self.status).lower().replace(" ", "_").replace("-", "_")
        handler = handler_of(exchange.target)
        return error(self.status, word, phrase(self.status) + ".", handler=handler, headers=headers)
