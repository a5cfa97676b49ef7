"""``allowed`` twice, once true and once false: what that means is up to the reader (RFC 8259, 4)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class DuplicateField(Content):
    """Most readers, and whoever keeps this answer's decision, take the last one."""

    name = "duplicate-field"
    summary = "an answer that says allowed twice, once true and once false"
    receipt = "the whole response was accepted"
    example = "duplicate-field=false operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"last": "true or false: what the last allowed says"}

    last: bool

    def __post_init__(self) -> None:
        check_choice(self, "last", (True, False))

    def instead(self, exchange: Exchange) -> Answer:
        """A 200 with one ``allowed`` at either end."""
        allow = allow_object(exchange)
        fields = json.dumps({**allow, "allowed": not self.last})
        raw = f'{fields[:-1]}, "allowed": {json.dumps(self.last)}}}'.encode()
        return Answer(body={**allow, "allowed": self.last}, raw=raw)
