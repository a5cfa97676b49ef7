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

_HANDSHAKES = 1
"""Likewise of those that wait for a handshake, of which each takes a millisecond and more."""


_MOST_HANDSHAKES = 1024
"""As many wait at a time: they take three seconds. Thousands would be given up all at one moment."""


class Turns:
    """In the order in which they came, but for handshakes; whoever has more to do asks again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Callable[[], None]] = deque()
        self._tasks: deque[asyncio.Future[None]] = deque()
        self._handshakes: deque[asyncio.Future[None]] = deque()
        self._next: asyncio.Handle | None = None

    def later(self, go_on: Callable[[], None]) -> None:
        """Call it in a later turn of the event loop."""
        self._waiting.append(go_on)
        self._begin()

    async def turn(self) -> None:
        """Wait for a turn."""
        await self._wait(self._tasks)

    async def handshake(self) -> None:
        """Wait for a turn to shake hands. Who came last goes first: when more come than can be served, those who came first have waited
        for so long that they are lost anyway, and nobody else has to wait. Raises TimeoutError where too many came since.
        """
        if len(self._handshakes) >= _MOST_HANDSHAKES and not (oldest := self._handshakes.popleft()).done():
            oldest.set_exception(TimeoutError())
        await self._wait(self._handshakes)

    async def _wait(self, waiting: deque[asyncio.Future[None]]) -> None:
        mine: asyncio.Future[None] = self._loop.create_future()
        waiting.append(mine)
        self._begin()
        await mine

    def _begin(self) -> None:
        if self._next is None:
            self._next = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._next = self._loop.call_soon(self._turn)  # now: what is called below may raise, and may ask again
        for _ in range(min(_TASKS, len(self._tasks))):
            _wake(self._tasks.popleft())
        for _ in range(min(_HANDSHAKES, len(self._handshakes))):
            _wake(self._handshakes.pop())
        until = time.monotonic() + _AT_ONCE
        for _ in range(len(self._waiting)):
            self._waiting.popleft()()
            if time.monotonic() >= until:
                break
        if not (self._waiting or self._tasks or self._handshakes):
            self._next.cancel()
            self._next = None


def _wake(task: asyncio.Future[None]) -> None:
    if not task.done():  # else it was cancelled
        task.set_result(None)
