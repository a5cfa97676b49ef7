"""The one writer of a trace: it gives the sequence and the time, redacts, and writes JSON Lines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from machineid_conformance.trace.events import Event
from machineid_conformance.trace.redact import Redactor

E = TypeVar("E", bound=Event)

# json.dumps would make an encoder anew for each event.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ReportError(Exception):
    """The report folder takes no more: it is full, read-only or gone.

    Not an ``OSError``: what handles a target's connections takes that for a trouble of the connection, and goes on.
    """


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Within it, what the file system refuses is a ``ReportError`` that names the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise ReportError(_refused(path, error)) from error


def _refused(path: Path, error: OSError) -> str:
    said = error.strerror or error
    return f"{path} cannot be written: {said}; make room there, or name another folder with --report"


class TraceWriter:
    """Appends events to ``path``. ``clock`` gives target seconds since the run began; it never runs backwards.

    ``tell`` is called with each event as it stands on disk. Every method raises ``ReportError`` where the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float],
        redactor: Redactor,
        tell: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self._path = path
        self._tell = tell
        with writing(path):
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
        line = self._redactor.values(stamped.to_json())
        try:
            self._file.write(_encode(line) + "\n")
        except (
            OSError
        ) as error:  # spelled out: this is called for each event, and a context manager costs as much as the write
            raise ReportError(_refused(self._path, error)) from error
        if self._tell is not None:
            self._tell(line)
        return stamped

    @property
    def written(self) -> int:
        """How many events stand in the trace."""
        return self._seq

    def close(self) -> None:
        """Flush and close; safe to call twice."""
        with writing(self._path):
            self._file.close()
