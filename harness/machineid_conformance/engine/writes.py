"""Which touches of a file are one write, and so one effect, whatever else was recorded meanwhile.

inotify tells of a file's creation, of each ``write(2)`` and of its close, one after the other; what the target's other threads do, and what
the kernel says late of a connection that is over, falls between them.
"""

from __future__ import annotations

from machineid_conformance.trace.events import (
    ConnectionClosed,
    ConnectionOpened,
    EffectAnswered,
    EffectStarted,
    Event,
    FaultArmed,
    FaultCleared,
    Operator,
    Output,
)

File = tuple[int, str]
"""The number of the instance, and the path relative to its working folder."""

_NOTHING_NEW = (ConnectionOpened, ConnectionClosed, EffectAnswered, FaultArmed, FaultCleared, Operator)
"""Nothing that the target set about: the moment is the kernel's, or the scenario's, which may wait for this very write."""


class Writes:
    """The writes of one run that may still go on.

    While the file is open a write goes on until the target asks the control plane, is told something by it, or has an effect elsewhere
    than in files and output (of whose order among each other nothing is known); from then on the next touch is work of its own, for which
    a permit is asked. Once the file is closed anything that the target does ends it. Opened anew with nothing between it is the same
    write: a file that is made, closed and then filled is one effect.
    """

    def __init__(self) -> None:
        self._open: set[File] = set()
        self._closed: set[File] = set()

    def begins(self, file: File) -> bool:
        """Whether a file that was created or written just now begins a write that is an effect of its own."""
        if file in self._open:
            return False
        begins = file not in self._closed
        self._closed.discard(file)
        self._open.add(file)
        return begins

    def close(self, file: File) -> None:
        """Somebody who had it open for writing closed it."""
        if file in self._open:
            self._open.remove(file)
            self._closed.add(file)

    def recorded(self, event: Event) -> None:
        """An event was written into the trace."""
        if isinstance(event, _NOTHING_NEW):
            return
        self._closed.clear()
        if not (isinstance(event, Output) or (isinstance(event, EffectStarted) and event.silent)):
            self._open.clear()
