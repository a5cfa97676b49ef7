from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fake_control_plane.certificates import Authority
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.hello import parse_hello
from fake_control_plane.wire import HandshakeFailed, Wire
from tests.fake_control_plane.serving.ports import on_both_loops

AUTHORITY = Authority()


Script = Callable[[Wire, socket.socket], Awaitable[None]]


def on_wire(script: Script, loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
    """A connected pair on loopback: our wire, and the client's blocking socket."""

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), timeout=10)
            accepted, _ = listener.accept()
        wire = Wire(accepted)
        try:
            async with asyncio.timeout(10):
                await script(wire, client)
        finally:
            wire.close()
            client.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=AUTHORITY.pem.decode())
    return context


async def secure(wire: Wire, client: socket.socket, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Both sides of a handshake."""

    def shake() -> ssl.SSLSocket:
        return (context or client_context()).wrap_socket(client, server_hostname="machineid.io")

    shaking = asyncio.create_task(asyncio.to_thread(shake))
    await wire.client_hello()
    await wire.start_tls(AUTHORITY.context_for("machineid.io"))
    return await shaking


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@on_both_loops
def test_a_reset_right_behind_bytes_is_seen_after_them(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """libuv tells of both at once, and never again: a server that saw the bytes alone would wait for the client for ever."""

    async def script(wire: Wire, client: socket.socket) -> None:
        waiting = asyncio.create_task(wire.finish())
        await asyncio.sleep(0)
        assert wire.idles()
        client.sendall(b"more")
        reset(client)
        await waiting
        assert wire.ending == "reset"
        assert wire.received == 4

    on_wire(script, loop)


def test_bytes_then_fin() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        client.sendall(b"abc")
        assert await wire.peek(2) == b"abc"
        assert await wire.receive() == b"abc"
        wire.unread(b"c")
        assert await wire.receive() == b"c"
        client.close()
        assert await wire.receive() == b""
        assert await wire.receive() == b""
        assert wire.ending == "fin"

    on_wire(script)


def test_a_reset_is_told_from_a_fin() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        reset(client)
        with pytest.raises(ClientGone) as gone:
            await wire.receive()
        assert gone.value.how == "reset"

    on_wire(script)


def test_our_reset_is_a_reset() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        wire.reset()
        wire.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)

    on_wire(script)


def test_watching_for_the_client_loses_no_bytes() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        client.sendall(b"the next request")
        assert await wire.client_gone(0.01) is None
        watching = asyncio.create_task(wire.gone())
        client.sendall(b" and more")
        while wire.received < 25:
            await asyncio.wait({watching}, timeout=0.001)
        watching.cancel()
        assert await wire.receive() == b"the next request and more"
        client.close()
        assert await wire.gone() == "fin"

    on_wire(script)


def test_a_look_wakes_who_waits_for_the_same_bytes() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        receiving = asyncio.create_task(wire.receive())
        await asyncio.wait({receiving}, timeout=0.001)
        client.sendall(b"abc")
        assert wire.look() == 3
        assert await receiving == b"abc"

    on_wire(script)


def test_watching_takes_in_no_more_than_it_may() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        client.setblocking(False)
        watching = asyncio.create_task(wire.gone())
        sent = 0
        while wire.received < 1 << 18:
            try:
                sent += client.send(b"x" * 65536)
            except BlockingIOError:
                await asyncio.wait({watching}, timeout=0.001)
        await asyncio.wait({watching}, timeout=0.01)
        assert wire.received < (1 << 18) + 65536
        client.setblocking(True)
        await asyncio.to_thread(reset, client)
        taken = 0
        # The reset stands behind what the kernel still holds, which may be more than is looked ahead.
        with contextlib.suppress(ClientGone):
            while wire.ending != "fin":
                taken += len(await wire.receive())
        assert taken == wire.received <= sent
        assert await watching == "reset"

    on_wire(script)


def test_sending_to_one_who_has_left() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(ClientGone) as gone:
            await wire.send(b"late")
        assert gone.value.how == "fin"
        await wire.send(b"all the same", half_closed=True)
        assert client.recv(100) == b"all the same"

    on_wire(script)


def test_sending_more_than_the_kernel_takes() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        data = bytes(range(256)) * 40_000

        def read() -> bytes:
            got = b""
            while len(got) < len(data):
                got += client.recv(1 << 20)
            return got

        reading = asyncio.create_task(asyncio.to_thread(read))
        await wire.send(data)
        assert await reading == data

    on_wire(script)


def test_half_close_then_reading_goes_on() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        wire.half_close()
        assert client.recv(1) == b""
        client.sendall(b"still")
        assert await wire.receive() == b"still"
        with pytest.raises(ClientGone):
            await wire.send(b"x")
        client.close()
        await wire.finish()
        assert wire.closed

    on_wire(script)


def test_closing_wakes_who_waits() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        receiving = asyncio.create_task(wire.receive())
        watching = asyncio.create_task(wire.gone())
        await asyncio.wait({receiving}, timeout=0.001)
        wire.close()
        assert await receiving == b""
        assert await watching == "reset"

    on_wire(script)


def test_tls_carries_bytes_and_a_close_notify() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        sock = await secure(wire, client)
        sock.sendall(b"hello")
        assert await wire.receive() == b"hello"
        await wire.send(b"x" * 200_000)
        got = 0
        while got < 200_000:
            got += len(await asyncio.to_thread(sock.recv, 65536))
        wire.half_close()
        assert await asyncio.to_thread(sock.recv, 1) == b""
        sock.close()
        assert await wire.receive() == b""

    on_wire(script)


def test_a_refused_certificate_is_an_alert() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        def shake() -> None:
            with pytest.raises(ssl.SSLCertVerificationError):
                ssl.create_default_context().wrap_socket(client, server_hostname="machineid.io")

        shaking = asyncio.create_task(asyncio.to_thread(shake))
        hello = await wire.client_hello()
        assert (hello.server_name, hello.protocols) == ("machineid.io", ())
        with pytest.raises(HandshakeFailed) as failed:
            await wire.start_tls(AUTHORITY.context_for("machineid.io"))
        assert (failed.value.how, failed.value.detail, failed.value.about_certificate) == (
            "tls-alert",
            "unknown_ca",
            True,
        )
        await shaking

    on_wire(script)


@pytest.mark.parametrize(("end", "how"), [(socket.socket.close, "fin"), (reset, "reset")])
def test_leaving_during_the_handshake(end: Callable[[socket.socket], Any], how: str) -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        half = client_context().wrap_bio(down, up, server_hostname="machineid.io")
        with pytest.raises(ssl.SSLWantReadError):
            half.do_handshake()
        client.sendall(up.read())
        await wire.client_hello()
        shaking = asyncio.create_task(wire.start_tls(AUTHORITY.context_for("machineid.io")))
        await asyncio.to_thread(client.recv, 65536)
        end(client)
        with pytest.raises(HandshakeFailed) as failed:
            await shaking
        assert failed.value.how == how

    on_wire(script)


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x16\x02\x00\x00\x01\x00", b"\x17\x03\x03\x00\x01x"]
)
def test_what_is_no_client_hello(data: bytes) -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        client.sendall(data)
        with pytest.raises(HandshakeFailed) as failed:
            await wire.client_hello()
        assert failed.value.how == "protocol"

    on_wire(script)


def test_a_client_hello_byte_by_byte_and_in_several_records() -> None:
    context = client_context()
    context.set_alpn_protocols(["h2"])
    up = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), up, server_hostname="Some.Host.example").do_handshake()
    record = up.read()
    for length in range(len(record)):
        assert parse_hello(record[:length]) is None
    hello = parse_hello(record)
    assert hello is not None
    assert (hello.server_name, hello.protocols, hello.only_http2) == ("some.host.example", ("h2",), True)
    message = record[5:]
    split = b"".join(
        b"\x16\x03\x01" + struct.pack("!H", len(part)) + part for part in (message[:3], message[3:90], message[90:])
    )
    assert parse_hello(split) == hello


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_who_has_no_time_to_wait_is_told_of_an_end_that_has_arrived(how: str) -> None:
    """Else a fault would believe that a client which is gone has seen it."""

    async def script(wire: Wire, client: socket.socket) -> None:
        client.sendall(b"abc")
        assert await wire.client_gone(0) is None
        if how == "reset":
            reset(client)
        else:
            client.shutdown(socket.SHUT_WR)
        assert await wire.client_gone(0) == how

    on_wire(script)


def test_it_idles_while_the_next_step_is_the_clients() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        assert not wire.idles()  # nobody has come to it yet
        reading = asyncio.ensure_future(wire.receive())
        await asyncio.sleep(0)
        assert wire.idles()
        client.sendall(b"abc")
        while not wire.stirs():
            pass
        assert not wire.idles()  # it has come, and nobody has read it
        assert await reading == b"abc"
        assert not wire.idles()  # who read it has something to do with it
        going = asyncio.ensure_future(wire.gone())
        await asyncio.sleep(0)
        assert wire.idles()
        client.close()
        assert await going == "fin"
        assert not wire.idles()
        wire.close()
        assert wire.idles()

    on_wire(script)


def test_it_does_not_idle_before_the_client_has_taken_all_that_it_is_sent() -> None:
    async def script(wire: Wire, client: socket.socket) -> None:
        sending = asyncio.ensure_future(wire.send(bytes(50_000_000)))
        reading = asyncio.ensure_future(wire.receive())
        await asyncio.wait((sending,), timeout=0.2)
        assert not sending.done()
        assert not wire.idles()
        reading.cancel()
        sending.cancel()

    on_wire(script)
