"""A success that is no JSON. requirements.md: ``fail-closed/not-json``. RFC 9110, 15.3.5 (204 has no content)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import html
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class NotJson(Content):
    """What a captive portal, a broken proxy or a changed endpoint answers: all is well, and nothing is said."""

    name = "not-json"
    summary = "a 2xx with HTML, with an empty body, or without content"
    receipt = "the whole response was accepted"
    example = "not-json=html operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"body": "html (200), empty (200), or no-content (204)"}

    body: Literal["html", "empty", "no-content"]

    def __post_init__(self) -> None:
        check_choice(self, "body", ("html", "empty", "no-content"))

    def instead(self, exchange: Exchange) -> Answer:
        """The page, or nothing."""
        del exchange
        if self.body == "html":
            return Answer(status=200, raw=html(200), content_type="text/html")
        return Answer(status=204 if self.body == "no-content" else 200, raw=b"")
