"""The one writer of a trace: it gives the sequence and the time, redacts, and writes JSON Lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

from machineid_conformance.trace.events import Event
from machineid_conformance.trace.redact import Redactor

E = TypeVar("E", bound=Event)


class TraceWriter:
    """Appends events to ``path``. ``clock`` gives target seconds since the run began; it never runs backwards."""

    def __init__(self, path: Path, *, clock: Callable[[], float], redactor: Redactor) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w", encoding="utf-8")
        self._clock = clock
        self._redactor = redactor
        self._seq = 0
        self._at = 0.0

    def write(self, event: E) -> E:
        """Stamp, redact and append; returns the event as it stands on disk."""
        self._seq += 1
        self._at = max(self._at, round(self._clock(), 6))
        stamped = dataclasses.replace(event, seq=self._seq, at=self._at)
        line = self._redactor.redact(stamped.to_json())
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        return stamped

    @property
    def written(self) -> int:
        """How many events stand in the trace."""
        return self._seq

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        self._file.close()
