"""A gateway behind a real Toxiproxy server, and clients that tell exactly what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from machineid_conformance.gateway.gateway import Gateway
from machineid_conformance.isolation.api import Destination
from machineid_conformance.toxics.find import PROGRAM, Toxiproxy, opened
from machineid_conformance.toxics.gate import Gate
from machineid_conformance.toxics.route import refuses
from tests.gateway._support import AUTHORITY, KEY, RecordingDirector, Scene, StubWorld, target, trusting

needs_toxiproxy = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not on PATH; .ci/tools installs it"
)
"""Skips, with the remedy; CI installs the server and allows no skip."""


@contextlib.contextmanager
def server(*, port: int | None = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Toxiproxy server of the test's own: its URL and its process."""
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    command = [PROGRAM, "-host", "127.0.0.1", "-port", str(port)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            while refuses("127.0.0.1", port):  # until it listens: nobody tells
                assert process.poll() is None
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()


CONTROL = {
    "https": Destination(host="198.18.0.1", port=443),
    "http": Destination(host="198.18.0.1", port=80),
    "other": Destination(host="198.18.0.7", port=80),
}


@dataclass
class Toxic(Scene):
    """``gate`` is None where the fake control plane delivers the faults itself."""

    toxiproxy: Toxiproxy
    gate: Gate | None


@asynccontextmanager
async def served(*, by: str = "toxiproxy", proxy: bool = False) -> AsyncIterator[Toxic]:
    """A gateway for the length of a test, in real time. An error in one of its connections fails the test."""
    errors: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    async with opened() as toxiproxy, asyncio.timeout(60):
        gate = await Gate.open(toxiproxy) if by == "toxiproxy" else None
        world, director = StubWorld(None if proxy else CONTROL), RecordingDirector()
        director.pace = 1.0
        gateway = Gateway(
            world=world, director=director, authority=AUTHORITY, target=target(), instance=1,
            default_device=lambda: "worker:01", org_keys=lambda: {KEY: "current"}, gate=gate,
        )  # fmt: skip
        director.settle = gateway.settle
        gateway.restarted()
        serving = asyncio.create_task(gateway.serve())
        await asyncio.wait({serving}, timeout=0)  # until it accepts
        try:
            yield Toxic(world, director, gateway, toxiproxy, gate)
        finally:
            await gateway.close()
            await serving
            if gate is not None:
                await gate.close()
            world.shut()
    assert errors == []


@dataclass(frozen=True)
class Seen:
    """What a client read, how the connection ended, after how many seconds each read came."""

    data: bytes
    how: str
    at: tuple[float, ...]


class Client:
    """A client whose TLS runs over memory: what the socket itself says (FIN, RST) is not lost in a library's words for it."""

    def __init__(self, sock: socket.socket, *, tls: bool) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trusting().wrap_bio(self._incoming, self._outgoing, server_hostname="machineid.io") if tls else None
        while self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                sock.sendall(self._outgoing.read())
                self._incoming.write(sock.recv(65536))
            else:
                break

    def send(self, data: bytes) -> None:
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        self._sock.sendall(data)

    def receive(self) -> bytes:
        """What one read of the socket brought; b"" after a FIN. Raises ConnectionResetError, TimeoutError."""
        while True:
            data = self._sock.recv(65536)
            if self._tls is None or not data:
                return data
            self._incoming.write(data)
            plain = b""
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while piece := self._tls.read(65536):
                    plain += piece
            if plain:
                return plain


def see(port: int, data: bytes, *, tls: bool, patience: float = 20.0, until: int | None = None) -> Seen:
    """Send a request and read until the connection ends, ``until`` bytes came, or nothing came for ``patience`` seconds."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            client = Client(sock, tls=tls)
            sock.settimeout(patience)
            client.send(data)
            return _read(client, until)
    except ConnectionResetError:  # who resets what he has just accepted may do so before connect or send has returned
        return Seen(b"", "reset", ())


def _read(client: Client, until: int | None) -> Seen:
    began = time.monotonic()
    got, at = b"", list[float]()
    while until is None or len(got) < until:
        try:
            piece = client.receive()
        except ConnectionResetError:
            return Seen(got, "reset", tuple(at))
        except TimeoutError:
            return Seen(got, "silent", tuple(at))
        at.append(time.monotonic() - began)
        if not piece:
            return Seen(got, "fin", tuple(at))
        got += piece
    return Seen(got, "enough", tuple(at))
