"""Bytes from one connection to another, both ways, for what is not the gateway's to answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.http1 import CONTINUE, Head, RequestReader, chunks
from fake_control_plane.wire import Wire
from machineid_conformance.gateway.tasks import cancelled

_HOP_BY_HOP = frozenset(
    {"connection", "proxy-connection", "proxy-authorization", "keep-alive", "te", "trailer", "upgrade", "expect",
     "transfer-encoding"}
)  # fmt: skip


async def relay(wire: Wire, upstream: Wire, answered: Callable[[], None] = lambda: None) -> None:
    """Copy until both sides have closed; a FIN is passed on, a reset too. ``answered`` is called at the first byte that
    ``upstream`` sends.
    """  # fmt: skip

    async def from_upstream() -> None:
        data = await upstream.receive()
        if data:
            answered()
        while data:
            await wire.send(data, half_closed=True)
            data = await upstream.receive()
        wire.half_close()

    async def to_upstream() -> None:
        while data := await wire.receive():
            await upstream.send(data, half_closed=True)
        upstream.half_close()

    tasks = [asyncio.ensure_future(from_upstream()), asyncio.ensure_future(to_upstream())]
    try:
        await asyncio.gather(*tasks)
    except ClientGone as gone:
        if gone.how == "reset":
            wire.reset()
            upstream.reset()
    finally:
        await cancelled(*tasks)
        wire.close()
        upstream.close()


async def relay_request(
    wire: Wire,
    upstream: Wire,
    answered: Callable[[], None] = lambda: None,
    *,
    reader: RequestReader,
    head: Head,
    target: str,
) -> None:
    """One absolute-form request, sent on in origin form; its answer ends the connection. Raises ClientGone, BadRequest."""
    lines = [f"{head.method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in head.headers if name not in _HOP_BY_HOP]
    lines += ["connection: close", *(["transfer-encoding: chunked"] if head.chunked else []), "", ""]
    try:
        await upstream.send("\r\n".join(lines).encode("latin-1"))
        if head.expects_continue and head.has_body:
            await wire.send(CONTINUE)
        while piece := await reader.piece():
            await upstream.send(next(chunks(piece, len(piece))) if head.chunked else piece)
        if head.chunked:
            await upstream.send(b"0\r\n\r\n")
        data = await upstream.receive()
        if data:
            answered()
        while data:
            await wire.send(data)
            data = await upstream.receive()
    finally:
        upstream.close()
    await wire.finish()


_LOOPBACK = ("127.0.0.1", "::1")


async def connect(host: str, port: int) -> socket.socket:
    """A connection from the harness itself, for ``passthrough``. Raises OSError.

    A service of this machine may listen on one of loopback's addresses only. A client that was given ``localhost`` tries
    them all; here each of them accepts, so the trying falls to us.
    """
    loop = asyncio.get_running_loop()
    error: OSError = OSError(f"{host} has no address")
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if host in _LOOPBACK:
        (other,) = (address for address in _LOOPBACK if address != host)
        addresses += await loop.getaddrinfo(other, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in addresses:
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as failed:
            sock.close()
            error = failed
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error
