"""Connections that lead out of this process, through a Toxiproxy server, and back into it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from dataclasses import dataclass
from typing import Self

TOKEN_SIZE = 16
PATIENCE = 10.0
"""Real seconds that a connection over loopback may take; longer means that the server is stuck."""


class RouteError(Exception):
    """No connection through the server: says where it ended."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """Two non-blocking sockets: what is sent to one comes out of the other, if no toxic is in the way."""

    near: socket.socket
    far: socket.socket

    def close(self) -> None:
        """Give both back."""
        self.near.close()
        self.far.close()


class Upstream:
    """The address to which every proxy leads. Only who says a token that we gave out comes in: any process can connect to it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._expected: dict[bytes, asyncio.Future[socket.socket]] = {}
        self._arriving: dict[asyncio.Task[None], socket.socket] = {}
        self._loop.add_reader(self._listener, self._accept)

    @property
    def address(self) -> str:
        """``host:port``."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    async def route(self, host: str, port: int) -> Route:
        """A route through the proxy that listens there.

        Raises:
            RouteError: it does not listen, or does not lead here.
        """
        token = secrets.token_bytes(TOKEN_SIZE)
        arrived: asyncio.Future[socket.socket] = self._loop.create_future()
        self._expected[token] = arrived
        near = _socket()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._loop.sock_connect(near, (host, port))
                await self._loop.sock_sendall(near, token)
                return Route(near=near, far=await arrived)
        except (OSError, TimeoutError) as error:
            near.close()
            why = "nothing came out of it" if isinstance(error, TimeoutError) else str(error)
            raise RouteError(f"no connection through Toxiproxy's proxy at {host}:{port}: {why}") from error
        except BaseException:
            near.close()
            raise
        finally:
            del self._expected[token]

    def close(self) -> None:
        """Stop listening."""
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task, far in self._arriving.items():
            task.cancel()
            far.close()  # a task that never began would not

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was gone before it was accepted
            far, _ = self._listener.accept()
            task = self._loop.create_task(self._arrive(far))
            self._arriving[task] = far
            task.add_done_callback(self._arriving.pop)

    async def _arrive(self, far: socket.socket) -> None:
        """Read the token and nothing behind it, and hand the connection to who waits for it."""
        _prepare(far)
        token, given = b"", False
        try:
            async with asyncio.timeout(PATIENCE):
                while len(token) < TOKEN_SIZE and (data := await self._loop.sock_recv(far, TOKEN_SIZE - len(token))):
                    token += data
            waiting = self._expected.get(token)
            if waiting is not None and not waiting.done():
                waiting.set_result(far)
                given = True
        except (OSError, TimeoutError):
            pass  # whoever waits for it says so
        finally:
            if not given:
                far.close()


def refuses(host: str, port: int) -> bool:
    """Whether a connect to an address of this machine is refused. Blocks: on loopback the kernel answers within microseconds."""
    try:
        socket.create_connection((host, port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    _prepare(sock)
    return sock


def _prepare(sock: socket.socket) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
