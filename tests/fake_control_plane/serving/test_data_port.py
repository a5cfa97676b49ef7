"""The data port: both paths, the way from the one to the other, and what a client gets wrong."""

from __future__ import annotations

import asyncio
import random

import pytest

from fake_control_plane.serving.fast_path import FastPath
from fake_control_plane.serving.limits import Limits
from tests.fake_control_plane.serving.ports import Client, Loop, on_both_loops, run, serving


async def decisions(client: Client, count: int) -> list[bool]:
    return [(await client.response()).json["allowed"] for _ in range(count)]


@on_both_loops
def test_calls_on_one_connection(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            client = await running.connect()
            allowed = await client.ask(client.post("validate", "allowed"))
            denied = await client.ask(client.post("validate", "revoked"))
            registered = await client.ask(client.post("register", "new"))
            listed = await client.ask(client.get("devices/list"))
            assert (allowed.status, allowed.json["allowed"], allowed.json["code"]) == (200, True, "ALLOW")
            assert (denied.status, denied.json["allowed"], denied.json["code"]) == (200, False, "DEVICE_REVOKED")
            assert registered.json["status"] == "ok"
            assert [device["deviceId"] for device in listed.json["devices"]] == ["allowed", "revoked", "new"]
            assert all(answer.headers["x-machineid-fake"] == "1" for answer in (allowed, denied, registered, listed))
            assert running.port.connections == 1

    run(loop, test())


@on_both_loops
def test_pipelined_requests_are_answered_in_their_order_wherever_they_are_cut(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            client = await running.connect()
            expected = [True, False, False, True]
            data = b"".join(client.post("validate", "allowed" if allowed else "revoked") for allowed in expected)
            for cut in range(1, len(data), 7):
                fresh = await running.connect()
                fresh.send(data[:cut])
                await fresh.writer.drain()
                first = await decisions(fresh, 1) if cut > len(data) // 2 else []  # what is whole is answered at once
                fresh.send(data[cut:])
                assert first + await decisions(fresh, len(expected) - len(first)) == expected, cut
                fresh.close()

    run(loop, test())


@on_both_loops
def test_no_byte_is_lost_or_doubled_on_the_way_to_the_slow_path(loop: Loop) -> None:
    """In one write, and in many: the connection goes over at the chunked request, with what stands behind it."""

    async def test() -> None:
        chance = random.Random(1)
        async with serving() as running:
            for turn in range(60):
                client = await running.connect()
                expected = [chance.random() < 0.5 for _ in range(chance.randrange(2, 12))]
                over = chance.randrange(len(expected))
                devices = ["allowed" if allowed else "revoked" for allowed in expected]
                requests = [client.post("validate", device) for device in devices]
                requests[over] = client.chunked(devices[over])
                data = b"".join(requests)
                cuts = sorted(chance.randrange(len(data)) for _ in range(turn % 4))
                for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                    client.send(data[start:end])
                    await client.writer.drain()
                    if turn % 2:
                        await asyncio.sleep(0)
                assert await decisions(client, len(expected)) == expected, turn
                client.writer.write_eof()
                assert await client.rest() == b""
            calls = running.calls()
            assert len({entry.request_id for entry in calls}) == len(calls)

    run(loop, test())


@on_both_loops
def test_the_slow_path_begins_when_the_client_has_taken_what_was_written(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More answers than a socket holds stand before the hand-over; not one is lost, and they do not pile up in memory."""
    pause = FastPath.pause_writing

    async def test() -> None:
        full = asyncio.Event()

        def paused(connection: FastPath) -> None:
            pause(connection)
            full.set()

        monkeypatch.setattr(FastPath, "pause_writing", paused)
        devices = tuple(f"device-{number}" for number in range(1000))
        async with serving(devices=devices) as running:
            client = await running.connect()
            size = len((await client.ask(client.get("devices/list"))).body)
            count = 20_000_000 // size  # a few times what the two sockets hold at most
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            sending = asyncio.create_task(
                send_all(client, [client.get("devices/list")] * count, client.chunked(devices[0]))
            )
            await full.wait()
            client.writer.transport.resume_reading()  # type: ignore[attr-defined]
            (connection,) = running.port._fast
            assert connection._transport.get_write_buffer_size() < 4 * size + (1 << 18)
            assert len(running.calls()) < count
            for _ in range(count):
                assert len((await client.response()).body) == size
            assert await decisions(client, 1) == [True]
            await sending

    run(loop, test())


async def send_all(client: Client, requests: list[bytes], last: bytes) -> None:
    for request in [*requests, last]:
        client.send(request)
        await client.writer.drain()


@on_both_loops
def test_a_fault_comes_after_every_answer_before_it_and_ends_the_connection(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            rule = running.service.add_fault("status=503 operation=validate nth=3")
            client = await running.connect()
            client.send(*(client.post("validate", "allowed") for _ in range(5)))
            assert await decisions(client, 2) == [True, True]
            failed = await client.response()
            assert (failed.status, failed.headers["connection"], failed.headers["x-machineid-fake"]) == (
                503,
                "close",
                "1",
            )
            assert await client.rest() == b""
            entries = await running.journaled(3)
            assert [(entry.status, entry.rule) for entry in entries] == [(200, None), (200, None), (503, rule.id)]

    run(loop, test())


@on_both_loops
def test_a_fault_that_is_no_answer(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            running.service.add_fault("reset=before device=allowed")
            client = await running.connect()
            with pytest.raises(ConnectionResetError):
                await client.ask(client.post("validate", "allowed"))
            (entry,) = await running.journaled(1)
            assert (entry.ending, entry.status, entry.rule) == ("reset", None, "fault-1")

    run(loop, test())


@on_both_loops
def test_a_client_that_leaves_before_its_fault_is_journaled(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            running.service.add_fault("hang")
            client = await running.connect()
            client.send(client.post("validate", "allowed"))
            await client.writer.drain()
            client.close()
            (entry,) = await running.journaled(1)
            assert (entry.ending, entry.rule) == ("gave-up", "fault-1")

    run(loop, test())


@on_both_loops
@pytest.mark.parametrize("path", ["fast", "slow"])
def test_what_is_not_plain_http(loop: Loop, path: str) -> None:
    """Each on a connection of its own, first thing or after it went to the slow path."""

    async def connection(running_client: Client) -> Client:
        if path == "slow":
            running_client.send(running_client.chunked("allowed"))
            assert await decisions(running_client, 1) == [True]
        return running_client

    async def test() -> None:
        async with serving() as running:
            client = await connection(await running.connect())
            client.send(client.get("devices/list", method="HEAD"))
            head = await client.response(head_only=True)
            assert (head.status, head.headers["allow"]) == (405, "GET")
            client.send(client.post("validate", "allowed"))  # not a byte of a body before this answer
            assert await decisions(client, 1) == [True]

            client = await connection(await running.connect())
            request = client.post("validate", "allowed", more="Expect: 100-continue\r\n")
            at = request.index(b"\r\n\r\n") + 4
            client.send(request[:at])
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(request[at:])
            assert await decisions(client, 1) == [True]

            client = await connection(await running.connect())
            client.send(client.post("validate", "allowed", more="Upgrade: h2c\r\nConnection: Upgrade\r\n"))
            client.send(client.post("validate", "revoked"))
            assert await decisions(client, 2) == [True, False]

            for more, version in (("Connection: close\r\n", b"1.1"), ("", b"1.0")):
                client = await connection(await running.connect())
                request = client.post("validate", "allowed", more=more).replace(b"HTTP/1.1", b"HTTP/" + version)
                client.send(request, client.post("validate", "revoked"))
                last = await client.response()
                assert (last.json["allowed"], last.headers["connection"]) == (True, "close")
                assert await client.rest() == b""

            client = await connection(await running.connect())
            client.send(b"CONNECT machineid.io:443 HTTP/1.1\r\nHost: machineid.io:443\r\n\r\n")
            tunnel = await client.response()
            assert (tunnel.status, tunnel.json["error"]) == (404, "not_found")
            assert await client.rest() == b""

    run(loop, test())


LIMITS = Limits(body=1 << 16)


@on_both_loops
@pytest.mark.parametrize(
    ("request_bytes", "status", "word"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\n\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000, 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000 + b"\r\n\r\n", 431, "head_too_large"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n" + b"a" * 200_000, 413, "body_too_large"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n",
            413,
            "body_too_large",
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" * 1 + b"a" * 0x4000, 0, ""),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"4000\r\n" + b"a" * 0x4000 + b"\r\n") * 5,
            413,
            "body_too_large",
        ),
    ],
    ids=[
        "bytes",
        "two-lengths",
        "length-and-chunked",
        "bare-lf",
        "endless-head",
        "long-head",
        "large-body",
        "expect",
        "open",
        "chunks",
    ],
)
def test_what_is_too_much_or_no_http_is_answered_and_the_connection_ends(
    loop: Loop, request_bytes: bytes, status: int, word: str
) -> None:
    async def test() -> None:
        async with serving(limits=LIMITS) as running:
            client = await running.connect()
            client.send(client.post("validate", "allowed"), request_bytes)
            assert await decisions(client, 1) == [True]
            if not status:  # within the limits, and not complete
                client.close()
                return
            answer = await client.response()
            assert (answer.status, answer.json["error"], answer.headers["connection"]) == (status, word, "close")
            assert (answer.json["status"], answer.headers["x-machineid-fake"]) == ("error", "1")

    run(loop, test())


@on_both_loops
def test_a_request_whose_bytes_came_before_is_decided_anew(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            service, org = running.service, running.org
            client = await running.connect()
            request = client.post("validate", "allowed")

            async def code() -> tuple[int, str]:
                answer = await client.ask(request)
                return answer.status, answer.json.get("code") or answer.json["error"]

            assert [await code(), await code()] == [(200, "ALLOW")] * 2
            service.revoke(org, ["allowed"])
            assert await code() == (200, "DEVICE_REVOKED")
            service.set_codes({"device-revoked": "NO_MORE"})
            assert await code() == (200, "NO_MORE")
            service.set_codes({})
            service.disable(org)
            assert await code() == (200, "ORG_DISABLED")
            service.enable(org)
            service.remove(org, ["allowed"])
            assert await code() == (200, "DEVICE_NOT_REGISTERED")
            service.add_fault("status=500 operation=validate nth=2")
            assert await code() == (200, "DEVICE_NOT_REGISTERED")
            failed = await client.ask(request)
            assert (failed.status, failed.headers["connection"]) == (500, "close")
            client = await running.connect()
            service.rotate(org)
            assert await code() == (401, "invalid_org_key")
            assert [entry.status for entry in await running.journaled(9)] == [200] * 7 + [500, 401]

    run(loop, test())


@on_both_loops
def test_heads_and_requests_without_end_take_no_memory_without_end(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            client = await running.connect()
            for batch in range(100):
                names = range(batch * 100, batch * 100 + 100)
                client.send(*(client.post("validate", f"d-{name}", more=f"x-trace: {name}\r\n") for name in names))
                assert await decisions(client, len(names)) == [False] * len(names)
            heads = running.port.heads
            assert 0 < len(heads._known) <= 4096
            assert 0 < len(heads.validates) <= 4096
            assert running.service._orgs.find(running.org).seen == {}

    run(loop, test())
