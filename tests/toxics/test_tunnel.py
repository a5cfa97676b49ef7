"""The bytes and the ends of a connection that takes a route, through Toxiproxy and past it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.wire import Wire
from machineid_conformance.toxics.find import opened
from machineid_conformance.toxics.gate import Gate
from machineid_conformance.toxics.route import Upstream
from machineid_conformance.toxics.server import Toxic
from machineid_conformance.toxics.tunnel import TunnelledWire
from tests.toxics.support import needs_toxiproxy

pytestmark = needs_toxiproxy
SIZE = 3_000_000


def pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection: the target's, and what its world accepted."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = socket.create_connection(listener.getsockname(), timeout=20)
        accepted, _ = listener.accept()
    return target, accepted


@asynccontextmanager
async def tunnelled() -> AsyncIterator[tuple[Gate, TunnelledWire, socket.socket]]:
    """A gate, a tunnel through it, and the target's end of it."""
    async with asyncio.timeout(60), opened() as toxiproxy:
        gate = await Gate.open(toxiproxy)
        target, accepted = pair()
        wire = await gate.tunnel(Wire(accepted))
        assert wire is not None
        with target:
            try:
                yield gate, wire, target
            finally:
                wire.close()
                await gate.close()


def read_to_the_end(sock: socket.socket) -> tuple[bytes, str]:
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "fin"


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_every_byte_comes_through_both_ways() -> None:
    sent = os.urandom(SIZE)

    async def script() -> None:
        async with tunnelled() as (_, wire, target):
            sending = asyncio.create_task(asyncio.to_thread(target.sendall, sent))
            digest, count = hashlib.sha256(), 0
            while count < SIZE:
                data = await wire.receive()
                digest.update(data)
                count += len(data)
            await sending
            assert digest.digest() == hashlib.sha256(sent).digest()
            assert wire.taken == wire.received == SIZE

            reading = asyncio.create_task(asyncio.to_thread(read_to_the_end, target))
            await wire.send(sent)
            assert wire.passed == wire.given == SIZE  # it is out when `send` returns
            finishing = asyncio.create_task(wire.finish())
            assert await reading == (sent, "fin")
            target.close()
            await finishing
            assert wire.ending in (None, "fin")
            assert wire.cut is None

    asyncio.run(script())


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_what_the_target_does_is_told_as_it_did_it(how: str) -> None:
    """Toxiproxy makes a FIN of an RST; and what came before it is not lost."""

    async def script() -> None:
        async with tunnelled() as (_, wire, target):
            target.sendall(b"last words")
            assert await wire.peek(10) == b"last words"
            target.close() if how == "fin" else reset(target)
            assert await wire.gone() == how
            assert (wire.ending, wire.cut) == (how, None)
            with pytest.raises(ClientGone) as gone:
                await wire.send(b"too late")
            assert gone.value.how == how

    asyncio.run(script())


@pytest.mark.parametrize("how", ["fin", "reset"])
def test_what_we_do_reaches_the_target_as_we_did_it(how: str) -> None:
    async def script() -> None:
        async with tunnelled() as (_, wire, target):
            await wire.send(b"answer")
            finishing = asyncio.create_task(wire.finish()) if how == "fin" else None
            if how == "reset":
                wire.reset()
            assert await asyncio.to_thread(read_to_the_end, target) == (b"answer", how)
            assert (wire.ending, wire.cut) == (None, None)
            target.close()
            if finishing is not None:
                await finishing
            assert wire.closed

    asyncio.run(script())


def test_what_toxiproxy_does_is_neither_the_targets_doing_nor_ours() -> None:
    async def script() -> None:
        async with tunnelled() as (gate, wire, target):
            gate.refuse(True)
            assert await asyncio.to_thread(read_to_the_end, target) == (b"", "fin")
            await wire.until(lambda: wire.over)
            assert (wire.ending, wire.cut) == (None, "fin")

    asyncio.run(script())


def test_a_half_closed_target_is_still_answered_past_toxiproxy() -> None:
    """Through it, it is not: Toxiproxy answers a FIN by closing both ways."""

    async def script() -> None:
        async with tunnelled() as (gate, wire, target):
            await gate.past(wire)
            target.shutdown(socket.SHUT_WR)
            assert await wire.gone() == "fin"
            await wire.send(b"all the same", half_closed=True)
            wire.half_close()
            assert await asyncio.to_thread(read_to_the_end, target) == (b"all the same", "fin")

    asyncio.run(script())


def test_no_byte_is_lost_where_routes_are_changed() -> None:
    """The target goes on sending, and we answering, over many changes."""
    sent = [os.urandom(50_000) for _ in range(20)]

    async def script() -> None:
        async with tunnelled() as (gate, wire, target):
            reading = asyncio.create_task(asyncio.to_thread(read_to_the_end, target))
            sending = asyncio.create_task(asyncio.to_thread(target.sendall, b"".join(sent)))
            receiving = asyncio.create_task(receive(wire, len(sent) * 50_000))
            for piece in sent:
                await wire.send(piece)
                receiving.cancel()  # nobody may wait on the wire while it changes
                await asyncio.wait([receiving])
                await gate.past(wire)
                receiving = asyncio.create_task(receive(wire, len(sent) * 50_000))
            await asyncio.gather(receiving, sending)
            wire.half_close()
            assert (await reading)[0] == b"".join(sent)
            assert bytes(got) == b"".join(sent)

    got = bytearray()

    async def receive(wire: TunnelledWire, size: int) -> None:
        while len(got) < size:
            got.extend(await wire.receive())

    asyncio.run(script())


def test_a_toxic_meets_the_first_byte_after_the_change() -> None:
    async def script() -> None:
        async with tunnelled() as (gate, wire, target):
            await wire.send(b"before")
            poisoned = await gate.poisoned(wire, Toxic(type="reset_peer", attributes={"timeout": 0}))
            await wire.send(b" the change")  # the toxic is set, and not on this route
            await wire.reroute(poisoned.route)
            await wire.give(b"after")
            await wire.until(lambda: wire.over)
            assert wire.cut == "reset"
            assert await asyncio.to_thread(read_to_the_end, target) == (b"before the change", "reset")

    asyncio.run(script())


def test_only_who_knows_a_token_comes_in() -> None:
    async def script() -> None:
        async with asyncio.timeout(20):
            with Upstream() as upstream:
                host, _, port = upstream.address.rpartition(":")
                with socket.create_connection((host, int(port)), timeout=10) as stranger:
                    stranger.sendall(b"0123456789abcdef")
                    assert await asyncio.to_thread(stranger.recv, 1) == b""
                route = await upstream.route(host, int(port))
                route.close()

    asyncio.run(script())
