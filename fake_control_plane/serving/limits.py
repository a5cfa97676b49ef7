"""What one client can take of a data port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """``body`` in bytes, times in seconds.

    ``idle``: between two requests on a connection. ``head``: from a request's first byte until its head is complete. ``body_time``:
    from there until it is complete. ``answer``: until the client has taken an answer. ``farewell``: until it closes when we have.
    ``connections``: at a time; beyond them those that were quiet longest are closed.
    """

    body: int = 1 << 20
    idle: float = 75.0
    head: float = 10.0
    body_time: float = 60.0
    answer: float = 60.0
    farewell: float = 5.0
    connections: int = 16_384
