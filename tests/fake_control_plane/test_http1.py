from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.http1 import BadRequest, BodyCollector, Head, RequestReader, chunks, render
from fake_control_plane.wire import Wire


def reading(script: Callable[[RequestReader], Awaitable[None]], *pieces: bytes, close: bool = True) -> None:
    """A reader whose client sends the pieces one after the other, each when the one before was taken."""

    async def play() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname(), timeout=10)
            accepted, _ = listener.accept()
        wire = Wire(accepted)

        async def feed() -> None:
            loop = asyncio.get_running_loop()
            client.setblocking(False)
            for piece in pieces:
                await loop.sock_sendall(client, piece)
            if close:
                client.close()

        feeding = asyncio.create_task(feed())
        try:
            async with asyncio.timeout(10):
                await script(RequestReader(wire))
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            wire.close()
            client.close()

    asyncio.run(play())


async def next_head(reader: RequestReader) -> Head:
    head = await reader.head()
    assert head is not None
    return head


def test_a_head_then_a_body_then_the_end() -> None:
    async def script(reader: RequestReader) -> None:
        head = await next_head(reader)
        assert (head.method, head.target, head.version, head.keep_alive) == ("POST", "/a?b=c", "1.1", True)
        assert head.headers == (("host", "h"), ("content-length", "3"))
        assert head.has_body
        body = await reader.read(BodyCollector())
        assert (body.prefix, body.size) == (b"abc", 3)
        assert await reader.piece() == b""
        assert await reader.head() is None

    reading(script, b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")


def test_pipelined_requests_one_after_the_other() -> None:
    async def script(reader: RequestReader) -> None:
        first = await next_head(reader)
        second = await next_head(reader)  # the body of the first is read over
        third = await next_head(reader)
        assert [first.target, second.target, third.target] == ["/1", "/2", "/3"]
        assert not third.keep_alive

    reading(
        script,
        b"POST /1 HTTP/1.1\r\nContent-Length: 2\r\n\r\nxyGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\nConnection: close\r\n\r\n",
    )


def test_chunks_and_trailers() -> None:
    async def script(reader: RequestReader) -> None:
        head = await next_head(reader)
        assert head.chunked
        assert (await reader.read(BodyCollector())).prefix == b"hello world"
        assert head.header("t") is None
        assert (await next_head(reader)).target == "/next"

    body = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: v\r\n\r\n"
    reading(script, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"GET /next HTTP/1.1\r\n\r\n")


def test_a_large_body_needs_little_memory_and_needles_are_found_across_pieces() -> None:
    size = 20_000_000

    async def script(reader: RequestReader) -> None:
        await next_head(reader)
        body = await reader.read(BodyCollector([b"org_secret", b"not there"]))
        assert (len(body.prefix), body.size) == (1 << 20, size)
        assert body.found == {b"org_secret"}

    data = b"x" * (size - 15) + b"org_secret" + b"y" * 5
    head = f"POST / HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode()
    reading(script, head, *(data[at : at + 99_991] for at in range(0, size, 99_991)))


def test_needles_at_every_cut() -> None:
    for cut in range(12):
        collector = BodyCollector([b"needle", b"e"])
        text = b"xxneedleyy"
        collector.add(text[:cut])
        collector.add(text[cut:])
        assert collector.body().found == {b"needle", b"e"}


def test_the_head_is_there_before_the_body() -> None:
    async def script(reader: RequestReader) -> None:
        head = await next_head(reader)
        assert head.expects_continue
        with pytest.raises(ClientGone):
            await reader.piece()

    reading(script, b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\n")


def test_connect_keeps_what_follows() -> None:
    async def script(reader: RequestReader) -> None:
        head = await next_head(reader)
        assert (head.method, head.target) == ("CONNECT", "machineid.io:443")
        assert reader.tail() == b"\x16\x03tail"

    reading(script, b"CONNECT machineid.io:443 HTTP/1.1\r\nHost: machineid.io\r\n\r\n\x16\x03tail")


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\nhi", b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"]
)
def test_an_upgrade_is_an_ordinary_request(framing: bytes) -> None:
    async def script(reader: RequestReader) -> None:
        head = await next_head(reader)
        assert (head.method, head.target) == ("POST", "/h2c")
        assert (await reader.read(BodyCollector())).prefix == b"hi"
        assert (await next_head(reader)).target == "/ws"
        assert await reader.piece() == b""
        assert (await next_head(reader)).target == "/last"

    upgrade = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    data = b"POST /h2c HTTP/1.1\r\n" + upgrade + framing
    reading(script, data + b"GET /ws HTTP/1.1\r\n" + upgrade + b"\r\nGET /last HTTP/1.1\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x01\x02",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ],
)
def test_malformed(data: bytes) -> None:
    async def script(reader: RequestReader) -> None:
        with pytest.raises(BadRequest) as bad:
            await reader.head()
        assert bad.value.status == 400
        assert bad.value.reason.startswith("not an HTTP/1.1 request: ")

    reading(script, data)


def test_a_good_request_before_a_bad_one() -> None:
    async def script(reader: RequestReader) -> None:
        assert (await next_head(reader)).target == "/good"
        with pytest.raises(BadRequest):
            await reader.head()

    reading(script, b"GET /good HTTP/1.1\r\n\r\n\x01\x02\x03")


@pytest.mark.parametrize("part", [b"GET /%s", b"GET / HTTP/1.1\r\nX: %s", b"GET / HTTP/1.1\r\n%s"])
def test_a_head_has_a_limit(part: bytes) -> None:
    async def script(reader: RequestReader) -> None:
        with pytest.raises(BadRequest) as bad:
            await reader.head()
        assert bad.value.status == 431

    filler = b"a: b\r\n" * 15_000 if part.endswith(b"\n%s") else b"x" * 90_000
    reading(script, part % filler)


@pytest.mark.parametrize("request_size", [70, 1_000, 9_000])
def test_the_limit_is_that_of_one_head_however_many_are_sent_in_one_piece(request_size: int) -> None:
    """The reader takes in slices of 16 kB; each ends in the middle of a head."""
    start = b"GET / HTTP/1.1\r\nX: "
    request = start + b"x" * (request_size - len(start) - 4) + b"\r\n\r\n"
    many = 100_000 // request_size

    async def script(reader: RequestReader) -> None:
        for _ in range(many):
            assert await reader.head() is not None
        assert await reader.head() is None

    reading(script, request * many)


def test_a_head_behind_other_requests_has_a_limit_too() -> None:
    async def script(reader: RequestReader) -> None:
        for _ in range(10):
            await next_head(reader)
        with pytest.raises(BadRequest) as bad:
            await reader.head()
        assert bad.value.status == 431

    reading(script, b"GET / HTTP/1.1\r\n\r\n" * 10 + b"GET / HTTP/1.1\r\nX: " + b"x" * 90_000)


def test_an_upgrade_with_a_body_in_an_unknown_coding_is_refused() -> None:
    async def script(reader: RequestReader) -> None:
        with pytest.raises(BadRequest) as bad:
            await reader.head()
        assert bad.value.status == 400
        assert "coding 'gzip'" in bad.value.reason

    reading(script, b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: gzip\r\n\r\nhi")


def test_a_connection_that_ends_in_the_middle_of_a_head() -> None:
    async def script(reader: RequestReader) -> None:
        with pytest.raises(ClientGone):
            await reader.head()

    reading(script, b"GET / HT")


def test_render_with_a_length() -> None:
    answer = Answer(status=403, body={"a": 1}, headers={"X-Y": "z"})
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nX-Y: z\r\nContent-Length: 8\r\n"
    assert render(answer) == head + b'\r\n{"a": 1}'
    assert render(answer, close=True, head_only=True) == head + b"Connection: close\r\n\r\n"


def test_render_in_chunks() -> None:
    answer = Answer(raw=b"x" * 20_000, headers={"Transfer-Encoding": "chunked"})
    data = render(answer)
    assert b"Content-Length" not in data
    assert (
        data.partition(b"\r\n\r\n")[2] == b"4000\r\n" + b"x" * 16384 + b"\r\ne20\r\n" + b"x" * 3616 + b"\r\n0\r\n\r\n"
    )
    assert b"".join(chunks(b"")) == b"0\r\n\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_render_without_a_body(status: int) -> None:
    data = render(Answer(status=status, body={"a": 1}))
    assert data.endswith(b"\r\n\r\n")
    assert b"Content-" not in data


def test_an_unusual_status_has_an_empty_reason() -> None:
    assert render(Answer(status=599, raw=b"")).startswith(b"HTTP/1.1 599 \r\n")
