"""The truth under another media type (RFC 9110, 8.3): the body is the control plane's own, and says it is something else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.parameters import wrong
from fake_control_plane.faults.stages import Content

VALUE = "^[!-~]([ -~]*[!-~])?$"
"""A field value of visible ASCII (RFC 9110, 5.5)."""


@dataclass(frozen=True, kw_only=True)
class ContentType(Content):
    """A client that goes by the body finds its decision; one that goes by the type finds none. Neither is wrong."""

    name = "content-type"
    summary = "the true answer under another Content-Type"
    receipt = "the whole response was accepted"
    example = "content-type=text/html operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"type": "a media type, in visible ASCII (default text/html)"}
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"type": {"pattern": VALUE}}

    type: str = "text/html"

    def __post_init__(self) -> None:
        if not isinstance(self.type, str) or re.fullmatch(VALUE, self.type) is None or self.type.endswith("\n"):
            raise wrong(self, "type")

    def instead(self, exchange: Exchange) -> Answer:
        """The truth with that type."""
        return replace(exchange.answer, content_type=self.type)
