"""The truth, late. requirements.md, How runs are judged: below the client's deadline work goes on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.parameters import SECONDS, check_seconds, check_seconds_or_none, check_whole, wrong
from fake_control_plane.faults.stages import Delay


@dataclass(frozen=True, kw_only=True)
class Latency(Delay):
    """The control plane's own answer, so many target seconds after the request was read.

    The n-th time it strikes it takes ``seconds + ramp * (n - 1)``, but not more than ``most``, give or take up to ``jitter``,
    which depends on ``jitter_seed`` and n alone: the same rule gives the same times in every process.
    """

    name = "latency"
    summary = "the true answer, late; with jitter, or later each time"
    receipt = "the late answer's bytes were accepted, or the client closed while it waited"
    example = "latency=0.2 jitter=0.1 jitter_seed=7 operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "seconds": "target seconds above 0",
        "jitter": "target seconds, 0 or more and not more than seconds, by which it may differ either way (default 0)",
        "jitter_seed": "a whole number of 0 or more: which differences (default 0)",
        "ramp": "target seconds, 0 or more, that each further call takes longer (default 0)",
        "most": "target seconds, seconds or more, where the ramp ends (default 60)",
    }
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "seconds": SECONDS,
        "jitter": {"minimum": 0},
        "jitter_seed": {"minimum": 0},
        "ramp": {"minimum": 0},
        "most": SECONDS,
    }

    seconds: float
    jitter: float = 0.0
    jitter_seed: int = 0
    ramp: float = 0.0
    most: float = 60.0

    def __post_init__(self) -> None:
        check_seconds(self, "seconds")
        check_seconds_or_none(self, "jitter")
        check_whole(self, "jitter_seed", least=0)
        check_seconds_or_none(self, "ramp")
        check_seconds(self, "most")
        if self.jitter > self.seconds:
            raise wrong(self, "jitter")
        if self.ramp and self.most < self.seconds:
            raise wrong(self, "most")

    @property
    def lasts(self) -> float:
        """The longest of its delays."""
        return max(self.seconds + self.jitter, self.most if self.ramp else 0.0)

    def at(self, n: int) -> Self:
        """The latency of the ``n``-th call, without jitter or ramp."""
        if not self.jitter and not self.ramp:
            return self
        seconds = min(self.seconds + self.ramp * (n - 1), max(self.most, self.seconds))
        # A generator of its own for each call: no state, so the n-th call is late by as much after a restart.
        swing = random.Random(f"{self.jitter_seed}/{n}").uniform(-self.jitter, self.jitter)  # noqa: S311 -- no secret
        return replace(self, seconds=max(seconds + swing, 1e-6), jitter=0.0, ramp=0.0)

    async def delay(self, exchange: Exchange) -> None:
        """Let the seconds of the first call pass, or those that ``at`` chose."""
        await exchange.pause(self.at(1).seconds)
