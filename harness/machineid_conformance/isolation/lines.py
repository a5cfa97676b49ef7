"""Bytes of one output stream to lines: nothing lost, memory bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LIMIT = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line without its line end. ``continues``: it was longer than the limit, and the next line of this stream goes on."""

    text: str
    continues: bool = False


class LineSplitter:
    r"""Lines end in ``\n`` or ``\r\n``. Bytes that are not UTF-8 become ``\xNN``. ``limit`` is in bytes."""

    def __init__(self, *, limit: int = LIMIT) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._looked = 0  # how much of ``_pending`` is known to hold no line end

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that are complete now; consume them all before the next call."""
        self._pending += data
        begin = 0
        while True:
            end = self._pending.find(b"\n", max(begin, self._looked))
            stop = len(self._pending) if end < 0 else end
            while stop - begin > self._limit:
                cut = self._cut(begin)
                yield self._line(begin, cut, continues=True)
                begin = cut
            if end < 0:
                break
            yield self._line(begin, end - 1 if end > begin and self._pending[end - 1] == 0x0D else end)
            begin = end + 1
        del self._pending[:begin]
        self._looked = len(self._pending)

    def flush(self) -> tuple[Line, ...]:
        """What is left when the stream has ended: a last line without a line end, if there is one."""
        if not self._pending:
            return ()
        line = self._line(0, len(self._pending))
        self._pending.clear()
        self._looked = 0
        return (line,)

    def _cut(self, begin: int) -> int:
        """Where to split a long line: at the limit, or a little before it where that would fall into a character."""
        cut = begin + self._limit
        for back in range(cut, max(cut - 4, begin), -1):
            if self._pending[back] & 0xC0 != 0x80:
                return back
        return cut

    def _line(self, begin: int, end: int, *, continues: bool = False) -> Line:
        return Line(text=self._pending[begin:end].decode("utf-8", "backslashreplace"), continues=continues)
