"""``python -m tests.fake_control_plane.serving.bare``: what any server costs that parses HTTP and answers, and does nothing else.

httptools and uvloop, one canned allow whatever the request says. It listens on a free port of loopback, writes the port as one line
to stdout, and serves until its stdin ends. Speed and patience of the fake are measured beside it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import cast

import httptools
import uvloop

BODY = b'{"allowed": true, "code": "ALLOW", "request_id": "00000000-0000-4000-8000-000000000000"}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-machineid-fake: 1\r\nContent-Length: %d\r\n\r\n"
    % len(BODY)
    + BODY
)


class Bare(asyncio.Protocol):
    """What a server has to look at, it takes from the parser: target, headers, body."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._url = self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        self._headers = []
        self._transport.write(ANSWER)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


@contextmanager
def bare(*before: str) -> Iterator[tuple[int, int]]:
    """The server in a process of its own, until the block ends: its pid and its port. ``before``: a command that starts it."""
    command = [*before, sys.executable, "-m", "tests.fake_control_plane.serving.bare"]
    with Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.pid, int(process.stdout.readline())
        finally:
            process.stdin.close()


if __name__ == "__main__":
    uvloop.run(serve())
