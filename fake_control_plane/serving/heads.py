"""Request heads that the fast path takes: parsed once, and known again when the same bytes come again.

A client sends the same head with every call, so that a table of heads spares nearly all parsing. Whether a head is good is
decided by httptools, alone and from a fresh start; what it does not take whole and plain is left to the slow path, which has
an answer for everything: chunked bodies, ``Expect``, ``Upgrade``, HTTP/1.0, ``Connection: close``, heads that are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import httptools

from fake_control_plane.serving.service import VALIDATE
from fake_control_plane.serving.standing import Standing

END = b"\r\n\r\n"
BODY_LIMIT = 1 << 14
"""Bytes of a body that the fast path waits for; more is the slow path's."""

_KEPT = 4096
_LONGEST = 1 << 11


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainHead:
    """The head of a request after which the connection stays, with a body of ``length`` bytes. ``headers`` as ``api.Request``'s.

    ``key`` is the value of x-org-key, "" if there is none. ``validates``: it is a POST validate with a key.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    length: int
    host: str
    key: str
    validates: bool


class Heads:
    """``limit``: bytes of a head. The tables: at most ``_KEPT`` heads, and whole validates, of at most ``_LONGEST`` bytes each; a full one
    is emptied.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._known: dict[bytes, PlainHead | None] = {}
        self.validates: dict[bytes, Standing] = {}
        """Whole requests, head and body, that are a POST validate."""

    def keep(self, request: bytes, standing: Standing) -> None:
        """Know this validate again."""
        if len(request) <= _LONGEST:
            if len(self.validates) >= _KEPT:
                self.validates.clear()
            self.validates[request] = standing

    def read(self, head: bytes) -> PlainHead | None:
        """The head of these bytes, up to and with the blank line; None if it is not plain."""
        try:
            return self._known[head]
        except KeyError:
            plain = _read(head) if len(head) <= self.limit else None
            if len(head) <= _LONGEST:
                if len(self._known) >= _KEPT:
                    self._known.clear()
                self._known[head] = plain
            return plain


class _Seen:
    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[str, str]] = []
        self.complete = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        self.complete += 1


def _read(data: bytes) -> PlainHead | None:
    seen = _Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if seen.complete != 1 or parser.get_http_version() != "1.1" or not parser.should_keep_alive():
        return None
    method = parser.get_method().decode("ascii")
    first = dict(reversed(seen.headers))
    if method in ("HEAD", "CONNECT") or first.keys() & {"transfer-encoding", "expect", "upgrade"}:
        return None
    length = int(first.get("content-length", "0"))
    if length > BODY_LIMIT:
        return None
    target = seen.url.decode("latin-1")
    key = first.get("x-org-key", "")
    return PlainHead(
        method=method,
        target=target,
        headers=tuple(seen.headers),
        length=length,
        host=first.get("host", ""),
        key=key,
        validates=method == "POST" and target == VALIDATE and key != "",
    )
