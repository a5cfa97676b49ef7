"""The body of a ``log`` effect as lines of output. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from fake_control_plane.http1 import PREFIX_LIMIT

LINE_LIMIT = 1 << 16
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


def lines_of(body: bytes, encoding: str | None) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it goes on in the next one because it is longer than ``LINE_LIMIT`` characters."""
    text = _decoded(body, encoding).decode("utf-8", "backslashreplace")
    for line in text.splitlines():
        for at in range(0, max(len(line), 1), LINE_LIMIT):
            yield line[at : at + LINE_LIMIT], at + LINE_LIMIT < len(line)


def _decoded(body: bytes, encoding: str | None) -> bytes:
    """Log exporters compress; what cannot be decoded stays as it came."""
    if (encoding or "").lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(_GZIP_OR_ZLIB).decompress(body, PREFIX_LIMIT)
    except zlib.error:
        return body
