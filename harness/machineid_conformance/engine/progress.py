"""What one run has done so far, as its watch needs to know it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass
class Progress:
    """What the watcher of a run decides by. Times are target seconds; ``bell`` rings whenever something here changes."""

    bell: asyncio.Event = field(default_factory=asyncio.Event)
    contacted: bool = False  # the first call or effect of this start was seen
    started_at: float = 0.0
    last_activity: float = 0.0
    open_calls: int = 0
    open_effects: int = 0
    withheld: int = 0  # of the open calls: those that a fault has taken over, and that may last
    validates: int = 0
    effects: int = 0
    effects_since_validate: int = 0
    refused_at: float | None = None  # the last refusal that no fresh allow followed
    first_refusal_at: float | None = None
    validates_since_refusal: int = 0
    validates_before_restart: int = 0

    @property
    def owes(self) -> bool:
        """Whether the target waits for something that the harness is about to give."""
        return self.open_calls > self.withheld or self.open_effects > 0

    def restarted(self, now: float) -> None:
        """The target was started again: what it was refused before no longer says anything."""
        self.refused_at = self.first_refusal_at = None
        self.validates_since_refusal = self.effects_since_validate = 0
        self.validates_before_restart = self.validates
        self.contacted = False
        self.started_at = self.last_activity = now
        self.bell.set()

    def ring(self, now: float) -> None:
        """Something that counts as activity happened."""
        self.contacted = True
        self.last_activity = now
        self.bell.set()

    def refused(self, now: float) -> None:
        """The target was denied, or got no clear answer."""
        if self.refused_at is None:
            self.refused_at = now
            self.validates_since_refusal = 0
        if self.first_refusal_at is None:
            self.first_refusal_at = now
        self.ring(now)
