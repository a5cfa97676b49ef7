"""One HTTP request to the world outside: recorded as an effect, held if the scenario holds it, answered by script."""

from __future__ import annotations

import asyncio

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.http1 import (
    CONTINUE,
    PREFIX_LIMIT,
    BadRequest,
    Body,
    BodyCollector,
    Head,
    RequestReader,
    render,
)
from machineid_conformance.gateway import secrets
from machineid_conformance.gateway.effects import Outbound, holds_unit, infer_role, match_http
from machineid_conformance.gateway.log_lines import lines_of
from machineid_conformance.gateway.names import DEFAULT_PORTS
from machineid_conformance.gateway.site import QUIET, Channel
from machineid_conformance.gateway.tasks import cancelled
from machineid_conformance.trace.events import (
    EffectAborted,
    EffectAnswered,
    EffectStarted,
    Output,
    RequestHead,
)


async def serve_effect(channel: Channel, reader: RequestReader, head: Head, request: Outbound) -> bool:
    """One request. Returns whether the connection can carry another. Raises ClientGone, BadRequest; the effect is then recorded.

    The effect begins with its request head. Where a body follows, it is recorded when the body (or its first
    ``PREFIX_LIMIT`` bytes) is there or stalls, because its role and the secrets in it may depend on that; ``since`` places it.
    """  # fmt: skip
    served = _Effect(channel, reader, head, request)
    await channel.site.caught_up()
    try:
        await served.begin()
        return await served.answer()
    finally:
        await served.release()


class _Effect:
    def __init__(self, channel: Channel, reader: RequestReader, head: Head, request: Outbound) -> None:
        self._channel = channel
        self._site = channel.site
        self._director = channel.site.director
        self._wire = channel.wire
        self._reader = reader
        self._head = head
        self._request = request
        rules = self._site.target.effects
        self._keys = secrets.needles(self._site.org_keys())
        self._collector = BodyCollector(self._keys | {rule.match.body.encode() for rule in rules if rule.match.body})
        self._hold: asyncio.Future[None] | None = None
        self._leaving: asyncio.Future[None] | None = None
        self._effect: EffectStarted
        self._scripted: Answer

    async def begin(self) -> None:
        """Record the effect, as early as it can be known; then read what is left of the body beside the director's hold."""
        request, head = self._request, self._head
        if request.port not in DEFAULT_PORTS:
            self._site.http_ports.add(request.port)
        if not head.has_body:
            self._record(None)
            return
        since = self._director.record(
            RequestHead(
                connection=self._channel.number,
                instance=self._site.instance,
                method=request.method,
                host=request.host,
                path=request.target,
            )
        ).seq
        try:
            if head.expects_continue:
                await self._wire.send(CONTINUE)
            while self._collector.size < PREFIX_LIMIT and (piece := await self._piece()):
                self._collector.add(piece)
        except (ClientGone, BadRequest):
            self._record(since)
            await self._abort()
            raise
        self._record(since)

    async def _piece(self) -> bytes:
        """The next piece of the body; b"" at its end, and when the client stalls: an upload that never ends is an effect too."""
        try:
            async with asyncio.timeout(QUIET):
                return await self._reader.piece()
        except TimeoutError:
            return b""

    def _record(self, since: int | None) -> None:
        request, head, body = self._request, self._head, self._collector.body()
        rule = match_http(self._site.target.effects, request, lambda text: text.encode() in body.found)
        where = secrets.in_head(head, request.host, self._site.org_keys())
        if body.found & self._keys:
            where = (*where, "body")
        self._effect = self._site.start_effect(
            transport="http",
            rule=None if rule == "body" else rule,
            role=infer_role(request.method, request.host),
            label=f"{request.method} {request.host}{request.path}",
            host=request.host,
            port=request.port,
            connection=self._channel.number,
            method=request.method,
            path=request.target,
            since=since,
            secrets=where,
        )
        self._scripted = self._site.script.next(self._effect.rule)
        self._hold = asyncio.ensure_future(self._director.effect_started(self._effect))

    async def answer(self) -> bool:
        """Wait for the director and for the whole body, and answer, unless the client leaves first."""
        assert self._hold is not None
        complete = asyncio.Event()

        async def read_then_watch() -> None:
            await self._reader.read(self._collector)
            complete.set()
            await self._wire.gone()

        self._leaving = asyncio.ensure_future(read_then_watch())
        whole = asyncio.ensure_future(complete.wait())
        try:
            await asyncio.wait((self._leaving, self._hold), return_when=asyncio.FIRST_COMPLETED)
            if not self._leaving.done():
                await asyncio.wait((self._leaving, whole), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(whole)
        if self._leaving.done():
            await self._abort()
            self._leaving.result()  # BadRequest or ClientGone in the middle of the body
            raise ClientGone(self._wire.ending or "reset")
        await cancelled(self._leaving)
        self._hold.result()
        if self._effect.role == "log":
            self._write_log(self._collector.body())
        close = not self._head.keep_alive or self._head.version == "1.0"
        try:
            await self._wire.send(render(self._scripted, close=close, head_only=self._head.method == "HEAD"))
        except ClientGone:
            await self._abort()
            raise
        holds = self._effect.role == "task-source" and holds_unit(self._scripted)
        self._director.record(
            EffectAnswered(effect=self._effect.effect, status=self._scripted.status, holds_unit=holds)
        )
        await self._director.effect_ended(self._effect)
        if close:
            await self._channel.finish()
        return not close

    def _write_log(self, body: Body) -> None:
        for text, continues in lines_of(body.prefix, self._head.header("content-encoding")):
            self._director.record(
                Output(
                    instance=self._site.instance,
                    start=max(self._site.start, 1),
                    stream=f"effect:{self._effect.effect}",
                    text=text,
                    continues=continues,
                )
            )

    async def _abort(self) -> None:
        """The client left. What the director does while this effect is in flight is done to its end all the same."""
        if self._effect.role == "log":
            self._write_log(self._collector.body())
        self._director.record(EffectAborted(effect=self._effect.effect, by="target"))
        assert self._hold is not None
        await self._hold
        await self._director.effect_ended(self._effect)

    async def release(self) -> None:
        """Leave nothing running, however this ended."""
        await cancelled(*(task for task in (self._hold, self._leaving) if task is not None))
