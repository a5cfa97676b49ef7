"""HTTP/1.1 (RFC 9112) over a ``Wire``: request heads as they complete, bodies in pieces, answers as bytes.

A request is read in steps: ``head`` when its head is complete, then ``piece`` after piece of its body, so that neither a body
of a gigabyte nor a client that waits for ``100 Continue`` is a special case.
"""

from __future__ import annotations

import http
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httptools

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.wire import Wire

HEAD_LIMIT = 1 << 16
PREFIX_LIMIT = 1 << 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# fmt: off
METHODS = frozenset(
    (
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "COPY", "LOCK", "MKCOL", "MOVE",
        "PROPFIND", "PROPPATCH", "SEARCH", "UNLOCK", "BIND", "REBIND", "UNBIND", "ACL", "REPORT", "MKACTIVITY", "CHECKOUT",
        "MERGE", "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE", "MKCALENDAR", "LINK", "UNLINK", "SOURCE",
    )
)
# fmt: on
"""What the parser takes for a method; anything else in its place is not HTTP."""
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n"  # RFC 9113, 3.4

_SLICE = 1 << 14


class BadRequest(Exception):  # noqa: N818  (the phrase of status 400)
    """The client sent something that is not HTTP/1.1, or a head that is too large. ``status`` is what to answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Head:
    """A complete request head. ``target`` is as sent: a path, an absolute URL, ``host:port`` for CONNECT, or ``*``."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]  # lower-case names
    keep_alive: bool

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks of unknown number."""
        return "chunked" in (self.header("transfer-encoding") or "").lower()

    @property
    def has_body(self) -> bool:
        """Whether a body follows: Transfer-Encoding, or a Content-Length that is not 0 (RFC 9112, 6.3)."""
        return self.header("transfer-encoding") is not None or (self.header("content-length") or "0").strip("0 ") != ""

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for ``100 Continue`` before it sends the body (RFC 9110, 10.1.1)."""
        return self.version != "1.0" and (self.header("expect") or "").lower() == "100-continue"


@dataclass(frozen=True, kw_only=True)
class Body:
    """A body that was read to its end: its first ``PREFIX_LIMIT`` bytes, its whole size, and the needles found anywhere in it."""

    prefix: bytes
    size: int
    found: frozenset[bytes] = frozenset()


class BodyCollector:
    """Takes a body piece by piece and keeps what is bounded: a prefix, the size, and which ``needles`` occurred."""

    def __init__(self, needles: Iterable[bytes] = ()) -> None:
        self._needles = {needle for needle in needles if needle}
        self._overlap = max((len(needle) for needle in self._needles), default=1) - 1
        self._window = b""
        self._prefix = bytearray()
        self.size = 0
        """Bytes so far."""
        self._found: set[bytes] = set()

    def add(self, piece: bytes) -> None:
        """The next piece."""
        self.size += len(piece)
        if len(self._prefix) < PREFIX_LIMIT:
            self._prefix += piece[: PREFIX_LIMIT - len(self._prefix)]
        window = self._window + piece
        self._found.update(needle for needle in self._needles if needle not in self._found and needle in window)
        self._window = window[-self._overlap :] if self._overlap else b""

    def body(self) -> Body:
        """What was seen so far."""
        return Body(prefix=bytes(self._prefix), size=self.size, found=frozenset(self._found))


class _Events:
    """What the parser calls. Several pipelined requests may stand in ``queue``: heads, body pieces, and None at each end."""

    def __init__(self) -> None:
        self.queue: deque[Head | bytes | None] = deque()
        self.parser: httptools.HttpRequestParser
        self.in_head = False
        self.begun = 0
        """Requests so far, the one that is under way among them."""
        self._url = b""
        self._headers: list[tuple[str, str]] = []

    @property
    def head_size(self) -> int:
        """Bytes of the head under way, as far as the parser has handed them over."""
        return len(self._url) + sum(len(name) + len(value) for name, value in self._headers)

    def on_message_begin(self) -> None:
        self.in_head = True
        self.begun += 1
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.in_head:  # else a trailer
            self._headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        self.in_head = False
        self.queue.append(
            Head(
                method=self.parser.get_method().decode("ascii"),
                target=self._url.decode("latin-1"),
                version=self.parser.get_http_version(),
                headers=tuple(self._headers),
                keep_alive=self.parser.should_keep_alive(),
            )
        )

    def on_body(self, body: bytes) -> None:
        self.queue.append(body)

    def on_message_complete(self) -> None:
        self.queue.append(None)


class RequestReader:
    """Reads one request after the other from a wire."""

    def __init__(self, wire: Wire, *, head_limit: int = HEAD_LIMIT) -> None:
        self._wire = wire
        self._head_limit = head_limit
        self._error: BadRequest | None = None
        self._head_bytes = 0
        self._rest = b""  # received, not yet parsed
        self._in_body = False
        self._start_parser()

    def _start_parser(self) -> None:
        self._events = _Events()
        self._parser = self._events.parser = httptools.HttpRequestParser(self._events)

    @property
    def pending(self) -> bool:
        """Whether the next request has begun: some of it was read already."""
        return bool(self._events.queue or self._rest or self._events.in_head or self._in_body or self._error)

    async def head(self) -> Head | None:
        """The next request head; None when the client closed instead of sending one. What is left of a body is read over.

        Raises:
            BadRequest: what came is no HTTP/1.1 request.
            ClientGone: the connection ended in the middle of the head, or was reset.
        """
        while self._in_body:
            await self.piece()
        item = await self._next(may_end=True)
        if item is None:
            return None
        assert isinstance(item, Head)
        self._in_body = True
        return item

    async def piece(self) -> bytes:
        """The next piece of the body, b"" at its end. Raises BadRequest, ClientGone."""
        if not self._in_body:
            return b""
        item = await self._next(may_end=False)
        if item is None:
            self._in_body = False
            return b""
        assert isinstance(item, bytes)
        return item

    async def read(self, collector: BodyCollector) -> Body:
        """The whole body, into ``collector``. Raises BadRequest, ClientGone."""
        while piece := await self.piece():
            collector.add(piece)
        return collector.body()

    def tail(self) -> bytes:
        """After CONNECT: the bytes that came behind the head and are no HTTP for us."""
        rest, self._rest = self._rest, b""
        return rest

    async def _next(self, *, may_end: bool) -> Head | bytes | None:
        while not self._events.queue:
            if self._error is not None:
                raise self._error
            if not self._rest:
                self._rest = await self._wire.receive()
            if not self._rest:
                if may_end and not self._events.in_head:
                    return None
                raise ClientGone("fin")
            self._feed()
        return self._events.queue.popleft()

    def _feed(self) -> None:
        piece, self._rest = self._rest[:_SLICE], self._rest[_SLICE:]
        events = self._events
        queued, begun = len(events.queue), events.begun
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(piece[upgrade.args[0] :] + self._rest)
        except httptools.HttpParserError as error:
            self._error = BadRequest(400, f"not an HTTP/1.1 request: {error}")
        if not self._events.in_head:
            self._head_bytes = 0
            return
        if events.begun == begun:
            self._head_bytes += len(piece)  # all of it belongs to the head that was under way
        elif len(events.queue) == queued:
            self._head_bytes = len(piece)  # which it begins
        else:
            self._head_bytes = events.head_size  # behind other requests: what is surely its own
        if self._head_bytes > self._head_limit:
            self._error = BadRequest(431, f"a request head of more than {self._head_limit} bytes")

    def _upgraded(self, rest: bytes) -> None:
        """The parser stops at CONNECT and at ``Upgrade``. We change to no other protocol, so an ``Upgrade`` is an ordinary
        request (RFC 9110, 7.8), whose body, if it has one, the parser has not read: a head made for the purpose brings it there.
        """
        queue = self._events.queue
        head = next(item for item in reversed(queue) if isinstance(item, Head))
        self._rest = rest
        if head.method == "CONNECT":
            return
        self._start_parser()
        if head.has_body:
            queue.pop()  # its end, which is not there yet
            length = head.header("content-length")
            if not head.chunked and length is None:
                queue.pop()
                coding = head.header("transfer-encoding")
                self._error = BadRequest(
                    400, f"a body in the coding {coding!r}, whose end nobody can find (RFC 9112, 6.3)"
                )
            else:
                framing = "Transfer-Encoding: chunked" if head.chunked else f"Content-Length: {length}"
                self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode("latin-1"))
            self._events.queue.clear()
        queue.extend(self._events.queue)
        self._events.queue = queue


# -- answers -----------------------------------------------------------------------------------------------------------


def render(answer: Answer, *, close: bool = False, head_only: bool = False) -> bytes:
    """One whole response: head, blank line, body. ``head_only`` for HEAD. A header ``Transfer-Encoding: chunked`` in the answer
    sends the body in chunks.
    """
    payload = answer.payload()
    headers = {"Content-Type": answer.content_type, **answer.headers}
    chunked = "chunked" in headers.get("Transfer-Encoding", "")
    if bodiless(answer.status):
        headers.pop("Content-Type")
        payload = b""
    elif not chunked:
        headers["Content-Length"] = str(len(payload))
    if close:
        headers["Connection"] = "close"
    lines = [
        f"HTTP/1.1 {answer.status} {reason(answer.status)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    if head_only or bodiless(answer.status):
        return head
    return head + (b"".join(chunks(payload)) if chunked else payload)


def chunks(payload: bytes, size: int = 1 << 14) -> Iterator[bytes]:
    """A body in the chunked coding (RFC 9112, 7.1), its last chunk included."""
    for at in range(0, len(payload), size):
        piece = payload[at : at + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def bodiless(status: int) -> bool:
    """Whether a response of this status never has a body (RFC 9112, 6.3)."""
    return status < 200 or status in (204, 304)


def reason(status: int) -> str:
    """The reason phrase; empty for a status that has none."""
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


async def refuse(wire: Wire, status: int, text: str) -> None:
    """Answer a request that cannot be read, and close in good order. A client that is gone already is left alone."""
    answer = Answer(status=status, raw=(text + "\n").encode(), content_type="text/plain; charset=utf-8")
    try:
        await wire.send(render(answer, close=True))
    except ClientGone:
        wire.close()
        return
    await wire.finish()
