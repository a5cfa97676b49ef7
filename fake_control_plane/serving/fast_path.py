"""One connection of plain HTTP on the event loop's transport: whole small requests, answered as they come, in their order.

It takes what is plain (``heads``) and has no fault. At the first thing that is not, the connection goes to the slow path for good:
with every byte that was not taken yet, and after every answer before was handed to the kernel.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from typing import Protocol, cast

from fake_control_plane.api import Request
from fake_control_plane.faults.api import Receipt
from fake_control_plane.http1 import render
from fake_control_plane.serving.entries import Round
from fake_control_plane.serving.heads import END, Heads, PlainHead
from fake_control_plane.serving.rendering import Prepared, marked
from fake_control_plane.serving.service import Served, Service
from fake_control_plane.serving.standing import Standing
from fake_control_plane.serving.turns import REQUESTS, Turns

Ruled = tuple[Request, Served]
"""A request and what it is to get."""

_AT_ONCE = 1 << 16
"""Bytes of answers that are gathered before they are written: then the client has to take some first."""


class Port(Protocol):
    """What a connection knows of its port."""

    service: Service
    heads: Heads
    prepared: Prepared
    turns: Turns

    def begin(self) -> Round:
        """The round of the event loop in which requests are read now; its answers are sent at its end."""

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send answers at the end of the round, when the journal of their calls is in its file."""

    def deliver(self) -> None:
        """End the round now, and send its answers."""

    def opened(self, connection: FastPath) -> None:
        """A connection was accepted."""

    def over(self, connection: FastPath) -> None:
        """A connection has ended, or went to the slow path."""

    def take(self, sock: socket.socket, unread: bytes, first: Ruled | None) -> None:
        """Go on with a connection on the slow path; ``first`` was ruled on already."""


class FastPath(asyncio.Protocol):
    """``since``: when it became quiet, or its incomplete request began, on ``time.monotonic`` in seconds."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._transport: asyncio.Transport
        self._unread = b""
        self._leaving = False
        self._waiting = False  # for its turn: nothing more is read until then
        self._first: Ruled | None = None
        self.full = False
        """Whether the client does not take its answers: nothing more is read until it does."""
        self.since = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether a request is incomplete, or an answer is not taken yet."""
        return bool(self._unread) or self.full

    def close(self) -> None:
        """End it when all that was written is taken."""
        self._port.deliver()
        self._transport.close()

    def abort(self) -> None:
        """End it now."""
        self._transport.abort()

    # -- what the event loop calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self._port.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ended by whomever, or handed over."""
        del exc
        self._port.over(self)
        if self._first is not None:  # it never came to the slow path
            _, served = self._first
            gone = Receipt(
                delivered=False,
                evidence="the client closed first",
                ending="gave-up",
                waited=time.monotonic() - served.began,
            )
            self._port.service.settle(served, gone)

    def eof_received(self) -> bool:
        """The client will send nothing more: all that it sent is answered, so the transport may close."""
        self._port.deliver()
        return self._leaving  # the slow path sees the FIN again

    def pause_writing(self) -> None:
        """Too much is written and not taken: nothing more is read until it is."""
        self.full = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """What was written is taken."""
        # Not now: asyncio's transport, which calls this, would close once more what is handed over in here.
        asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self.full = False
        if self._transport.is_closing():
            return
        if self._leaving:
            self._hand_over()
            return
        if not self._waiting:
            self._transport.resume_reading()
            self._serve()

    def data_received(self, data: bytes) -> None:
        """Some bytes: nearly always one whole request, and one that came before."""
        if self._unread or self._leaving:
            self._unread += data
            if not self._leaving:
                self._serve()
            return
        port = self._port
        self.since = (port.service.journal.round or port.begin()).began
        standing = port.heads.validates.get(data)
        if standing is not None:
            decided = port.service.validate(standing)
            if type(decided) is tuple:
                before, behind = port.prepared[decided[0]]
                port.send(self._transport, before + decided[1].encode() + behind)
                return
            if isinstance(decided, Served):
                at = data.index(END) + len(END)
                head = port.heads.read(data[:at])
                assert head is not None  # or the request would not be known
                self._first = (_request(head, data[at:]), decided)
                self.leave()
                return
        self._unread = data
        self._serve()

    # -- requests ------------------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Answer what is there: some of it now, the rest when it is this connection's turn again."""
        if self._unread and not self.full and not self._waiting and self._serve_some():
            self._waiting = True
            self._transport.pause_reading()
            self._port.turns.later(self._take_turn)

    def _take_turn(self) -> None:
        self._waiting = False
        if self.full or self._leaving or self._transport.is_closing():
            return
        self._serve()
        if not (self._waiting or self.full or self._leaving):
            self._transport.resume_reading()

    def _serve_some(self) -> bool:
        """Answer whole requests, ``REQUESTS`` of them, up to ``_AT_ONCE`` bytes of answers. Whether there may be more of them."""
        data, port = self._unread, self._port
        began = time.monotonic()
        answers: list[bytes] = []
        size = at = 0
        plain = whole = True
        while size < _AT_ONCE and at < len(data) and len(answers) < REQUESTS:
            end = data.find(END, at) + len(END)
            if end < len(END) and len(data) - at <= port.heads.limit:
                whole = False
                break
            head = port.heads.read(data[at:end]) if end >= len(END) else None
            if head is None:
                plain = False
                break
            stop = end + head.length
            if stop > len(data):
                whole = False
                break
            answer = self._answer(head, data[at:stop], end - at)
            at = stop
            if answer is None:
                plain = False
                break
            answers.append(answer)
            size += len(answer)
        if at:
            self._unread = data[at:]
            self.since = began
        if answers:
            port.send(self._transport, answers[0] if len(answers) == 1 else b"".join(answers))
        if not plain:
            self.leave()
        return plain and whole and at < len(data)

    def _answer(self, head: PlainHead, whole: bytes, body_at: int) -> bytes | None:
        """The whole response to a whole request; None when a fault is due, which is the slow path's."""
        port = self._port
        decided = None
        if head.validates and (standing := self._standing(head, whole, body_at)) is not None:
            decided = port.service.validate(standing)
            if type(decided) is tuple:
                before, behind = port.prepared[decided[0]]
                return before + decided[1].encode() + behind
        request = _request(head, whole[body_at:])
        served = decided if isinstance(decided, Served) else port.service.call(request)
        if served.fault is not None:
            self._first = (request, served)
            return None
        port.service.settle(served)
        return render(marked(served.answer))

    def _standing(self, head: PlainHead, whole: bytes, body_at: int) -> Standing | None:
        """What is known of this validate, if its body is ordinary."""
        heads = self._port.heads
        found = heads.validates.get(whole)
        if found is None and (device := ordinary_device(whole[body_at:])) is not None:
            found = Standing(head.key, device)
            heads.keep(whole, found)
        return found

    # -- handing over --------------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Go to the slow path, as soon as the kernel has all that was written."""
        if self._leaving or self._transport.is_closing():
            return
        self._leaving = True
        self._port.deliver()
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(high=0)  # now resume_writing means that nothing is left
        if not self._transport.get_write_buffer_size():
            self._hand_over()

    def _hand_over(self) -> None:
        """A second descriptor keeps the connection when the transport closes its own."""
        if self._transport.is_closing():
            return
        descriptor = os.dup(self._transport.get_extra_info("socket").fileno())
        self._transport.abort()
        first, self._first = self._first, None
        self._port.take(socket.socket(fileno=descriptor), self._unread, first)


def _request(head: PlainHead, body: bytes) -> Request:
    return Request(method=head.method, target=head.target, headers=head.headers, body=body, host=head.host)


def ordinary_device(body: bytes) -> str | None:
    """The device of an ordinary body; None leaves the body to ``api.parse``, which says what is wrong with it."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    device = value.get("deviceId") if type(value) is dict else None
    if type(device) is str and len(device) <= _ORDINARY and device.isascii() and " " < device[:1] < "\x7f":
        return device
    return None


_ORDINARY = 256
