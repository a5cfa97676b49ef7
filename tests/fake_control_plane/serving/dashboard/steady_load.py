"""A steady load: validates at a given rate over kept connections, until its standard input ends.

    python -m tests.fake_control_plane.serving.dashboard.steady_load BASE_URL KEY RATE DEVICE...

Says ``begun`` after the first answer, and how many there were at the end.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from urllib.parse import urlsplit

CONNECTIONS = 8


class Connection(asyncio.Protocol):
    """Sends one validate when it is told to, and counts answers: of validates there is one head each."""

    answered = 0

    def __init__(self, first: asyncio.Event) -> None:
        self.transport: asyncio.Transport
        self._first = first

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        Connection.answered += data.count(b"HTTP/1.1 200")
        self._first.set()


async def load(base_url: str, key: str, rate: float, devices: list[str]) -> None:
    loop = asyncio.get_running_loop()
    url = urlsplit(base_url)
    assert url.hostname is not None
    assert url.port is not None
    host, port = url.hostname, url.port
    first, ended = asyncio.Event(), asyncio.Event()
    connections = [(await loop.create_connection(lambda: Connection(first), host, port))[1] for _ in range(CONNECTIONS)]
    turns = itertools.cycle(zip(itertools.cycle(connections), devices, strict=False))
    began = loop.time()
    sent = 0

    def send() -> None:
        nonlocal sent
        # As many as are due by now, so that a busy machine makes it uneven, and not less.
        while sent < (loop.time() - began) * rate:
            connection, device = next(turns)
            body = json.dumps({"deviceId": device}).encode()
            connection.transport.write(
                f"POST /api/v1/devices/validate HTTP/1.1\r\nHost: fake\r\nx-org-key: {key}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            sent += 1
        loop.call_later(0.01, send)

    send()
    await first.wait()
    print("begun", flush=True)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()
    for connection in connections:
        connection.transport.close()
    print(Connection.answered, flush=True)


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:]))
