"""Whose turn it is, among connections that have sent more than is answered at once.

A client may send a thousand requests in one piece. Answered all together they would keep every other client waiting; so each
connection gets a few of them answered in a turn of the event loop, and between two turns whoever sent one request is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

REQUESTS = 32
"""How many of one connection are answered in its turn: a third of a millisecond."""

_AT_ONCE = 0.002
"""Seconds of one turn of the event loop that all waiting connections have together."""

_TASKS = 4
"""How many of those that wait as tasks go on in one turn of the event loop: what they do then cannot be timed here."""


class Turns:
    """In the order in which they came; whoever has more to do asks again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()
        self._tasks: deque[asyncio.Future[None]] = deque()
        self._next: asyncio.Handle | None = None

    def later(self, go_on: Callable[[], None]) -> None:
        """Call it in a later turn of the event loop."""
        self._waiting.append(go_on)
        self._begin()

    async def turn(self) -> None:
        """Wait for a turn."""
        mine: asyncio.Future[None] = self._loop.create_future()
        self._tasks.append(mine)
        self._begin()
        await mine

    def _begin(self) -> None:
        if self._next is None:
            self._next = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._next = self._loop.call_soon(self._turn)  # now: what is called below may raise, and may ask again
        for _ in range(min(_TASKS, len(self._tasks))):
            if not (task := self._tasks.popleft()).done():  # else it was cancelled
                task.set_result(None)
        until = time.monotonic() + _AT_ONCE
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
            if time.monotonic() >= until:
                break
        if not (self._waiting or self._tasks):
            self._next.cancel()
            self._next = None
