"""A decision of the past under a fresh request id: a replica that lags behind (RFC 9111, 4.2: a stale response).

A deny arrives so many decisions late, and so does the allow after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.parameters import check_whole
from fake_control_plane.faults.stages import Content

MOST = 1000
"""Decisions: what is kept of the past is bounded."""


@dataclass(frozen=True, kw_only=True)
class Stale(Content):
    """While there were fewer decisions than that, the oldest; before there was any, the truth, which is no delivery."""

    name = "stale"
    summary = "the decision of an earlier call, under a fresh request id"
    receipt = "the whole response was accepted, and there had been an earlier one"
    example = "stale=2 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "decisions": f"how many decisions late, a whole number from 1 to {MOST} (default 1)"
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"decisions": {"minimum": 1, "maximum": MOST}}

    decisions: int = 1

    def __post_init__(self) -> None:
        check_whole(self, "decisions", least=1, most=MOST)

    @property
    def earlier_answers(self) -> int:
        """As many as it is late."""
        return self.decisions

    def instead(self, exchange: Exchange) -> Answer | None:
        """The earlier answer, with the request id of the truth."""
        past = exchange.earlier[-self.decisions :]
        if not past:
            return None
        then, now = past[0].body, exchange.answer.body
        if isinstance(then, dict) and isinstance(now, dict) and "request_id" in then and "request_id" in now:
            return replace(past[0], body={**then, "request_id": now["request_id"]})
        return past[0]
