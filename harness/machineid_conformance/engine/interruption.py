"""Ending a session early so that what it has found so far is kept.

A session is asked to end by a signal, or because nobody reads its stream any more. What is then under way is cancelled, once; what is
there is judged and written. Only work that says so (``ends_here``) is cancelled: writing the results is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """Asked for at most once; belongs to one event loop."""

    def __init__(self) -> None:
        self.asked = False
        self._tasks: set[asyncio.Task[object]] = set()

    def ask(self) -> None:
        """End what is under way. Further calls change nothing: what ends already must not be cancelled a second time."""
        if self.asked:
            return
        self.asked = True
        for task in tuple(self._tasks):
            task.cancel()

    @contextmanager
    def ends_here(self) -> Iterator[None]:
        """Within it, being asked cancels the task that is here; where it was asked before, at once.

        Raises:
            asyncio.CancelledError: at the await that is under way when it is asked, or on entering.
        """
        if self.asked:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        assert task is not None, "an interruption ends a task; there is none outside the event loop"
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)
