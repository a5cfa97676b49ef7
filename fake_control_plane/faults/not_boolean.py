"""An ``allowed`` that is not a JSON boolean. requirements.md: ``fail-closed/not-boolean``. RFC 8259, 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import check_json, wrong
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class NotBoolean(Content):
    """An allow whose ``allowed`` is this value."""

    name = "not-boolean"
    summary = "an allow whose allowed is no boolean"
    receipt = "the whole response was accepted"
    example = """not-boolean='"false"' operation=validate"""
    parameters: ClassVar[Mapping[str, str]] = {"value": "any JSON value but true (an allow) and false (a deny)"}
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"value": {"not": {"type": "boolean"}}}

    value: Any

    def __post_init__(self) -> None:
        check_json(self, "value")
        if isinstance(self.value, bool):
            raise wrong(self, "value")

    def instead(self, exchange: Exchange) -> Answer:
        """The allow with that value."""
        return Answer(body={**allow_object(exchange), "allowed": self.value})
