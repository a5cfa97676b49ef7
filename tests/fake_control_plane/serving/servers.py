"""Servers on real sockets for the tests: in this event loop, or as the process that a user starts."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from fake_control_plane.client import AsyncClient
from fake_control_plane.serving.server import Opened, Server, Settings


@dataclass(frozen=True, kw_only=True)
class Running:
    """``client`` talks to the admin port of ``server``."""

    server: Server
    opened: Opened
    client: AsyncClient


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Running]:
    """A server in this event loop, until the block ends."""
    server = Server(Settings(**settings))
    opened = await server.open()
    try:
        async with AsyncClient(opened.admin_url, token=settings.get("token")) as client:
            yield Running(server=server, opened=opened, client=client)
    finally:
        await server.close()


def with_server(test: Callable[[Running, httpx.AsyncClient], Awaitable[None]], **settings: Any) -> None:
    """Run a test in the event loop of a server, with a bare HTTP client of its admin port. ``verify``: as in ``Client._settings``."""

    async def go() -> None:
        async with (
            running(**settings) as server,
            httpx.AsyncClient(base_url=server.opened.admin_url, trust_env=False, verify=False, timeout=30) as http,
        ):
            await test(server, http)

    asyncio.run(go())


@contextmanager
def process(*arguments: str) -> Iterator[dict[str, Any]]:
    """``fake-control-plane serve`` on free ports, until the block ends; what it says when it is ready, and its ``pid``."""
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "fake_control_plane.cli", "serve", "--port", "0", "--admin-port", "0"]
    server = subprocess.Popen(
        [*command, "--ready-fd", str(writing), *arguments], pass_fds=[writing], stdout=subprocess.DEVNULL
    )
    os.close(writing)
    try:
        with os.fdopen(reading, encoding="utf-8") as ready:
            line = ready.readline()
        assert line, f"serve ended with {server.wait(30)} before it was ready"
        yield {**json.loads(line), "pid": server.pid}
        server.terminate()
        assert server.wait(30) == 0
    finally:
        if server.poll() is None:
            server.kill()
            server.wait(30)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Files of this process cannot grow beyond so many bytes: write fails as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
