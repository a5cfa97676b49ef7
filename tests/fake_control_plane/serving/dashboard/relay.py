"""A way to the admin port that can be cut and mended while a page is open."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Iterator
from urllib.parse import urlsplit


class Relay:
    """Listens on loopback, and passes bytes on to ``target``, both ways."""

    def __init__(self, target: str, loop: asyncio.AbstractEventLoop) -> None:
        self._target = urlsplit(target)
        self._loop = loop
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Nothing passes any more: what is open is reset, and connects are refused."""
        self._in_loop(self._cut())

    def mend(self) -> None:
        """Listen, on the same port as before."""
        self._in_loop(self._listen())

    def _in_loop(self, done: Awaitable[None]) -> None:
        async def act() -> None:
            await done

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            both = {writer, there_writer}
            self._writers |= both
            await asyncio.gather(_pass_on(reader, there_writer), _pass_on(there_reader, writer))
            self._writers -= both
        writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def relay(target: str) -> Iterator[Relay]:
    """A relay that listens, until the block ends."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relay")
    thread.start()
    made = Relay(target, loop)
    try:
        made.mend()
        yield made
    finally:
        made.cut()
        asyncio.run_coroutine_threadsafe(_rest(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


async def _rest() -> None:
    """Let the connections that were cut come to their ends."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)
