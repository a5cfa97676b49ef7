"""Refused connects through Toxiproxy: its proxy is down and the world's listener shut, and each is seen to be so."""

from __future__ import annotations

import asyncio
import socket
import subprocess

import pytest

from fake_control_plane import faults
from fake_control_plane.faults.api import ListenerFault
from fake_control_plane.wire import Wire
from machineid_conformance.toxics.find import opened
from machineid_conformance.toxics.gate import Gate
from machineid_conformance.toxics.route import RouteError
from machineid_conformance.toxics.server import Server, ToxiproxyError
from machineid_conformance.trace.events import ConnectionClosed
from tests.gateway._support import http, validate
from tests.toxics.support import needs_toxiproxy, see, served, server
from tests.toxics.test_tunnel import pair

pytestmark = needs_toxiproxy


def test_down_and_up_again() -> None:
    async def script() -> None:
        async with asyncio.timeout(30), opened() as toxiproxy:
            gate = await Gate.open(toxiproxy)
            assert gate.refused() is None
            gate.refuse(True)
            shown = gate.refused()
            assert shown is not None
            assert "is disabled" in shown
            target, accepted = pair()
            with target, accepted:
                assert await gate.tunnel(Wire(accepted)) is None
                gate.refuse(False)
                assert gate.refused() is None
                wire = await gate.tunnel(Wire(accepted))
                assert wire is not None
                await wire.send(b"back")
                assert target.recv(4) == b"back"
                wire.close()
            await gate.close()

    asyncio.run(script())


def test_a_port_that_was_taken_meanwhile_costs_nothing_but_the_port() -> None:
    async def script() -> None:
        async with asyncio.timeout(30), opened() as toxiproxy:
            gate = await Gate.open(toxiproxy)
            gate.refuse(True)
            shown = gate.refused()
            assert shown is not None
            port = int(shown.rpartition("127.0.0.1:")[2].split()[0])
            with socket.create_server(("127.0.0.1", port)):
                assert gate.refused() is None  # somebody listens there: this is no receipt
                gate.refuse(False)
                target, accepted = pair()
                with target:
                    wire = await gate.tunnel(Wire(accepted))
                    assert wire is not None
                    wire.close()
            await gate.close()

    asyncio.run(script())


def test_a_proxy_that_is_said_to_be_down_and_accepts_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "enable", lambda *_: None)

    async def script() -> None:
        async with asyncio.timeout(30), opened() as toxiproxy:
            gate = await Gate.open(toxiproxy)
            with pytest.raises(ToxiproxyError, match=r"is disabled, and 127\.0\.0\.1:[0-9]+ accepts"):
                gate.refuse(True)
            await gate.close()

    asyncio.run(script())


def test_in_proxy_isolation_the_receipt_names_the_proxy_that_is_down() -> None:
    fault = faults.make("refuse", {})
    assert isinstance(fault, ListenerFault)

    def connect(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(b"CONNECT machineid.io:443 HTTP/1.1\r\nHost: machineid.io:443\r\n\r\n")
            return sock.recv(65536)

    async def script() -> None:
        async with served(proxy=True) as scene:
            assert scene.gate is not None
            assert (await scene.client(connect, scene.port())).startswith(b"HTTP/1.1 200 ")
            scene.director.refusal = fault
            scene.gate.refuse(True)
            assert (await scene.client(connect, scene.port())).startswith(b"HTTP/1.1 502 ")
            ((_, _, evidence),) = scene.director.receipts
            assert "is disabled" in evidence
            assert "502" in evidence

    asyncio.run(script())


def test_only_the_control_plane_goes_through_it() -> None:
    """An effect is answered while the proxy is down, and no connection of its was ever made to it."""

    async def script() -> None:
        async with served() as scene:
            assert scene.gate is not None
            scene.gate.refuse(True)
            other = await scene.client(lambda: see(scene.port("other"), http("GET", "a.example"), tls=False))
            assert other.data.startswith(b"HTTP/1.1 200 ")
            control = await scene.client(lambda: see(scene.port("http"), validate(), tls=False))
            assert (control.data, control.how) == (b"", "reset")
            assert scene.director.calls == []
            closed = scene.director.of(ConnectionClosed)[-1]
            assert (closed.by, closed.how) == ("harness", "reset")

    asyncio.run(script())


def test_a_server_that_ends_in_the_middle_is_an_error_and_no_verdict() -> None:
    async def script(url: str, process: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(30), opened({"TOXIPROXY_URL": url}) as toxiproxy:
            gate = await Gate.open(toxiproxy)
            process.kill()
            process.wait()
            target, accepted = pair()
            with target, accepted:
                with pytest.raises(RouteError, match="no connection through Toxiproxy's proxy"):
                    await gate.tunnel(Wire(accepted))
                with pytest.raises(ToxiproxyError, match="did not disable the proxy"):
                    gate.refuse(True)
            await gate.close()

    with server() as (url, process):
        asyncio.run(script(url, process))
