"""What is sent to a target that is pushed to: one request after the other, over a connection made inside its world."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import httptools

from machineid_conformance.config.model import Stimulus, StimulusRequest
from machineid_conformance.trace.events import StimulusAnswered, StimulusSent

if TYPE_CHECKING:
    from machineid_conformance.engine.director import RunDirector
    from machineid_conformance.engine.instance import Instance

LISTEN_INTERVAL = 0.02
"""How often, in seconds, it is tried whether the target listens yet: there is no event for that."""


class _Answer:
    """Collects the status of one HTTP response, and whether it is whole."""

    def __init__(self) -> None:
        self.whole = False
        self.delimited = False
        self.headers_complete = False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, _value: bytes) -> None:
        self.delimited |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.headers_complete = True

    def on_message_complete(self) -> None:
        self.whole = True

    def ended(self) -> bool:
        """The connection was closed: whether that is how this answer says that it is whole (RFC 9112, section 6.3)."""
        return self.whole or (self.headers_complete and not self.delimited)


class Stimulation:
    """Sends ``count`` stimuli, each after the last was answered. ``idle``: nothing is owed to the target and nothing by it."""

    def __init__(self, stimulus: Stimulus, instance: Instance, director: RunDirector) -> None:
        self.stimulus = stimulus
        self.instance = instance
        self.director = director
        self.sent = 0
        self.wanted = stimulus.count
        self.answering = False
        self._more = asyncio.Event()

    @property
    def done(self) -> bool:
        """All stimuli were sent, and answered or lost."""
        return self.sent >= self.wanted and not self.answering

    @property
    def idle(self) -> bool:
        """Waiting for the target to listen does not keep a refused one from being idle."""
        return self.done or (not self.answering and self.director.progress.first_refusal_at is not None)

    def add(self, count: int) -> None:
        """Send so many more."""
        self.wanted += count
        self._more.set()

    def again(self) -> None:
        """The target was started again: it gets the whole series anew."""
        self.add(self.stimulus.count)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            if self.sent >= self.wanted:
                self._more.clear()
                self.director.progress.bell.set()
                await self._more.wait()
            connection = await self._connect()
            request = self.stimulus.requests[self.sent % len(self.stimulus.requests)]
            self.sent += 1
            self.answering = True
            try:
                await self._exchange(connection, request, self.sent)
            finally:
                self.answering = False
                connection.close()
                self.director.progress.ring(self.director.clock())

    async def _connect(self) -> socket.socket:
        """A connection to the target, as soon as it listens."""
        port = int(self.instance.environment["PORT"])
        while True:
            if not self.instance.exited and (connection := await self.instance.world.connect_inside(port)) is not None:
                return connection
            await asyncio.sleep(LISTEN_INTERVAL)

    async def _exchange(self, connection: socket.socket, request: StimulusRequest, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.director.record(
            StimulusSent(stimulus=number, instance=self.instance.number, method=request.method, path=request.path)
        )
        answer, error = _Answer(), None
        try:
            await loop.sock_sendall(connection, _render(request))
            while not answer.whole:
                data = await loop.sock_recv(connection, 65536)
                if not data:
                    if answer.ended():
                        break
                    error = "the target closed the connection before its answer was whole"
                    break
                answer.parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        status = None
        with suppress(Exception):
            status = answer.parser.get_status_code() or None
        await self.instance.gateway.caught_up()
        self.director.record(StimulusAnswered(stimulus=number, status=None if error else status, error=error))


def _render(request: StimulusRequest) -> bytes:
    headers = {"host": "127.0.0.1", "connection": "close", "user-agent": "stimulus/1"}
    body = b""
    if request.json is not None:
        body, headers["content-type"] = json.dumps(request.json).encode(), "application/json"
    elif request.text is not None:
        body, headers["content-type"] = request.text.encode(), "text/plain; charset=utf-8"
    headers["content-length"] = str(len(body))
    headers |= {name.lower(): value for name, value in request.headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{request.method} {request.path} HTTP/1.1\r\n{head}\r\n".encode() + body
