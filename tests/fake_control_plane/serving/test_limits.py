"""What one client can take of a data port: time, memory, connections."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import struct
import time
from dataclasses import replace
from typing import Any

import pytest

from fake_control_plane.serving.data_port import DataPort
from fake_control_plane.serving.fast_path import FastPath
from fake_control_plane.serving.limits import Limits
from tests.fake_control_plane.serving.ports import PATIENCE, Loop, on_both_loops, run, serving

NEVER = 1000.0


def limits(**given: Any) -> Limits:
    """Only the given limits can pass within a test."""
    never = Limits(idle=NEVER, head=NEVER, body_time=NEVER, answer=NEVER, farewell=NEVER)
    return replace(never, **given)


@on_both_loops
def test_a_quiet_connection_is_closed(loop: Loop) -> None:
    async def test() -> None:
        async with serving(limits=limits(idle=0.05)) as running:
            fast, slow = await running.connect(), await running.connect()
            slow.send(slow.chunked("allowed"))
            assert (await slow.response()).status == 200
            assert await fast.rest() == await slow.rest() == b""

    run(loop, test())


@on_both_loops
def test_a_head_that_does_not_become_complete_is_answered_408(loop: Loop) -> None:
    async def test() -> None:
        async with serving(limits=limits(head=0.05)) as running:
            client = await running.connect()
            client.send(b"POST /api/v1/devices/validate HTTP/1.1\r\nHost: fa")
            answer = await client.response()
            assert (answer.status, answer.json["error"]) == (408, "request_timeout")

    run(loop, test())


@on_both_loops
def test_a_body_that_does_not_become_complete_is_answered_408(loop: Loop) -> None:
    async def test() -> None:
        async with serving(limits=limits(head=0.05, body_time=0.05)) as running:
            for first in (b"", (await running.connect()).chunked("allowed")):
                client = await running.connect()
                client.send(first, client.post("validate", "allowed")[:-1])
                if first:
                    assert (await client.response()).status == 200
                answer = await client.response()
                assert (answer.status, answer.json["error"]) == (408, "request_timeout")

    run(loop, test())


@on_both_loops
def test_a_client_that_takes_no_answers_is_cut_off(loop: Loop) -> None:
    """What is written for it is bounded meanwhile: nothing more is read of it."""

    async def test() -> None:
        devices = tuple(f"device-{number}" for number in range(1000))
        async with serving(devices=devices, limits=limits(answer=0.05)) as running:
            client = await running.connect()
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            request = client.get("devices/list")

            async def send_without_end() -> None:
                while True:
                    client.send(request)
                    await client.writer.drain()

            with contextlib.suppress(ConnectionError):
                await send_without_end()
            assert running.port.connections == 0

    run(loop, test())


@on_both_loops
def test_beyond_the_most_connections_those_go_that_were_quiet_longest(loop: Loop) -> None:
    async def test() -> None:
        async with serving(limits=Limits(connections=32)) as running:
            clients = []
            for _ in range(32):
                client = await running.connect()
                clients.append(client)
                assert (await client.ask(client.post("validate", "allowed"))).status == 200
            busy = clients[0]
            assert (await busy.ask(busy.post("validate", "allowed"))).status == 200
            more = await running.connect()
            assert (await more.ask(more.post("validate", "allowed"))).status == 200
            assert await clients[1].rest() == b""
            assert await clients[2].rest() == b""
            assert (await busy.ask(busy.post("validate", "allowed"))).status == 200
            assert (await clients[3].ask(clients[3].post("validate", "allowed"))).status == 200
            assert running.port.connections <= 32

    run(loop, test())


@on_both_loops
def test_a_thousand_requests_in_one_piece_do_not_keep_another_client_waiting(loop: Loop) -> None:
    """Between two turns of the one who sent them, whoever sent one request is answered."""

    async def test() -> None:
        async with serving() as running:
            many, one = await running.connect(), await running.connect()
            assert (await one.ask(one.post("validate", "allowed"))).status == 200
            many.send(many.post("validate", "allowed") * 1000)
            before = len(await running.journaled(2))  # the first turn is over
            assert (await one.ask(one.post("validate", "revoked"))).json["allowed"] is False
            place = [entry.device for entry in running.calls()].index("revoked")
            assert place < 500, f"{place} of 1000 came first, {before} of them before it was sent"
            for _ in range(1000):
                assert (await many.response()).json["allowed"] is True

    run(loop, test())


@on_both_loops
def test_many_half_requests_leave_room_for_a_whole_one(loop: Loop) -> None:
    """Slowloris: each opens a request and goes on with it for ever."""

    async def test() -> None:
        async with serving(limits=Limits(connections=64)) as running:
            for _ in range(300):
                client = await running.connect()
                client.send(b"POST /api/v1/devices/validate HTTP/1.1\r\n")
                await client.writer.drain()
            client = await running.connect()
            answers = [await client.ask(client.post("validate", "allowed")) for _ in range(20)]
            assert [answer.status for answer in answers] == [200] * 20
            assert running.port.connections <= 64

    run(loop, test())


@on_both_loops
def test_closing_ends_what_is_quiet_and_lets_a_fault_be_delivered(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            quiet, waiting = await running.connect(), await running.connect()
            assert (await quiet.ask(quiet.post("validate", "allowed"))).status == 200
            running.service.add_fault("slow-body=0.001 total=0.3")
            waiting.send(waiting.post("validate", "allowed"))
            begun = await waiting.reader.readexactly(20)  # the fault is being delivered
            closing = asyncio.create_task(running.port.close())
            assert b'"allowed": true' in begun + await waiting.rest()
            await closing
            assert await quiet.rest() == b""
            assert running.port.connections == 0

    run(loop, test())


@on_both_loops
def test_closing_lets_a_client_take_every_answer_that_was_journaled(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause = FastPath.pause_writing

    async def test() -> None:
        full = asyncio.Event()

        def paused(connection: FastPath) -> None:
            pause(connection)
            full.set()

        monkeypatch.setattr(FastPath, "pause_writing", paused)
        async with serving(devices=tuple(f"device-{number}" for number in range(1000))) as running:
            client = await running.connect()
            first = await client.ask(client.get("devices/list"))
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            client.send(client.get("devices/list") * 400)  # more than two sockets hold
            await full.wait()
            closing = asyncio.create_task(running.port.close(within=PATIENCE))
            await asyncio.sleep(0)
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            rest = await client.rest()
            await closing
            assert rest.count(first.body) == rest.count(b"HTTP/1.1 ") == len(running.calls()) - 1
            assert running.port.connections == 0

    run(loop, test())


@on_both_loops
def test_without_a_descriptor_left_it_rests_and_goes_on_when_there_is_one(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    take_some = DataPort._take_some

    def counted(port: DataPort, listening: socket.socket) -> None:
        nonlocal tries
        tries += 1
        take_some(port, listening)

    monkeypatch.setattr(DataPort, "_take_some", counted)

    async def test() -> None:
        async with serving() as running:
            client = await running.connect()
            assert (await client.ask(client.post("validate", "allowed"))).status == 200
            with socket.socket() as waiting:
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                before = tries
                try:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # each open file is one too many
                    waiting.connect(running.port.address)
                    assert await client.rest() == b""  # the one that was quiet longest makes room
                    for _ in range(100):
                        await asyncio.sleep(0)
                    assert 1 <= tries - before <= 20
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                reader, writer = await asyncio.open_connection(sock=waiting.dup())
                writer.write(client.post("validate", "allowed"))
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
                writer.transport.abort()

    run(loop, test())


@on_both_loops
def test_many_that_are_overdue_at_the_same_moment_do_not_keep_another_client_waiting(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, in_this_turn, most = FastPath.leave, 0, 0

    def another_turn() -> None:
        nonlocal in_this_turn
        in_this_turn = 0

    def leaves_slowly(connection: FastPath) -> None:
        nonlocal in_this_turn, most
        if not in_this_turn:
            asyncio.get_running_loop().call_soon(another_turn)
        in_this_turn += 1
        most = max(most, in_this_turn)
        until = time.monotonic() + 0.001
        while time.monotonic() < until:
            pass
        leave(connection)

    monkeypatch.setattr(FastPath, "leave", leaves_slowly)

    async def test() -> None:
        async with serving(limits=limits(head=0.05)) as running:
            clients = [await running.connect() for _ in range(50)]
            for client in clients:
                client.send(client.post("validate", "allowed")[:20])
            for client in clients:
                assert (await client.response()).status == 408
        assert most <= 8, most

    run(loop, test())


@on_both_loops
def test_who_left_before_it_was_accepted_is_no_connection(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[FastPath] = []
    was = DataPort.opened

    def counted(port: DataPort, connection: FastPath) -> None:
        opened.append(connection)
        was(port, connection)

    monkeypatch.setattr(DataPort, "opened", counted)

    async def test() -> None:
        async with serving() as running:
            for number in range(40):
                with socket.create_connection(running.port.address) as leaving:
                    if number % 2:
                        leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # by a reset
            client = await running.connect()
            assert (await client.ask(client.post("validate", "allowed"))).status == 200
            assert len(opened) == 1

    run(loop, test())
