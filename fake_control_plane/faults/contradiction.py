"""An error whose body is an allow. requirements.md: ``fail-closed/contradiction``. RFC 9110, 15.5 and 15.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import allow_object
from fake_control_plane.faults.parameters import ERROR_STATUS, check_error_status
from fake_control_plane.faults.stages import Content


@dataclass(frozen=True, kw_only=True)
class Contradiction(Content):
    """The status says no and the body says yes: no allow, since an allow is 2xx."""

    name = "contradiction"
    summary = "a 4xx or 5xx whose body is an allow"
    receipt = "the whole response was accepted"
    example = "contradiction=403 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"status": "a whole number from 400 to 599"}
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"status": ERROR_STATUS}

    status: int

    def __post_init__(self) -> None:
        check_error_status(self, "status")

    def instead(self, exchange: Exchange) -> Answer:
        """The allow under the error's status."""
        return Answer(status=self.status, body=allow_object(exchange))
