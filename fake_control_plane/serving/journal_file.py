"""The journal on disk: JSON Lines, only ever appended to, complete as soon as ``flush`` returned.

What ``flush`` wrote is the operating system's: a SIGKILL of the server loses none of it; a power cut may.

A disk that is full does not end the server. The lines stay in memory, at most ``HELD`` bytes of them, and are written
when there is room again; what did not fit is counted, and the file says so in a line ``{"lost": n}`` at that place.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HELD = 8 * 1024 * 1024
"""How many bytes wait in memory, at most, for a disk that takes no more."""

_TAIL = 64 * 1024
"""The last line of an earlier server is looked for in this much of the file's end: longer than any line of ours."""


class JournalFile:
    """Appends lines to ``path``, which is made with mode 600: device ids may tell more than they should.

    ``last_number`` is the number of the last entry that the file already had, 0 if it had none: numbers go on.

    Raises:
        OSError: the file cannot be opened for appending.
        ValueError: it holds something else than a journal, or another server writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem: str | None = None
        self.lost = 0
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lines: list[str] = []
        self._unwritten = bytearray()  # lines of which the disk took none, or the beginning
        try:
            self.last_number = self._continue()
        except BaseException:
            self.close()
            raise

    def add(self, lines: Iterable[str]) -> None:
        """JSON values, each without its line's end, to be written by the next ``flush``."""
        self._lines += lines

    def flush(self) -> None:
        """Append what was added. Does not raise: see ``problem``."""
        if self._descriptor is None or not (self._lines or self._unwritten):
            return
        if self._lines:
            lines, self._lines = self._lines, []
            lines.append("")
            data = "\n".join(lines).encode("ascii")
            if self._unwritten and (self.lost or len(self._unwritten) + len(data) > HELD):
                self.lost += len(lines) - 1  # once some are lost, so are those after them: the order stays true
            else:
                self._unwritten += data
        try:
            # A nearly full disk takes part of a line: the next write goes on in the middle of it.
            while self._unwritten:
                del self._unwritten[: os.write(self._descriptor, self._unwritten)]
                if self.lost and not self._unwritten:
                    self._unwritten += f'{{"lost":{self.lost}}}\n'.encode("ascii")
                    self.lost = 0
        except OSError as error:
            self.problem = (
                f"the journal {self.path} cannot be written: {error.strerror}; {len(self._unwritten)} bytes wait in "
                f"memory and {self.lost} entries are lost. Make room on that disk: writing goes on by itself"
            )
        else:
            self.problem = None

    def close(self) -> None:
        """Write what waits, as far as it can be, and close; safe to call twice."""
        if self._descriptor is not None:
            self.flush()
            os.close(self._descriptor)
            self._descriptor = None

    def _continue(self) -> int:
        """Lock the file and read the end of what is there; a line that an earlier server left unfinished is ended, and stays as it is."""
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"--journal {self.path}: another server writes this file. End that server, or choose another file for this one"
            ) from None
        size = os.fstat(self._descriptor).st_size
        if size == 0:
            return 0
        tail = os.pread(self._descriptor, _TAIL, max(0, size - _TAIL))
        for line in reversed(tail.split(b"\n")):
            value = _parsed(line)
            if value is not None and isinstance(value.get("number"), int):
                if not tail.endswith(b"\n"):
                    os.write(self._descriptor, b"\n")
                return int(value["number"])
        raise ValueError(
            f"--journal {self.path}: expected a new file, or a journal that an earlier server wrote; its end holds no "
            "entry. Choose another file, or move this one away"
        )


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
