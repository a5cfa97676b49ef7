"""The data port: listens, keeps its connections within bounds, and refuses connects while a fault rule says so.

A listener fault begins and ends with the rule. Connections that are open then are closed, as those of a control plane that went
away would be: kept alive, they would hide the fault from a client's pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import resource
import socket
import time
from collections.abc import Callable

from fake_control_plane.serving.addresses import bound
from fake_control_plane.serving.entries import Round
from fake_control_plane.serving.fast_path import FastPath, Ruled
from fake_control_plane.serving.heads import Heads
from fake_control_plane.serving.limits import Limits
from fake_control_plane.serving.rendering import decisions
from fake_control_plane.serving.service import Change, Service
from fake_control_plane.serving.slow_path import SlowPath
from fake_control_plane.serving.tls import Certificates
from fake_control_plane.serving.turns import Turns
from fake_control_plane.wire import Wire

_SWEEP = 1.0
_BACKLOG = 4096
_AT_ONCE = 16
_ACCEPTING = 0.001
"""Connections, and seconds, of accepting in one turn of the event loop."""

_SPARE_DESCRIPTORS = 128
"""Left to everything that is no connection."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_REST = 0.02
"""Seconds without accepting, where the machine has nothing left to accept with."""


class DataPort:
    """``tls``: the certificates, if it speaks TLS. ``sockets``: bound, not yet listening; the port closes them."""

    def __init__(
        self,
        service: Service,
        sockets: list[socket.socket],
        *,
        tls: Certificates | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.service = service
        self.turns = Turns()
        self.prepared = decisions(service.dialect)
        self._tls = tls
        self._limits = limits or Limits()
        self._staggered = self._limits.staggered()
        self.heads = Heads(self._limits.head_size)
        self._most = max(1, min(self._limits.connections, _descriptors() - _SPARE_DESCRIPTORS))
        self._loop = asyncio.get_running_loop()
        self._owed: list[tuple[asyncio.Transport, bytes]] = []
        self._delivery: asyncio.Handle | None = None
        self._sockets = sockets
        self._addresses = [(sock.family, sock.getsockname()) for sock in sockets]
        self._fast: set[FastPath] = set()
        self._slow: dict[SlowPath, asyncio.Task[None]] = {}
        self._ended = asyncio.Event()  # a connection has
        self._closing = False
        self._beginnings: set[asyncio.Task[None]] = set()
        self._listener_rules = service.listener_rules
        self._sweeping: asyncio.TimerHandle | None = None
        self._unsubscribe = service.subscribe(self._changed)

    @property
    def address(self) -> tuple[str, int]:
        """The first address, and the port."""
        name = self._addresses[0][1]
        return name[0], name[1]

    @property
    def narrow(self) -> str | None:
        """What keeps it from as many connections as its limits allow, for people; None: nothing."""
        if self._most >= self._limits.connections:
            return None
        return (
            f"this process may have {_descriptors()} files open, so that only {self._most} connections are kept instead of "
            f"{self._limits.connections}: raise the hard limit (ulimit -Hn) for more"
        )

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._fast) + len(self._slow)

    async def open(self) -> None:
        """Listen, unless a stored fault rule refuses connects."""
        if self.service.refusing:
            self._shut()
        else:
            self._accept(self._sockets)
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep)

    async def close(self, *, within: float = 5.0) -> None:
        """Stop listening, end quiet connections; the others get their answer, and have so many seconds to take it. Safe to call twice."""
        self._unsubscribe()
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._shut()
        if self._beginnings:
            await asyncio.wait(self._beginnings)
        self._closing = True
        self._retire()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.connections:
                    self._ended.clear()
                    await self._ended.wait()
        for task in self._slow.values():
            task.cancel()
        await asyncio.gather(*self._slow.values(), return_exceptions=True)
        for connection in tuple(self._fast):
            connection.abort()

    # -- listening -----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Bind and listen at once, so that no connect is refused any more.

        Raises:
            OSError: the address was taken in the meantime.
        """
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(bound(family, address)) for family, address in self._addresses]
            self._accept(sockets)
            stack.pop_all()
        self._sockets = sockets

    def _accept(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            sock.setblocking(False)
            sock.listen(_BACKLOG)
        for sock in sockets:
            self._loop.add_reader(sock, self._take_some, sock)

    def _take_some(self, listening: socket.socket) -> None:
        """Accept a few of those that wait. A loop's own server accepts all of them in one turn: in a storm of connects it does nothing
        else.
        """
        until, accepted = time.monotonic() + _ACCEPTING, 0
        while accepted < _AT_ONCE and time.monotonic() < until:
            try:
                sock, _ = listening.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._make_room()
                    self._rest(listening)
                return
            sock.setblocking(False)
            if _is_gone(sock):  # there may be thousands of them before one that waits
                sock.close()
                continue
            accepted += 1
            if self._tls is not None:
                self.take(sock, b"", None)
            else:
                beginning = self._loop.create_task(self._begin(sock))
                self._beginnings.add(beginning)
                beginning.add_done_callback(self._beginnings.discard)
        if self.connections > self._most:
            self._make_room()

    def _rest(self, listening: socket.socket) -> None:
        """Who waits to be accepted keeps the socket readable: the loop would do nothing but try."""
        self._loop.remove_reader(listening)
        self._loop.call_later(_REST, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening, self._take_some, listening)

    async def _begin(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(lambda: FastPath(self), sock)
        except OSError:  # the client is gone already
            sock.close()

    def _shut(self) -> None:
        """Close the listening sockets: a connect is refused, and one that waits to be accepted is reset."""
        sockets, self._sockets = self._sockets, []
        for sock in sockets:
            self._loop.remove_reader(sock)
            sock.close()

    def _changed(self, change: Change) -> None:
        if change.action in ("set-dialect", "set-codes"):
            self.prepared = decisions(self.service.dialect)
        if self._listener_rules != self.service.listener_rules:
            if self.service.refusing:
                self._shut()
            elif not self._sockets:
                self._listen()
            self._listener_rules = self.service.listener_rules
            self._retire()

    # -- connections ---------------------------------------------------------------------------------------------------------

    def opened(self, connection: FastPath) -> None:
        """A connection was accepted."""
        self._fast.add(connection)
        if self.connections > self._most:
            self._make_room()

    def begin(self) -> Round:
        """The round of the event loop in which requests are read now; its answers are sent at its end."""
        if self._delivery is None:
            self._delivery = self._loop.call_soon(self.deliver)
        return self.service.begin()

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send answers at the end of the round: all its calls are journaled with one write, and then answered."""
        self._owed.append((transport, data))
        if self._delivery is None:
            self._delivery = self._loop.call_soon(self.deliver)

    def deliver(self) -> None:
        """End the round now, and send its answers."""
        if self._delivery is None:
            return
        self._delivery.cancel()
        self._delivery = None
        self.service.journal.flush()
        owed, self._owed = self._owed, []
        for transport, data in owed:
            if not transport.is_closing():  # uvloop's would raise an error
                transport.write(data)

    def over(self, connection: FastPath) -> None:
        """A connection has ended, or went to the slow path."""
        self._fast.discard(connection)
        self._ended.set()

    def _slow_is_over(self, slow: SlowPath) -> None:
        del self._slow[slow]
        self._ended.set()

    def take(self, sock: socket.socket, unread: bytes, first: Ruled | None) -> None:
        """Go on with a connection on the slow path; ``first`` was ruled on already."""
        wire = Wire(sock)
        wire.unread(unread)
        limits = self._staggered[sock.fileno() % len(self._staggered)]
        slow = SlowPath(wire, self.service, limits, self.turns, self._tls)
        task = self._slow[slow] = self._loop.create_task(slow.serve(first))
        task.add_done_callback(lambda _: self._slow_is_over(slow))
        if self._closing:
            slow.retire()

    def _retire(self) -> None:
        """End what is quiet now, and the others after their request."""
        for connection in tuple(self._fast):
            connection.close()
        for slow in tuple(self._slow):
            slow.retire()

    def _make_room(self) -> None:
        """Close a sixteenth of the connections: those that were quiet, or had an incomplete request, longest."""
        connections: list[FastPath | SlowPath] = [*self._fast, *self._slow]
        oldest = sorted(connections, key=lambda connection: connection.since)
        for connection in oldest[: max(1, self._most // 16)]:
            connection.abort()

    def _sweep(self) -> None:
        """Once a second: nothing waits longer than the limits say."""
        now = time.monotonic()
        for connection in self._fast:
            if self._overdue(connection, now) is not None:
                self.turns.later(functools.partial(self._end, connection))  # thousands may be, at the same moment
        self._sweeping = self._loop.call_later(_SWEEP, self._sweep)

    def _end(self, connection: FastPath) -> None:
        end = self._overdue(connection, time.monotonic())
        if end is not None:
            end()

    def _overdue(self, connection: FastPath, now: float) -> Callable[[], None] | None:
        """What ends a connection that waits for too long."""
        quiet, limits = now - connection.since, self._limits
        if quiet > limits.answer and connection.full:
            return connection.abort
        if quiet > limits.head and connection.busy:
            return connection.leave  # to where an incomplete request has its limit
        return connection.close if quiet > limits.idle else None


def _is_gone(sock: socket.socket) -> bool:
    """Whether who connected has left already, without a byte."""
    try:
        return sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def _descriptors() -> int:
    """How many files this process may have open, after asking for as many as it can have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
