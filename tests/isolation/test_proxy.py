"""Proxy isolation: clients that honour proxy variables arrive at the world's one listener, with the CA accepted."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from machineid_conformance.isolation.api import World
from tests.isolation.support import opened, place, program, require, run

PYTHON = {
    "requests": "import requests; print(requests.post('https://api.example/x', data=b'1').status_code)",
    "httpx": "import httpx; print(httpx.post('https://api.example/x', content=b'1').status_code)",
    "urllib": "import urllib.request as u; print(u.urlopen('https://api.example/x', data=b'1').status)",
}
NODE = {
    "fetch": "fetch('https://api.example/x', {method: 'POST', body: '1'}).then(r => console.log(r.status))",
    "https.request": """
const r = require('https').request('https://api.example/x', {method: 'POST'}, a => { a.resume(); console.log(a.statusCode); });
r.end('1');
""",
    "keep-alive agent": """
const https = require('https');
const agent = new https.Agent({keepAlive: true});
https.get({host: 'api.example', path: '/x', agent}, a => {
  a.resume();
  a.on('end', () => { console.log(a.statusCode); agent.destroy(); });
});
""",
}


@contextlib.asynccontextmanager
async def connect_proxy(
    world: World, authority: trustme.CA, status: str = "200 OK", *, tls: bool = True
) -> AsyncIterator[list[str]]:
    """CONNECT, TLS, one request, 200: as the gateway does it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.example").configure_cert(context)
    heads: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            heads.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
            writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            if status.startswith("200"):
                if tls:
                    await writer.start_tls(context)
                heads.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode())
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, sock=socket.socket(fileno=socket.dup(world.listeners[0].fileno())))
    try:
        yield heads
    finally:
        server.close()
        await asyncio.gather(*tasks, return_exceptions=True)


def arrive(command: list[str]) -> None:
    async def go() -> None:
        async with opened(here.spec(), "proxy") as world, connect_proxy(world, here.authority) as heads:
            seen = await run(world, command)
            assert (seen.output().split()[:1], seen.exited.code) == ([b"200"], 0), seen.output("stderr").decode()
            assert heads[0].startswith("CONNECT api.example:443 HTTP/1.")
            assert heads[1].split()[1] == "/x"

    with place() as here:
        asyncio.run(go())


@pytest.mark.parametrize("client", PYTHON)
def test_python_clients_arrive(client: str) -> None:
    require(importlib.util.find_spec(client), f"{client} is not installed")
    arrive([sys.executable, "-c", PYTHON[client]])


@pytest.mark.parametrize("client", NODE)
def test_node_clients_arrive(client: str) -> None:
    arrive([program("node"), "-e", NODE[client]])


@pytest.mark.parametrize(
    "script",
    [
        "fetch('http://api.example/x').then(r => console.log(r.status))",
        "require('http').get('http://api.example/x', a => { a.resume(); console.log(a.statusCode); })",
        """
const s = require('net').connect(80, 'api.example', () => console.log('connected'));
s.write('GET /x HTTP/1.1\\r\\n\\r\\n'); s.on('data', d => console.log(String(d).split(' ')[1]));
""",
    ],
    ids=["fetch", "http.get", "net.connect"],
)
def test_plain_node_connections_are_led_by_a_tunnel(script: str) -> None:
    node = program("node")

    async def go() -> None:
        async with opened(here.spec(), "proxy") as world, connect_proxy(world, here.authority, tls=False) as heads:
            seen = await run(world, [node, "-e", script])
            assert (seen.output().split()[-1:], seen.exited.code) == ([b"200"], 0), seen.output("stderr").decode()
            assert heads == ["CONNECT api.example:80 HTTP/1.1", "GET /x HTTP/1.1"]

    with place() as here:
        asyncio.run(go())


def test_a_node_client_sees_a_refusal_of_the_proxy_as_a_failed_connect() -> None:
    node = program("node")

    async def go() -> None:
        async with (
            opened(here.spec(), "proxy") as world,
            connect_proxy(world, here.authority, "502 Bad Gateway"),
        ):
            seen = await run(
                world, [node, "-e", "fetch('https://api.example/x').catch(e => console.log(e.cause.code))"]
            )
            assert seen.output() == b"ECONNREFUSED\n", seen.output("stderr")

    with place() as here:
        asyncio.run(go())


def test_curl_and_wget_arrive() -> None:
    arrive([program("curl"), "-s", "-o", "/dev/null", "-w", "%{http_code}", "https://api.example/x"])
    wget = program("wget")
    arrive(["sh", "-c", f"{wget} -q -O /dev/null https://api.example/x && echo 200"])


def test_a_jvm_arrives(tmp_path: Path) -> None:
    java = program("java")
    program("javac")
    source = tmp_path / "Get.java"
    source.write_text(
        "import java.net.*; public class Get { public static void main(String[] a) throws Exception {"
        ' System.out.println(((HttpURLConnection) new URL("https://api.example/x").openConnection()).getResponseCode()); } }'
    )
    arrive([java, str(source)])


def test_the_world_says_what_it_cannot_do() -> None:
    async def go() -> None:
        async with opened(here.spec(), "proxy") as world:
            assert (world.mode, world.control_listener, world.dns, len(world.listeners)) == ("proxy", None, None, 1)
            world.refuse_control(True)
            with socket.create_connection(world.listeners[0].getsockname()):
                accepted, _ = world.listeners[0].accept()
                with accepted:
                    assert world.destination(accepted) is None

    with place() as here:
        asyncio.run(go())
