"""The world's name server (RFC 1035): every name resolves, each to an address of its own, IPv4 only.

An AAAA question gets an answer without records (RFC 4074, 3: so clients go on with A), as does every other type.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

NOERROR, FORMERR, SERVFAIL, NXDOMAIN = 0, 1, 2, 3
A, ANY, INTERNET = 1, 255, 1
_PKTINFO = 8  # IP_PKTINFO, Linux; not in the socket module before Python 3.13
_HEADER = struct.Struct("!6H")


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. ``name`` without the root's dot, ``kind`` is the record type's number."""

    number: int
    name: str
    kind: int
    recursion: bool
    raw: bytes  # the question section, to be repeated in the response


def parse_question(packet: bytes) -> Question | None:
    """The question of a query; None for what is none, or does not hold exactly one.

    Raises:
        ValueError: the packet ends too early.
    """
    if len(packet) < _HEADER.size:
        raise ValueError("a DNS packet shorter than its header")
    number, flags, questions, *_ = _HEADER.unpack_from(packet)
    if flags & 0x8000 or questions != 1:
        return None
    at, labels = _HEADER.size, []
    while True:
        length = packet[at] if at < len(packet) else 255
        if length > 63 or at + 1 + length > len(packet):
            raise ValueError("a DNS name that is cut off")
        at += 1 + length
        if not length:
            break
        labels.append(packet[at - length : at].decode("latin-1"))
    if at + 4 > len(packet):
        raise ValueError("a DNS question that is cut off")
    kind, _ = struct.unpack_from("!HH", packet, at)
    raw = packet[_HEADER.size : at + 4]
    return Question(number=number, name=".".join(labels), kind=kind, recursion=bool(flags & 0x0100), raw=raw)


def response(question: Question, *, code: int, address: str | None = None) -> bytes:
    """The response, with one A record of lifetime 0 if there is an address."""
    flags = 0x8480 | (0x0100 if question.recursion else 0) | code  # response, authoritative, recursion available
    header = _HEADER.pack(question.number, flags, 1, 1 if address else 0, 0, 0)
    record = b""
    if address:
        record = struct.pack("!HHHIH", 0xC000 | _HEADER.size, A, INTERNET, 0, 4) + socket.inet_aton(address)
    return header + question.raw + record


Resolve = Callable[[Question], tuple[int, str | None]]
"""The response code and the address for a question."""


class NameServer:
    """Answers on a bound UDP socket until ``close``. ``refused`` is awaited after each response that said NXDOMAIN was sent."""

    def __init__(self, sock: socket.socket, resolve: Resolve, refused: Callable[[Question], Awaitable[None]]) -> None:
        self._sock = sock
        self._resolve = resolve
        self._refused = refused
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Begin to answer. A question that was sent to another address is answered from that address."""
        self._sock.setblocking(False)
        if self._sock.family == socket.AF_INET:
            self._sock.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
        elif self._sock.family == socket.AF_INET6:
            self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        self._loop.add_reader(self._sock.fileno(), self._arrived)

    def close(self) -> None:
        """Stop; the socket stays its owner's."""
        self._loop.remove_reader(self._sock.fileno())
        for task in self._tasks:
            task.cancel()

    def _arrived(self) -> None:
        while True:
            try:
                packet, ancillary, _, peer = self._sock.recvmsg(4096, 256)
            except OSError:  # nothing more, or the ICMP error of a client that is gone
                return
            try:
                question = parse_question(packet)
            except ValueError:
                continue
            if question is None:
                continue
            code, address = self._resolve(question)
            try:
                self._sock.sendmsg([response(question, code=code, address=address)], _same_source(ancillary), 0, peer)
            except OSError:
                continue  # the client closed its port before the response
            if code == NXDOMAIN:
                task = self._loop.create_task(self._tell(question))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _tell(self, question: Question) -> None:
        await self._refused(question)


def _same_source(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, Any]]:
    """The ancillary data that makes a response leave from the address that the question went to (ip(7), ipv6(7))."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _PKTINFO):
            _, local, _ = struct.unpack("I4s4s", data[:12])
            return [(level, kind, struct.pack("I4s4s", 0, local, b""))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return [(level, kind, data[:16] + struct.pack("I", 0))]
    return []
