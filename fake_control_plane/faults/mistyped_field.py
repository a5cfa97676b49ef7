"""A field of the truth with a value of another type (RFC 8259, 3). ``allowed`` itself: see ``not-boolean`` as well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.parameters import check_json, wrong
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class MistypedField(Content):
    """The decision stays the true one, unless ``allowed`` is the field: then there is none."""

    name = "mistyped-field"
    summary = "the true answer with one field that has another value than it may"
    receipt = "the whole response was accepted"
    example = "mistyped-field=request_id value=42 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "field": "the name of a field, such as code or request_id",
        "value": "any JSON value, but none that decides: no true and no false for allowed",
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"field": {"minLength": 1}}

    field: str
    value: Any

    def __post_init__(self) -> None:
        if not isinstance(self.field, str) or not self.field:
            raise wrong(self, "field")
        check_json(self, "value")
        if self.field == "allowed" and isinstance(self.value, bool):
            raise wrong(self, "value")

    def instead(self, exchange: Exchange) -> Answer | None:
        """The truth with that field."""
        truth = exchange.answer
        if not isinstance(truth.body, dict):
            return None
        return replace(truth, body={**truth.body, self.field: self.value})
