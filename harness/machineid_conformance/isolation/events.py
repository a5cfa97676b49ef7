"""The queue between what is read from a world and the one consumer of its events."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from machineid_conformance.isolation.api import OutputChunk, WorldEvent

HIGH, LOW = 1 << 20, 1 << 18
"""Bytes of output: above ``HIGH`` no more is read from the target (whose write then blocks), until it is below ``LOW``."""


class EventQueue:
    """``on_room`` is called when reading may go on after it had to stop."""

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._on_room = on_room
        self._events: deque[WorldEvent] = deque()
        self._bytes = 0
        self._stopped = False
        self._ended = False
        self._wake = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether output must wait. Asking is a promise to be told when there is room again."""
        if self._bytes >= HIGH:
            self._stopped = True
        return self._stopped

    def put(self, event: WorldEvent) -> None:
        """Append; never refuses, since what ends a process must be told whatever else is pending."""
        self._events.append(event)
        if isinstance(event, OutputChunk):
            self._bytes += len(event.data)
        self._wake.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._wake.set()

    def take_all(self) -> list[WorldEvent]:
        """Everything that is pending."""
        events = list(self._events)
        self._events.clear()
        self._bytes = 0
        self._make_room()
        return events

    async def consume(self) -> AsyncIterator[WorldEvent]:
        """Events as they come. An event leaves the queue in the same step in which the consumer gets it, so that what
        ``take_all`` returns in between is never older than what the consumer has not seen yet.
        """
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, OutputChunk):
                    self._bytes -= len(event.data)
                self._make_room()
                yield event
            if self._ended:
                return
            self._wake.clear()
            await self._wake.wait()

    def _make_room(self) -> None:
        if self._stopped and self._bytes <= LOW:
            self._stopped = False
            self._on_room()
