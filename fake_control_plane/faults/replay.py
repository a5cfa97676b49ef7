"""An earlier answer once more, byte for byte, its request id included: a cache where none may be (RFC 9111, 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.parameters import check_whole
from fake_control_plane.faults.stages import Content
from fake_control_plane.faults.stale import MOST


@dataclass(frozen=True, kw_only=True)
class Replay(Content):
    """Before there were so many answers, the truth, which is no delivery."""

    name = "replay"
    summary = "an earlier answer once more, with its request id"
    receipt = "the whole response was accepted, and there had been that many before"
    example = "replay=1 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "back": f"which one: how many answers ago, a whole number from 1 to {MOST} (default 1)"
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"back": {"minimum": 1, "maximum": MOST}}

    back: int = 1

    def __post_init__(self) -> None:
        check_whole(self, "back", least=1, most=MOST)

    @property
    def earlier_answers(self) -> int:
        """As many as it goes back."""
        return self.back

    def instead(self, exchange: Exchange) -> Answer | None:
        """That answer, as it was given."""
        return exchange.earlier[-self.back] if len(exchange.earlier) >= self.back else None
