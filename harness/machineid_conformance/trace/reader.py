"""Reads a trace back from disk. Verdicts come from what was read, never from what is still in memory."""

from __future__ import annotations

import json
from pathlib import Path

from machineid_conformance.trace.events import Event, RunStarted, from_json


class TraceError(ValueError):
    """A trace that cannot be judged: names the file, the line, what was expected."""


def read(path: Path) -> tuple[Event, ...]:
    """All events of a trace.

    Raises:
        TraceError: a line is not JSON, an event is unknown, a sequence number is missing, or the first event is not ``run-started``.
    """
    events: list[Event] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = from_json(json.loads(line))
            except ValueError as error:
                raise TraceError(f"{path}:{number}: {error}") from error
            if event.seq != number:
                raise TraceError(
                    f"{path}:{number}: expected seq {number}, found {event.seq}: a line was lost, added or moved"
                )
            events.append(event)
    if not events or not isinstance(events[0], RunStarted):
        raise TraceError(
            f"{path}: expected run-started on the first line, found {events[0].name if events else 'an empty file'}"
        )
    return tuple(events)
