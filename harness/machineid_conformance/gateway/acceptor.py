"""Accepts on listening sockets until closed, and survives a listener that is shut for a while."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from collections.abc import Callable, Iterable

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PATIENCE = 0.05  # real seconds until accept is tried again


class Acceptor:
    """Calls ``accepted`` for each connection, in the order of their arrival on each listener.

    A listener that is to refuse is shut by its world (``World.refuse_control``) and then counts as readable for ever. An edge-
    triggered epoll says so once, and speaks up again with the first connection after it listens again. Where there is no
    epoll, a listener is never shut (proxy isolation).
    """

    def __init__(self, listeners: Iterable[socket.socket], accepted: Callable[[socket.socket], None]) -> None:
        self._listeners = tuple(listeners)
        self._accepted = accepted
        self._loop = asyncio.get_running_loop()
        self._edges: list[select.epoll] = []
        self._open = False

    def open(self) -> None:
        """Begin; connections that wait already are accepted by the next turn of the loop."""
        self._open = True
        for listener in self._listeners:
            listener.setblocking(False)
            if hasattr(select, "epoll"):
                edge = select.epoll()
                edge.register(listener, select.EPOLLIN | select.EPOLLET)
                self._edges.append(edge)
                self._loop.add_reader(edge, self._edge, edge, listener)
            else:
                self._loop.add_reader(listener, self.accept, listener)

    def _edge(self, edge: select.epoll, listener: socket.socket) -> None:
        edge.poll(0)
        self.accept(listener)

    def accept(self, listener: socket.socket) -> None:
        """Take every connection that waits on a listener."""
        while self._open:
            try:
                sock, _ = listener.accept()
            except (ConnectionAbortedError, InterruptedError):
                continue  # it was reset while it waited
            except OSError as error:  # nothing more, the listener is shut, or there are no descriptors left just now
                if error.errno in _EXHAUSTED:
                    self._loop.call_later(_PATIENCE, self.accept, listener)
                return
            self._accepted(sock)

    def accept_all(self) -> None:
        """Take every connection that waits now."""
        for listener in self._listeners:
            self.accept(listener)

    def close(self) -> None:
        """Stop; the listeners stay their owner's."""
        self._open = False
        for edge in self._edges:
            self._loop.remove_reader(edge)
            edge.close()
        if not self._edges:
            for listener in self._listeners:
                self._loop.remove_reader(listener)
        self._edges.clear()
