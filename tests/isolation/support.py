"""What the tests of the isolation share: worlds, a tiny internet inside them, and a script run to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

from machineid_conformance.isolation import namespace, proxy
from machineid_conformance.isolation.api import (
    AllGone,
    ConnectRefused,
    DatagramSeen,
    FileTouched,
    MainExited,
    OutputChunk,
    World,
    WorldSpec,
)
from machineid_conformance.isolation.spawn import Spawner

LIMIT = 60.0  # seconds; nothing takes so long, but a busy machine may keep a world waiting


def require(condition: object, reason: str) -> None:
    """Skip with a reason what this machine cannot show; where everything must be shown, that is an error."""
    if condition:
        return
    if os.environ.get("MACHINEID_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program that the test needs."""
    path = shutil.which(name)
    require(path, f"{name} is not installed")
    assert path is not None
    return path


@dataclass
class Place:
    """Folders and a CA on the host. ``root`` is not below the working folder."""

    root: Path
    authority: trustme.CA
    cwd: Path
    pem: Path
    worlds: int = 0

    def spec(self, **fields: Any) -> WorldSpec:
        self.worlds += 1
        folder = self.root / f"world-{self.worlds}"
        folder.mkdir()
        given = {"folder": folder, "cwd": self.cwd, "command": (sys.executable,), "authority": self.pem, **fields}
        return WorldSpec(**given)


@contextlib.contextmanager
def place() -> Iterator[Place]:
    root = Path(tempfile.mkdtemp(prefix="iso-"))
    try:
        (root / "cwd").mkdir()
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(root / "ca.pem"))
        yield Place(root=root, authority=authority, cwd=root / "cwd", pem=root / "ca.pem")
    finally:
        shutil.rmtree(root)


@contextlib.asynccontextmanager
async def opened(spec: WorldSpec, mode: str = "namespace", spawner: Spawner | None = None) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        if spawner is None:
            spawner = await Spawner.start()
            stack.push_async_callback(spawner.close)
        module = namespace if mode == "namespace" else proxy
        world = await module.open_world(spec, spawner=spawner)
        stack.push_async_callback(world.close)
        yield world


@dataclass
class Seen:
    """Everything that a world told."""

    events: list[Any] = field(default_factory=list)

    def output(self, stream: str = "stdout") -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, OutputChunk) and e.stream == stream)

    @property
    def exited(self) -> MainExited:
        (event,) = [e for e in self.events if isinstance(e, MainExited)]
        return event

    @property
    def touched(self) -> list[tuple[str, str]]:
        return [(e.path, e.how) for e in self.events if isinstance(e, FileTouched)]

    @property
    def refused(self) -> list[ConnectRefused]:
        return [e for e in self.events if isinstance(e, ConnectRefused)]

    @property
    def datagrams(self) -> list[DatagramSeen]:
        return [e for e in self.events if isinstance(e, DatagramSeen)]

    async def until(self, world: World, kind: type[Any], **fields: Any) -> Any:
        """Take events until one is of this kind and has these values."""
        async with asyncio.timeout(LIMIT):
            async for event in world.events():
                self.events.append(event)
                if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
                    return event
        raise AssertionError(f"the world ended before {kind.__name__} {fields}; seen: {self.events}")

    async def until_output(self, world: World, text: bytes, stream: str = "stdout") -> None:
        """Take events until the stream holds this text."""
        async with asyncio.timeout(LIMIT):
            while text not in self.output(stream):
                await self.until(world, OutputChunk)


def base_environment(world: World) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        **world.environment,
    }


async def run(world: World, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Seen:
    """Start a command and take everything until nothing of it is left."""
    await world.start(command=command, environment=base_environment(world) if environment is None else environment)
    seen = Seen()
    await seen.until(world, AllGone)
    return seen


async def run_python(world: World, script: str, environment: Mapping[str, str] | None = None) -> Seen:
    return await run(world, [sys.executable, "-c", script], environment)


ADDRESS = "198.18.7.7"


class Internet:
    """Answers for all the world: every name is 198.18.7.7, port 443 speaks TLS, every HTTP request gets 200 and ``{}``."""

    def __init__(self, world: World, authority: trustme.CA) -> None:
        self.world = world
        self.arrived: list[tuple[str, int, bytes]] = []  # host, port, first bytes (after TLS)
        self.names: list[str] = []
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("api.example", "machineid.io").configure_cert(self._tls)
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._accepting = [*world.listeners, *([world.control_listener] if world.control_listener else [])]

    async def __aenter__(self) -> Self:
        for listener in self._accepting:
            self._loop.add_reader(listener, self._accept, listener)
        if self.world.dns is not None:
            self._loop.add_reader(self.world.dns, self._answer_name)
        return self

    async def __aexit__(self, *_: object) -> None:
        for listener in self._accepting:
            self._loop.remove_reader(listener)
        if self.world.dns is not None:
            self._loop.remove_reader(self.world.dns)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Accept what waits, and serve it to its end: the target is gone, so it has one."""
        for listener in self._accepting:
            self._accept(listener)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                accepted, _ = listener.accept()
                task = self._loop.create_task(self._serve(accepted))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _serve(self, accepted: socket.socket) -> None:
        destination = self.world.destination(accepted)
        assert destination is not None
        accepted.setblocking(False)
        reader = asyncio.StreamReader()
        tls = self._tls if destination.port == 443 else None
        try:
            transport, protocol = await self._loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader), accepted, ssl=tls
            )
        except (OSError, ssl.SSLError):
            self.arrived.append((destination.host, destination.port, b""))
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        try:
            first = await reader.read(4096)
            self.arrived.append((destination.host, destination.port, first))
            if b" HTTP/1." in first:
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                )
                await writer.drain()
        except OSError:
            pass  # the target is gone
        finally:
            transport.abort() if asyncio.current_task().cancelling() else transport.close()  # type: ignore[union-attr]

    def _answer_name(self) -> None:
        assert self.world.dns is not None
        query, client = self.world.dns.recvfrom(4096)
        labels, offset = [], 12
        while query[offset]:
            labels.append(query[offset + 1 : offset + 1 + query[offset]].decode())
            offset += 1 + query[offset]
        self.names.append(".".join(labels))
        question = query[12 : offset + 5]
        is_a = question[-3] == 1
        answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04" + socket.inet_aton(ADDRESS) if is_a else b""
        head = query[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if is_a else b"\x00\x00") + b"\x00\x00\x00\x00"
        self.world.dns.sendto(head + question + answer, client)
