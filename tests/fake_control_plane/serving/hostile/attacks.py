"""``python -m tests.fake_control_plane.serving.hostile.attacks ORDER``: one attack on a data port, in a process of its own.

ORDER is JSON: the fields of ``Order``. The process says ``{"under_way": true}`` on stdout when the attack has its full strength, goes on
until its stdin ends, and then says what it did: counts by name. At its full strength it is the last to get the processor: it must not
starve the client whose answers are timed from then on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import socket
import ssl
import struct
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import uvloop

from tests.fake_control_plane.serving.hostile import hostile_bytes as hostile

GIGABYTE = 1 << 30
PIECE = b"a" * (1 << 16)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[Random], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Order:
    """Which attack on which port, with how many connections at a time. ``tls``: the port speaks TLS."""

    attack: str
    port: int
    tls: bool
    key: str
    connections: int
    seed: int


class Attacker:
    def __init__(self, order: Order) -> None:
        self._order = order
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if order.tls else None
        if self._tls is not None:
            self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self.counts: Counter[str] = Counter()
        self.under_way = asyncio.Event()

    async def go_on(self) -> None:
        """For ever."""
        act, enough = self._acts()[self._order.attack]

        async def again(number: int) -> None:
            chance = Random(f"{self._order.seed} {number}")
            while True:
                try:
                    await act(chance)
                except (OSError, asyncio.IncompleteReadError) as error:
                    self.counts[type(error).__name__] += 1
                except RuntimeError as error:
                    if "the handler is closed" not in str(error):  # uvloop's word for a TLS connection that was reset
                        raise
                    self.counts["reset"] += 1
                self.counts["rounds"] += 1
                if self.counts["rounds"] >= enough:
                    self.under_way.set()

        await asyncio.gather(*(again(number) for number in range(self._order.connections)))

    def _acts(self) -> dict[str, tuple[Act, int]]:
        """Each attack, and after how many rounds it has its full strength, if it does not say so itself."""
        never = sys.maxsize
        return {
            "fuzz": (self._fuzz, 50),
            "pipelining": (self._pipeline, never),
            "slowloris": (self._slowloris, never),
            "bodies": (self._body, never),
            "heads": (self._head, 20),
            "costly": (self._costly, 20),
            "idle": (self._idle, never),
            "connects": (self._connect_only, 500),
        }

    @asynccontextmanager
    async def _connected(self, *, handshake: bool = True) -> AsyncIterator[Streams]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._order.port, ssl=self._tls if handshake else None
        )
        sock: socket.socket = writer.get_extra_info("socket")
        # Ended by a reset, it does not wait in TIME_WAIT: there are fewer ports than connections in an attack.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.counts["connections"] += 1
        try:
            yield reader, writer
        finally:
            writer.transport.abort()

    def _many_are(self, step: int, what: str) -> None:
        """One more, or one less, connection is in the middle of it: the attack has its full strength when all are."""
        self.counts[what] += step
        self.counts[f"most {what}"] = max(self.counts[f"most {what}"], self.counts[what])
        if self.counts[what] >= self._order.connections:
            self.under_way.set()

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        await asyncio.sleep(0)  # uvloop writes when the loop turns, and only then knows that there is no room
        async with asyncio.timeout(30):
            await writer.drain()
        self.counts["bytes"] += len(data)

    async def _fuzz(self, chance: Random) -> None:
        data = hostile.fuzzed(chance, self._order.key)
        async with self._connected(handshake=chance.random() < 0.8) as (reader, writer):
            writer.write(data)
            if chance.random() < 0.2:
                with suppress(OSError, NotImplementedError):
                    writer.write_eof()
            self.counts["bytes"] += len(data)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    while answer := await reader.read(1 << 16):
                        self.counts["answered"] += answer.count(b"HTTP/1.1 ")

    async def _pipeline(self, chance: Random) -> None:
        """Half of the floods take no answers."""
        many = hostile.validate(self._order.key) * 200
        reads = chance.random() < 0.5
        async with self._connected() as (reader, writer):

            async def read() -> None:
                while answers := await reader.read(1 << 18):
                    self.counts["answered"] += answers.count(b"HTTP/1.1 200")

            self._many_are(1, "flooding")
            reading = asyncio.create_task(read()) if reads else None
            try:
                while True:
                    await self._send(writer, many)
            finally:
                self._many_are(-1, "flooding")
                if reading is not None:
                    reading.cancel()

    async def _slowloris(self, chance: Random) -> None:
        """A byte of a request, or of a ClientHello, every half second."""
        handshake = chance.random() < 0.5
        data = hostile.validate(self._order.key)
        if self._tls is not None and not handshake:
            data = hostile.client_hello(chance)
        async with self._connected(handshake=handshake) as (reader, writer):
            self._many_are(1, "dripping")
            try:
                for byte in data:
                    writer.write(bytes([byte]))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.5):
                            if not await reader.read(1 << 16):
                                return
            finally:
                self._many_are(-1, "dripping")

    async def _body(self, chance: Random) -> None:
        """A gigabyte: with a Content-Length, in chunks, or many bodies that stay just below the limit and never end."""
        kind = chance.randrange(3)
        key = self._order.key
        async with self._connected() as (_, writer):
            head = hostile.validate(key, b"").replace(b"Content-Length: 0", b"Content-Length: %d" % GIGABYTE)
            writer.write(head if kind == 0 else hostile.chunked(key))
            piece = PIECE if kind == 0 else b"%x\r\n%b\r\n" % (len(PIECE), PIECE)
            self._many_are(1, "uploading")
            try:
                for _ in range(GIGABYTE // len(PIECE)):
                    await self._send(writer, piece)
            finally:
                self._many_are(-1, "uploading")

    async def _head(self, chance: Random) -> None:
        data = chance.choice(hostile.heads(self._order.key))
        async with self._connected() as (reader, writer):
            writer.write(data)
            self.counts["bytes"] += len(data)
            async with asyncio.timeout(20):
                while answer := await reader.read(1 << 16):
                    self.counts["refused"] += answer.count(b" 431 ")

    async def _costly(self, chance: Random) -> None:
        data = chance.choice(hostile.costly(self._order.key))
        async with self._connected() as (reader, writer):
            for _ in range(20):
                writer.write(data)
                async with asyncio.timeout(20):
                    answer = await reader.read(1 << 16)
                self.counts["answered"] += answer.count(b"HTTP/1.1 ")
                if not answer:
                    return

    async def _idle(self, chance: Random) -> None:
        del chance
        async with self._connected() as (reader, _):
            self._many_are(1, "idle")
            try:
                await reader.read()
            finally:
                self._many_are(-1, "idle")

    async def _connect_only(self, _: Random) -> None:
        async with self._connected(handshake=False):
            pass


async def attack(order: Order) -> dict[str, int]:
    """Until stdin ends."""
    attacker = Attacker(order)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    going = asyncio.create_task(attacker.go_on())
    under_way = asyncio.create_task(attacker.under_way.wait())
    end = asyncio.create_task(ended.wait())
    await asyncio.wait((going, under_way, end), return_when=asyncio.FIRST_COMPLETED)
    if under_way.done():
        os.nice(19)  # not before: 10,000 handshakes take as long as a quiet connection may live
        print(json.dumps({"under_way": True}), flush=True)
    await asyncio.wait((going, end), return_when=asyncio.FIRST_COMPLETED)
    if going.done():
        going.result()  # it can only have failed
    going.cancel()
    return dict(attacker.counts)


def main(text: str) -> None:
    values: dict[str, Any] = json.loads(text)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.disable()  # uvloop has something to say about each TLS connection that is aborted
    counts = uvloop.run(attack(Order(**values)))
    print(json.dumps(counts), flush=True)
    os._exit(0)  # thousands of connections need no farewell


if __name__ == "__main__":
    main(sys.argv[1])
