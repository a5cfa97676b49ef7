"""What one client can take of a data port."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Limits:
    """``head_size``, ``body`` in bytes: what a call needs and ten times more, for reading a large one keeps all others waiting. Times in
    seconds.

    ``idle``: between two requests on a connection. ``head``: from a request's first byte until its head is complete. ``body_time``:
    from there until it is complete. ``answer``: until the client has taken an answer. ``farewell``: until it closes when we have.
    ``connections``: at a time; beyond them those that were quiet longest are closed.
    """

    head_size: int = 1 << 14
    body: int = 1 << 14
    idle: float = 75.0
    head: float = 10.0
    body_time: float = 60.0
    answer: float = 60.0
    farewell: float = 5.0
    connections: int = 16_384

    def staggered(self) -> tuple[Limits, ...]:
        """The same with a little more time, up to a quarter, for a head: who connected at one moment is not to time out at one moment."""
        return tuple(replace(self, head=self.head * (1 + step / (4 * _STEPS))) for step in range(_STEPS))


_STEPS = 64
