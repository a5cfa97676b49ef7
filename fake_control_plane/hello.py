"""What a TLS client says first, read without a TLS library: the name it wants and the protocols it offers.

The certificate, the ALPN refusal and the cut handshake all have to be decided before the handshake begins, so the
ClientHello (RFC 8446, 4.1.2) is read from the bytes that are still waiting.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

HANDSHAKE_RECORD = 0x16
_CLIENT_HELLO = 1
_SERVER_NAME = 0  # RFC 6066, 3
_ALPN = 16  # RFC 7301, 3.1
_LIMIT = 1 << 16
_EXTENSION = struct.Struct("!HH")  # its kind, and the length of its body
_CUT = "a ClientHello that ends in the middle of a field"

NO_APPLICATION_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"
"""A fatal alert 120 as one plaintext record: the answer of RFC 7301, 3.2 to a client whose protocols we do not speak."""


@dataclass(frozen=True, kw_only=True)
class Hello:
    """``server_name`` is lower case, None without SNI. ``protocols`` is empty when the client sent no ALPN."""

    server_name: str | None
    protocols: tuple[str, ...]

    @property
    def only_http2(self) -> bool:
        """Whether this client would not accept HTTP/1.1."""
        return "h2" in self.protocols and "http/1.1" not in self.protocols


def parse_hello(data: bytes) -> Hello | None:
    """The ClientHello at the start of ``data``, or None while it is incomplete.

    Raises:
        ValueError: these bytes are no ClientHello.
    """
    message = bytearray()
    rest = data
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[1:4], "big"):
        if len(rest) < 5:
            return None
        if rest[0] != HANDSHAKE_RECORD or rest[1] != 3:
            raise ValueError(
                f"a TLS record of type {rest[0]}, version {rest[1]}.{rest[2]}; expected a handshake record"
            )
        length = int.from_bytes(rest[3:5], "big")
        if len(rest) < 5 + length:
            return None
        message += rest[5 : 5 + length]
        rest = rest[5 + length :]
        if len(message) > _LIMIT or (message and message[0] != _CLIENT_HELLO):
            raise ValueError("a TLS handshake that does not begin with a ClientHello")
    return _read(_Bytes(bytes(message[4 : 4 + int.from_bytes(message[1:4], "big")])))


def _read(hello: _Bytes) -> Hello:
    hello.take(2 + 32)  # legacy_version, random
    hello.vector(1)  # legacy_session_id
    hello.vector(2)  # cipher_suites
    hello.vector(1)  # legacy_compression_methods
    name: str | None = None
    protocols: list[str] = []
    for kind, body in _extensions(hello.vector(2) if hello.left() else b""):
        if kind == _SERVER_NAME and body:
            names = _Bytes(_Bytes(body).vector(2))
            if names.take(1) == b"\x00":
                name = names.vector(2).decode("ascii", "backslashreplace").lower()
        elif kind == _ALPN:
            offered = _Bytes(_Bytes(body).vector(2))
            while offered.left():
                protocols.append(offered.vector(1).decode("latin-1"))
    return Hello(server_name=name, protocols=tuple(protocols))


def _extensions(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and body of each; a browser's hello has some twenty."""
    at = 0
    while at < len(data):
        if at + _EXTENSION.size > len(data):
            raise ValueError(_CUT)
        kind, length = _EXTENSION.unpack_from(data, at)
        begin, at = at + _EXTENSION.size, at + _EXTENSION.size + length
        if at > len(data):
            raise ValueError(_CUT)
        yield kind, data[begin:at]


class _Bytes:
    """A cursor over TLS presentation language: fixed fields, and vectors with their length before them."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise ValueError(_CUT)
        return self._data[start : self._at]

    def vector(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width), "big"))
