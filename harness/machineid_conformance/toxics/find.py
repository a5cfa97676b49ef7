"""Where the Toxiproxy server is: at ``TOXIPROXY_URL``, on PATH, or in a container. What is started here is ended here."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from machineid_conformance.toxics.route import RouteError, Upstream
from machineid_conformance.toxics.server import NEEDED, Server, Toxic, ToxiproxyError

PROGRAM = "toxiproxy-server"
IMAGE = "ghcr.io/shopify/toxiproxy:2.12.0"
DEFAULT_PORT = 8474
START_WITHIN = 20.0
"""Real seconds until a server that was started answers; a container's image may have to be unpacked."""
BETWEEN_LOOKS = 0.02
TRIES = 3
"""How often another port is tried: one that was free may be taken before the server has it."""

REMEDIES = f"""\
--faults toxiproxy needs a Toxiproxy server on this machine. One of:
  - put {PROGRAM} on PATH: a release from https://github.com/Shopify/toxiproxy/releases, or
    `go install github.com/Shopify/toxiproxy/v2/cmd/server@latest`, whose program is called `server`: rename it
  - start one on this machine and say where: TOXIPROXY_URL=http://127.0.0.1:{DEFAULT_PORT}
  - have docker on PATH and its engine running: {IMAGE} is started (TOXIPROXY_IMAGE names another)"""


class ToxiproxyUnavailable(Exception):  # noqa: N818 -- what is the case
    """No server that could be used: says which was tried, why not, and the remedies. Exit code 2."""


@dataclass(frozen=True, kw_only=True)
class Toxiproxy:
    """A server that was seen to work, and the address of ours to which its proxies lead."""

    server: Server
    upstream: Upstream
    origin: str
    """Where it was found, for a person."""

    @property
    def described(self) -> str:
        """``Toxiproxy 2.12.0 (toxiproxy-server on PATH)``."""
        return f"Toxiproxy {self.server.version} ({self.origin})"


@asynccontextmanager
async def opened(environment: Mapping[str, str] | None = None) -> AsyncIterator[Toxiproxy]:
    """A working server, for as long as this is entered. ``environment`` is this process's own by default.

    Raises:
        ToxiproxyUnavailable: none could be found or started, or it is too old, or not on this machine.
    """
    own = os.environ if environment is None else environment
    async with AsyncExitStack() as stack:
        if url := own.get("TOXIPROXY_URL"):
            server = await _at(url, stack)
            origin = f"TOXIPROXY_URL={url}"
        elif program := shutil.which(PROGRAM, path=own.get("PATH")):
            server = await _start(stack, lambda port: (program, "-host", "127.0.0.1", "-port", str(port)))
            origin = f"{PROGRAM} on PATH"
        elif docker := shutil.which("docker", path=own.get("PATH")):
            image = own.get("TOXIPROXY_IMAGE") or IMAGE
            server = await _start(stack, lambda port: container_command(docker, image, port))
            origin = f"container of {image}"
        else:
            raise ToxiproxyUnavailable(f"no Toxiproxy server was found.\n{REMEDIES}")
        upstream = stack.enter_context(Upstream())
        await _prove(server, upstream, origin)
        yield Toxiproxy(server=server, upstream=upstream, origin=origin)


def container_command(docker: str, image: str, port: int) -> tuple[str, ...]:
    """A container on this machine's own network: each proxy listens on a port of its own, which nobody could publish beforehand."""
    name = f"machineid-conformance-toxiproxy-{secrets.token_hex(4)}"
    options = ("--rm", "--init", "--network", "host", "--name", name)
    return (docker, "run", *options, image, "-host=127.0.0.1", f"-port={port}")


async def _at(url: str, stack: AsyncExitStack) -> Server:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or DEFAULT_PORT
    except ValueError as error:
        raise ToxiproxyUnavailable(f"TOXIPROXY_URL={url}: {error}; expected http://HOST:PORT") from error
    if parts.scheme != "http" or host is None or parts.path not in ("", "/"):
        raise ToxiproxyUnavailable(f"TOXIPROXY_URL={url} is not the address of an API; expected http://HOST:PORT")
    server = _server(host, port, stack)
    if not await server.ask(server.answers):
        raise ToxiproxyUnavailable(f"nothing answers as Toxiproxy at TOXIPROXY_URL={url}.\n{REMEDIES}")
    return server


def _server(host: str, port: int, stack: AsyncExitStack) -> Server:
    try:
        server = Server(host, port)
    except ToxiproxyError as error:
        raise ToxiproxyUnavailable(str(error)) from error
    stack.callback(server.close)
    return server


async def _start(stack: AsyncExitStack, command: Callable[[int], tuple[str, ...]]) -> Server:
    """Start it on a free port and wait until its API answers; it ends when ``stack`` is left, or with this process."""
    said = ""
    for _ in range(TRIES):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        words = command(port)
        server = _server("127.0.0.1", port, stack)
        log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 -- the stack closes it
        guard = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "machineid_conformance.toxics.guard", *words),
            stdin=subprocess.PIPE, stdout=log, stderr=log,
        )  # fmt: skip
        stack.push_async_callback(_end, guard)
        if await _answers(server, guard):
            return server
        await _end(guard)
        said = _tail(log)
        if "address already in use" not in said:
            break
    shown = " ".join(words[:2] if "docker" in words[0] else words[:1])
    raise ToxiproxyUnavailable(f"{shown} did not start: {said or 'it said nothing'}\n{REMEDIES}")


async def _answers(server: Server, guard: asyncio.subprocess.Process) -> bool:
    """Whether it does before it ends, in good time. Nobody tells when a port is listened on, so it is looked at again and again."""
    ending = asyncio.ensure_future(guard.wait())
    try:
        async with asyncio.timeout(START_WITHIN):
            while not ending.done():
                if await server.ask(server.answers):
                    return True
                await asyncio.wait([ending], timeout=BETWEEN_LOOKS)
    except TimeoutError:
        pass
    finally:
        ending.cancel()
    return False


async def _end(guard: asyncio.subprocess.Process) -> None:
    assert guard.stdin is not None
    guard.stdin.close()
    await guard.wait()


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="backslashreplace").strip()[-1000:]


async def _prove(server: Server, upstream: Upstream, origin: str) -> None:
    """Let bytes through it once, and set every toxic that is needed: what is missing is said now, not in the middle of a run."""
    if server.too_old:
        oldest = "2.2.0, the first with the toxic reset_peer"
        raise ToxiproxyUnavailable(
            f"Toxiproxy {server.version} ({origin}) is too old; expected {oldest} or later.\n{REMEDIES}"
        )
    try:
        proxy = await server.ask(server.create, f"machineid-conformance-probe-{secrets.token_hex(4)}", upstream.address)
        try:
            (await upstream.route(proxy.host, proxy.port)).close()
            for name in NEEDED:
                attribute = {"latency": "latency", "limit_data": "bytes"}.get(name, "timeout")
                await server.ask(server.set_toxic, proxy, Toxic(type=name, attributes={attribute: 1}))
        finally:
            await server.ask(server.destroy, proxy)
    except RouteError as error:
        raise ToxiproxyUnavailable(
            f"Toxiproxy {server.version} ({origin}) is not on this machine's network: {error}. Its proxies must listen on this machine's "
            "loopback and reach it: run it on this machine, a container with `--network host`."
        ) from error
    except ToxiproxyError as error:
        raise ToxiproxyUnavailable(
            f"Toxiproxy {server.version} ({origin}) cannot be used: {error}.\n{REMEDIES}"
        ) from error
