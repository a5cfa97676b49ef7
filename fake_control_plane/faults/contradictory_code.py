"""A decision whose code says the opposite. requirements.md, Words: ``allowed`` decides, and never a code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.dialects import CODES
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class ContradictoryCode(Content):
    """An allow with the code of a revoked device, or a deny with the code of an allow."""

    name = "contradictory-code"
    summary = "an allow with a deny's code, or a deny with an allow's"
    receipt = "the whole response was accepted"
    example = "contradictory-code=false operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"allowed": "true or false: the decision that the code contradicts"}

    allowed: bool

    def __post_init__(self) -> None:
        check_choice(self, "allowed", (True, False))

    def instead(self, exchange: Exchange) -> Answer:
        """A 200 with both."""
        code = CODES["device-revoked" if self.allowed else "allow"]
        return Answer(body={**allow_object(exchange), "allowed": self.allowed, "code": code})
