"""JSON that decides nothing. requirements.md: ``fail-closed/no-decision``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class NoDecision(Content):
    """An allow without its ``allowed``, with null in its place, wrapped in an array, or shrunk to its code."""

    name = "no-decision"
    summary = "well-formed JSON without a decision"
    receipt = "the whole response was accepted"
    example = "no-decision=missing operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"body": "missing (no allowed), null (allowed is null), array or string"}

    body: Literal["missing", "null", "array", "string"]

    def __post_init__(self) -> None:
        check_choice(self, "body", ("missing", "null", "array", "string"))

    def instead(self, exchange: Exchange) -> Answer:
        """A 200 with that JSON."""
        allow = allow_object(exchange)
        without = {name: value for name, value in allow.items() if name != "allowed"}
        bodies: dict[str, Any] = {
            "missing": without,
            "null": {"allowed": None, **without},
            "array": [allow],
            "string": allow.get("code", "ALLOW"),
        }
        return Answer(body=bodies[self.body])
