"""A data port on a real socket, on either event loop, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from fake_control_plane.serving.addresses import bind
from fake_control_plane.serving.data_port import DataPort
from fake_control_plane.serving.journal import Entry
from fake_control_plane.serving.limits import Limits
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.tls import Certificates

PATIENCE = 30.0
"""Seconds after which a test that waits for an event has failed."""

Loop = Callable[[], asyncio.AbstractEventLoop]
on_both_loops = pytest.mark.parametrize(
    "loop", [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
)


def run(loop: Loop, test: Coroutine[Any, Any, None]) -> None:
    """The test to its end. What the loop would only log (an error in a callback) fails it."""
    complaints: list[dict[str, Any]] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
        async with asyncio.timeout(PATIENCE):
            await test

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(watched())
    assert not complaints, complaints


@dataclass(frozen=True, kw_only=True)
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        self.reader = reader
        self.writer = writer
        self.key = key

    def post(self, operation: str, device: str, *, more: str = "") -> bytes:
        """A request about a device."""
        body = json.dumps({"deviceId": device}).encode()
        head = (
            f"POST /api/v1/devices/{operation} HTTP/1.1\r\nHost: fake\r\nx-org-key: {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}\r\n"
        )
        return head.encode() + body

    def chunked(self, device: str) -> bytes:
        """A validate that only the slow path takes."""
        body = json.dumps({"deviceId": device}).encode()
        head = f"POST /api/v1/devices/validate HTTP/1.1\r\nHost: fake\r\nx-org-key: {self.key}\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    def get(self, path: str, *, method: str = "GET") -> bytes:
        return f"{method} /api/v1/{path} HTTP/1.1\r\nHost: fake\r\nx-org-key: {self.key}\r\n\r\n".encode()

    def send(self, *requests: bytes) -> None:
        self.writer.write(b"".join(requests))

    async def response(self, *, head_only: bool = False) -> Response:
        """The next response. Raises IncompleteReadError where the connection ends."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if head_only else int(headers.get("content-length", "0"))
        return Response(status=int(first.split()[1]), headers=headers, body=await self.reader.readexactly(length))

    async def ask(self, request: bytes) -> Response:
        self.send(request)
        return await self.response()

    async def rest(self) -> bytes:
        """All bytes until the end."""
        return await self.reader.read()

    def close(self) -> None:
        self.writer.transport.abort()


@dataclass(frozen=True, kw_only=True)
class Running:
    service: Service
    port: DataPort
    org: str
    key: str
    clients: list[Client]

    async def connect(self, *, tls: ssl.SSLContext | None = None, name: str = "localhost") -> Client:
        reader, writer = await asyncio.open_connection(
            *self.port.address, ssl=tls, server_hostname=name if tls else None, limit=1 << 24
        )
        client = Client(reader, writer, self.key)
        self.clients.append(client)
        return client

    def calls(self) -> list[Entry]:
        """What the journal has of clients."""
        return [entry for entry in self.service.journal.since(0).entries if entry.kind == "call"]

    async def journaled(self, count: int) -> list[Entry]:
        """The calls, once there are so many."""
        while len(calls := self.calls()) < count:
            await self.service.journal.grown(self.service.journal.last)
        return calls


@asynccontextmanager
async def serving(
    *,
    devices: tuple[str, ...] = ("allowed", "revoked"),
    cap: int = 2000,
    limits: Limits | None = None,
    tls: Certificates | None = None,
    service: Service | None = None,
) -> AsyncIterator[Running]:
    """A service with one org, whose device ``revoked`` is, behind a data port."""
    service = service or Service(layers=frozenset({"tcp", "tls"}))
    org = service.add_org(cap=cap)
    service.register(org.id, devices)
    if "revoked" in devices:
        service.revoke(org.id, ["revoked"])
    port = DataPort(service, bind("127.0.0.1", 0, option="--port"), tls=tls, limits=limits)
    await port.open()
    clients: list[Client] = []
    try:
        yield Running(service=service, port=port, org=org.id, key=org.key, clients=clients)
    finally:
        for client in clients:
            client.close()
        await port.close(within=0)


def refused(address: tuple[str, int]) -> bool:
    """Whether a connect is refused at this moment."""
    with socket.socket() as sock:
        return sock.connect_ex(address) != 0
