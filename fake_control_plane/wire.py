"""One accepted connection, byte by byte, with or without TLS.

asyncio's streams hide what the faults and their receipts need: whether the other side closed (FIN), reset (RST) or sent a
TLS alert, a reset of our own, a half-close, a handshake cut in the middle. So this is the bare non-blocking socket. Nothing
is ever lost by cancelling a wait: what comes is read into a buffer, and only while somebody waits for it.

A FIN while an answer is owed counts as the client being gone: no HTTP client library half-closes and reads on, and all of
them close when their timeout ends (RFC 9112, 9.5).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from typing import Literal

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.hello import Hello, parse_hello

How = Literal["fin", "reset", "tls-alert"]

CHUNK = 1 << 16
LOOK_AHEAD = 1 << 18
"""How many bytes of what a client sends early (pipelining) are taken in while its answer is owed."""

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)
_ALERT = re.compile(r"^(?:SSLV3|TLSV1|TLSV13)_ALERT_")
_CERTIFICATE_ALERTS = frozenset(
    {
        "unknown_ca",
        "bad_certificate",
        "certificate_unknown",
        "certificate_expired",
        "unsupported_certificate",
        "decrypt_error",
    }
)


class HandshakeFailed(Exception):  # noqa: N818  (named like ClientGone: what happened)
    """The TLS handshake did not end. ``how``: ``tls-alert`` (theirs), ``fin``, ``reset``, or ``protocol`` (ours: nothing in common).

    ``detail`` is the alert's name (RFC 8446, 6.2), or what OpenSSL says.
    """

    def __init__(self, how: Literal["fin", "reset", "tls-alert", "protocol"], detail: str) -> None:
        super().__init__(f"{how}: {detail}")
        self.how = how
        self.detail = detail

    @property
    def about_certificate(self) -> bool:
        """Whether the client said that it does not accept the certificate."""
        return self.how == "tls-alert" and self.detail in _CERTIFICATE_ALERTS


class Wire:
    """A connected socket. ``receive`` and ``send`` speak through TLS once ``start_tls`` is done. One reader, one writer at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._take_socket(sock)
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()  # received, decrypted, not yet taken
        self._outgoing = bytearray()  # encrypted, not yet accepted by the kernel
        self._ending: How | None = None
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._encrypted = ssl.MemoryBIO()
        self._watched = False  # the loop tells when there is something to read
        # It goes on telling until it is asked not to. libuv, on which uvloop stands, tells of a reset once: of what was sent before it the
        # first piece would be read, and of the reset itself nobody would hear any more.
        self._keeps_telling = isinstance(self._loop, asyncio.SelectorEventLoop)
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []
        self._taken = asyncio.Event()
        self._finished = False
        self._draining = False
        self._closed = False
        self.alert: str | None = None
        """The name of the alert that ended this connection, once there was one."""
        self.received = 0
        """Bytes that came from the socket so far."""

    def _take_socket(self, sock: socket.socket) -> None:
        """Speak on this socket from here on. One that was spoken on before is the caller's to close; nobody may wait on it."""
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        # The loop is given the number: for each file object that it does not know it writes out a repr.
        self._fd = sock.fileno()

    # -- state ---------------------------------------------------------------------------------------------------------

    @property
    def secure(self) -> bool:
        """Whether TLS is in use."""
        return self._tls is not None

    @property
    def ending(self) -> How | None:
        """How the other side ended the connection, as far as that has been seen."""
        return self._ending

    @property
    def closed(self) -> bool:
        """Whether the socket was given back."""
        return self._closed

    def look(self) -> int:
        """Take in what is waiting, without waiting; how many bytes can now be received."""
        while not self._closed and self._ending is None and len(self._buffer) < LOOK_AHEAD and self._read_once():
            pass
        return len(self._buffer)

    def stirs(self) -> bool:
        """Whether the client has ended, or something of it was not yet received; nothing is taken."""
        return self._closed or self._ending is not None or bool(self._buffer) or self._has_arrived()

    def idles(self) -> bool:
        """Whether the next step is the client's: somebody here waits for it, all that was sent is away, and nothing has come."""
        waits = any(not reader.done() for reader in self._readers)
        return self._closed or (waits and self._ending is None and not self._outgoing and not self._has_arrived())

    def _has_arrived(self) -> bool:
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def ahead(self) -> bytes:
        """What can be received without waiting; it is not taken."""
        self.look()
        return bytes(self._buffer)

    # -- receiving -----------------------------------------------------------------------------------------------------

    async def receive(self) -> bytes:
        """The next bytes, b"" after a FIN (or a close_notify).

        Raises:
            ClientGone: the connection was reset, or ended by a TLS alert.
        """
        await self._some()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._taken.set()
        return data

    async def peek(self, count: int) -> bytes:
        """At least ``count`` of the next bytes without taking them; fewer when the client sent FIN before. Raises ClientGone."""
        while len(self._buffer) < count and self._ending is None:
            await self._read_on()
        if not self._buffer and self._ending not in (None, "fin"):
            raise ClientGone(self._ending or "reset")
        return bytes(self._buffer)

    def unread(self, data: bytes) -> None:
        """Put bytes back in front of what comes next."""
        self._buffer[:0] = data

    async def gone(self) -> How:
        """Wait until the other side closes. What it sends meanwhile is kept, up to ``LOOK_AHEAD`` bytes."""
        self.look()  # who asks with no time to wait is told of an end that the kernel knows of already
        while self._ending is None and not self._closed:
            if len(self._buffer) >= LOOK_AHEAD:
                self._taken.clear()
                await self._taken.wait()
            await self._read_on()
        return self._ending or "reset"

    async def client_gone(self, within: float) -> How | None:
        """Like ``gone``; None when ``within`` real seconds passed first."""
        try:
            async with asyncio.timeout(within):
                return await self.gone()
        except TimeoutError:
            return None

    async def _some(self) -> None:
        while not self._buffer:
            if self._ending == "fin" or self._closed:
                return
            if self._ending is not None:
                raise ClientGone(self._ending)
            await self._read_on()

    def _read_once(self) -> bool:
        """One read of the socket; False when nothing is there."""
        if self._ending is not None:
            return False  # another waiter saw the end: the kernel tells of a reset once, and then of a FIN
        try:
            data = self._sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            self._ending = "reset"
            self._wake(self._readers)
            return True
        self.received += len(data)
        self._wake(self._readers)  # whoever waits for what was just read would wait in vain
        if _QUICKACK is not None:
            # A client that sends head and body apart without TCP_NODELAY waits for this ACK: 40 ms when it is delayed.
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        if self._draining:
            if not data:
                self._ending = "fin"
        elif self._tls is not None:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()
            self._decrypt(self._tls)
        elif data:
            self._buffer += data
        else:
            self._ending = "fin"
        return True

    def _decrypt(self, tls: ssl.SSLObject) -> None:
        try:
            while True:
                data = tls.read(CHUNK)
                if not data:
                    self._ending = "fin"
                    break
                self._buffer += data
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._ending = "fin"
        except ssl.SSLError as error:
            self._ending, self.alert = "tls-alert", _alert(error)
        self._outgoing += self._encrypted.read()
        self._push()

    # -- sending -------------------------------------------------------------------------------------------------------

    async def send(self, data: bytes, *, half_closed: bool = False) -> None:
        """All bytes, handed to the kernel. ``half_closed``: also to a client that has sent its FIN already.

        Raises:
            ClientGone: it closed or reset the connection.
        """
        self.look()
        view = memoryview(data)
        while True:
            if self._closed or self._finished:
                raise ClientGone(self._ending or "reset")
            if self._ending is not None and not (half_closed and self._ending == "fin"):
                raise ClientGone(self._ending)
            piece, view = view[:CHUNK], view[CHUNK:]
            if self._tls is not None and piece:
                try:
                    self._tls.write(piece)
                except ssl.SSLError:  # the client's end of the TLS stream is closed: it takes no record any more
                    raise ClientGone(self._ending or "reset") from None
                self._outgoing += self._encrypted.read()
            else:
                self._outgoing += piece
            while self._outgoing:
                if not self._push():
                    raise ClientGone(self._ending or "reset")
                if self._outgoing:
                    await self._writable()
            if not view:
                return

    def _push(self) -> bool:
        """Hand to the kernel what it takes now; False when the connection is broken."""
        while self._outgoing:
            try:
                del self._outgoing[: self._sock.send(self._outgoing)]
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                self._ending = "reset" if self._ending in (None, "fin") else self._ending
                return False
        return True

    # -- TLS -----------------------------------------------------------------------------------------------------------

    async def client_hello(self) -> Hello:
        """Wait for the whole ClientHello; it is not taken.

        Raises:
            HandshakeFailed: the client closed before it was whole, or sent something else.
        """
        needed = 1
        while True:
            try:
                data = await self.peek(needed)
            except ClientGone as gone:
                raise HandshakeFailed(gone.how, "before the ClientHello was whole") from None
            try:
                hello = parse_hello(data)
            except ValueError as error:
                raise HandshakeFailed("protocol", str(error)) from None
            if hello is not None:
                return hello
            if self._ending is not None:
                raise HandshakeFailed(self._ending, "before the ClientHello was whole")
            needed = len(data) + 1

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """The server's side of the handshake, with ``context``.

        Raises:
            HandshakeFailed: it did not end; the socket is still ours to close.
        """
        self._incoming.write(bytes(self._buffer))
        self._buffer.clear()
        tls = context.wrap_bio(self._incoming, self._encrypted, server_side=True)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush_handshake()
                if self._ending is not None:
                    raise HandshakeFailed(self._ending, "closed during the handshake") from None
                await self._read_on()
                self._incoming.write(bytes(self._buffer))
                self._buffer.clear()
            except ssl.SSLError as error:
                self._outgoing += self._encrypted.read()
                self._push()
                if _ALERT.match(error.reason or ""):
                    self._ending, self.alert = "tls-alert", _alert(error)
                    raise HandshakeFailed("tls-alert", self.alert) from None
                raise HandshakeFailed("protocol", error.reason or str(error)) from None
            else:
                break
        await self._flush_handshake()
        self._tls = tls
        if self._ending == "fin":
            self._incoming.write_eof()
        self._decrypt(tls)  # what came along with the client's Finished

    async def _flush_handshake(self) -> None:
        self._outgoing += self._encrypted.read()
        while self._outgoing and self._push() and self._outgoing:
            await self._writable()

    # -- ending --------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Close with RST: SO_LINGER with a time of zero throws away what is unsent and sends a reset."""
        with contextlib.suppress(OSError):  # it is closed, or was reset by them
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def half_close(self) -> None:
        """Send close_notify, if there is TLS, and FIN; reading goes on."""
        if self._finished or self._closed:
            return
        self._finished = True
        if self._tls is not None and self._ending != "tls-alert":
            with contextlib.suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()  # it writes its close_notify and does not wait for theirs
            self._outgoing += self._encrypted.read()
        self._push()
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._ending = self._ending or "reset"

    async def finish(self) -> None:
        """Close in good order: FIN, read until the client closes too, give the socket back (RFC 9112, 9.6: else unread bytes
        turn our FIN into a reset, and the client may lose the answer).
        """
        self.half_close()
        self._buffer.clear()
        self._draining = (
            True  # nobody reads it: it is not decrypted, and OpenSSL takes no data any more after close_notify
        )
        try:
            while self._ending is None and not self._closed:
                await self._read_on()
        finally:
            self.close()

    def close(self) -> None:
        """Give the socket back now. Whoever still waits on it is woken and finds it closed. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._watch_no_more()
        if self._writers:
            self._loop.remove_writer(self._fd)
        self._wake(self._readers)
        self._wake(self._writers)
        self._taken.set()
        self._sock.close()

    # -- waiting -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _wake(waiting: list[asyncio.Future[None]]) -> None:
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def _read_on(self) -> None:
        """Wait until more was read, or the end was seen."""
        if not self._closed:
            if not self._watched:
                self._watched = True
                self._loop.add_reader(self._fd, self._readable)
            await self._told(self._readers)
        if self._closed:
            self._ending = self._ending or "reset"  # by us, under whoever still reads it

    def _readable(self) -> None:
        """Stays asked for from one wait to the next. What nobody waits for is left in the socket, where it holds the client back."""
        if self._readers:
            self._read_once()
        if self._ending is not None or not self._readers or not self._keeps_telling:
            self._watch_no_more()

    def _watch_no_more(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._fd)

    async def _writable(self) -> None:
        if self._closed:
            return
        self._loop.add_writer(self._fd, self._wake, self._writers)
        try:
            await self._told(self._writers)
        finally:
            if not self._writers and not self._closed:
                self._loop.remove_writer(self._fd)

    async def _told(self, waiting: list[asyncio.Future[None]]) -> None:
        mine: asyncio.Future[None] = self._loop.create_future()
        waiting.append(mine)
        try:
            await mine
        finally:
            waiting.remove(mine)


def _alert(error: ssl.SSLError) -> str:
    return _ALERT.sub("", error.reason or str(error)).lower()
