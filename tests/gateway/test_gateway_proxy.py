from __future__ import annotations

import asyncio
import socket

import pytest

from fake_control_plane import faults
from fake_control_plane.faults.api import ListenerFault
from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import ConnectionClosed, ConnectionOpened, EffectStarted
from tests.gateway._support import Scene, connected, http, read_all, request, run, trusting, validate


def tunnel(port: int, authority: str, data: bytes, *, server_name: str | None) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        early = data if server_name is None else b""
        sock.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode() + early)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(1)
        if not answer.startswith(b"HTTP/1.1 200 "):
            return answer + read_all(sock)
        if server_name is None:
            return read_all(sock)
        with trusting().wrap_socket(sock, server_hostname=server_name) as secure:
            secure.sendall(data)
            return read_all(secure)


def test_a_tunnel_with_tls_leads_to_the_control_plane() -> None:
    async def script(scene: Scene) -> None:
        answer = await scene.client(
            lambda: tunnel(scene.port(), "machineid.io:443", validate(), server_name="machineid.io")
        )
        assert b'"allowed": true' in answer

    director = run(script)
    assert [call.operation for call in director.calls] == ["validate"]
    assert [(event.host, event.port) for event in director.of(ConnectionOpened)] == [("machineid.io", 443)]


def test_what_comes_right_behind_connect_is_not_lost() -> None:
    async def script(scene: Scene) -> None:
        data = http("GET", "api.example:8080", "/x")
        answer = await scene.client(lambda: tunnel(scene.port(), "api.example:8080", data, server_name=None))
        assert answer.endswith(b"{}")

    (effect,) = run(script).of(EffectStarted)
    assert (effect.host, effect.port, effect.path) == ("api.example", 8080, "/x")


def test_absolute_form() -> None:
    async def script(scene: Scene) -> None:
        data = http("GET", "ignored.example", "http://api.example/a?b=c", close=False)
        data += http("POST", "other.example:81", "http://other.example:81/d")
        answer = await scene.client(request, scene.port(), data)
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert b"allowed" in await scene.client(
            request, scene.port(), validate().replace(b"POST /", b"POST http://machineid.io/")
        )

    director = run(script)
    effects = [(effect.label, effect.path, effect.port) for effect in director.of(EffectStarted)]
    assert effects == [("GET api.example/a", "/a?b=c", 80), ("POST other.example/d", "/d", 81)]
    assert len(director.calls) == 1


@pytest.mark.parametrize("form", ["connect", "absolute"])
def test_a_refused_control_plane_is_a_502(form: str) -> None:
    async def script(scene: Scene) -> None:
        made = faults.make("refuse", {})
        assert isinstance(made, ListenerFault)
        scene.director.refusal = made
        if form == "connect":
            answer = await scene.client(
                lambda: tunnel(scene.port(), "machineid.io:443", b"", server_name="machineid.io")
            )
        else:
            answer = await scene.client(
                request, scene.port(), validate().replace(b"POST /", b"POST http://machineid.io/")
            )
        assert answer.startswith(b"HTTP/1.1 502 ")
        await scene.client(lambda: tunnel(scene.port(), "api.example:80", http("GET", "api.example"), server_name=None))

    director = run(script)
    ((_, connection, evidence),) = director.receipts
    assert connection == 1
    assert "502" in evidence
    assert director.calls == []
    assert len(director.of(EffectStarted)) == 1


@pytest.mark.parametrize("mode", ["namespace", "connect", "absolute"])
def test_the_targets_own_listener_is_inner_traffic(mode: str) -> None:
    async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ninner")
        assert head.startswith(b"GET /in HTTP/1.1\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def script(scene: Scene) -> None:
        server = await asyncio.start_server(answer_all, "127.0.0.1", 0)
        async with server:
            scene.world.inside[7000] = server.sockets[0].getsockname()[1]
            data = http("GET", "localhost:7000", "/in")
            if mode == "namespace":
                answer = await scene.client(request, scene.port("loop"), data)
            elif mode == "connect":
                answer = await scene.client(lambda: tunnel(scene.port(), "localhost:7000", data, server_name=None))
            else:
                data = http("GET", "localhost:7000", "http://localhost:7000/in")
                answer = await scene.client(request, scene.port(), data)
            assert answer.endswith(b"inner")

    places = {"loop": Destination(host="127.0.0.1", port=7000)} if mode == "namespace" else None
    director = run(script, places=places)
    assert director.of(EffectStarted) == []
    if mode != "absolute":
        assert director.events == []


def test_nothing_listens_inside_then_it_is_an_effect() -> None:
    async def script(scene: Scene) -> None:
        await scene.client(request, scene.port("loop"), http("POST", "localhost:7000", "/x"))
        with connected(scene.port("loop")):
            pass
        await scene.director.seen(ConnectionClosed, 2)

    director = run(script, places={"loop": Destination(host="127.0.0.1", port=7000)})
    assert [effect.transport for effect in director.of(EffectStarted)] == ["http"]
