"""The service's clock: the machine's, plus what an operator moved it by. It ends the cycle of a cancelled plan, and dates entries.

What guards the fake does not look at it: see ``guards``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Clock:
    """``now`` in seconds since the epoch. ``source`` is the clock beneath; ``moved`` what it starts out moved by, in seconds."""

    def __init__(self, source: Callable[[], float] = time.time, *, moved: float = 0.0) -> None:
        self._source = source
        self._moved = 0.0
        self.move(moved)

    @property
    def moved(self) -> float:
        """Seconds by which this clock is ahead of the one beneath."""
        return self._moved

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._source() + self._moved

    def move(self, seconds: float) -> float:
        """Move forward, or back, by so many seconds; returns the new time.

        Raises:
            ValueError: ``seconds`` is no finite number, or more than a thousand years.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds):
            raise ValueError(
                f"clock: got {seconds!r}; expected a number of seconds to move it by, below 0 to move it back"
            )
        if abs(self._moved + seconds) > _FARTHEST:
            raise ValueError(f"clock: {seconds!r} seconds would move it by more than a thousand years; expected less")
        self._moved += seconds
        return self.now()


_FARTHEST = 1000 * 366 * 86400.0
