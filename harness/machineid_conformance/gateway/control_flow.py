"""Requests to the control plane: read, ruled on by the director, answered or broken, and receipted."""

from __future__ import annotations

import asyncio
import uuid

from fake_control_plane.answers import Answer
from fake_control_plane.api import Call, Request, parse
from fake_control_plane.faults.api import ClientGone
from fake_control_plane.http1 import CONTINUE, Body, BodyCollector, Head, RequestReader, render
from machineid_conformance.gateway import secrets
from machineid_conformance.gateway.exchange import ControlExchange
from machineid_conformance.gateway.site import Channel
from machineid_conformance.gateway.tasks import cancelled
from machineid_conformance.toxics.deliver import deliver
from machineid_conformance.toxics.tunnel import TunnelledWire
from machineid_conformance.trace.events import RedirectFollowed


async def serve_control(channel: Channel, reader: RequestReader, head: Head, *, host: str, target: str) -> bool:
    """One call. Returns whether the connection can carry another. Raises ClientGone, BadRequest while the request is read."""
    site, wire = channel.site, channel.wire
    director = site.director
    body = await read_body(channel, reader, head)
    call = parse(Request(method=head.method, target=target, headers=head.headers, body=body.prefix, host=host))
    if call.operation == "validate":
        site.boundary()
    await site.caught_up()
    number, began = site.next_call(), director.clock()
    site.owed[wire] = recorded = asyncio.Event()
    try:
        return await _answer(channel, head, call, number=number, began=began, host=host, target=target)
    finally:
        del site.owed[wire]
        recorded.set()


async def _answer(
    channel: Channel, head: Head, call: Call, *, number: int, began: float, host: str, target: str
) -> bool:
    site, wire = channel.site, channel.wire
    director = site.director
    left_at: float | None = None

    async def watch() -> None:
        nonlocal left_at
        await wire.gone()
        left_at = director.clock()

    watching = asyncio.ensure_future(watch())
    try:
        ruling = await director.control(call, number=number, connection=channel.number, instance=site.instance)
    finally:
        await cancelled(watching)
    # Keep-alive after a fault would let a client's pool hide the next one; and what a fault leaves behind is not HTTP.
    close = ruling.close or ruling.fault is not None or not head.keep_alive or head.version == "1.0"
    exchange = ControlExchange(
        wire,
        director,
        ruling,
        scheme="https" if wire.secure else "http",
        host=head.header("host") or host,
        target=target,
        began=began,
        close=close,
        head_only=head.method == "HEAD",
    )
    exchange.left_at = left_at
    try:
        if ruling.fault is None:
            receipt = await exchange.answer_plainly()
        elif site.gate is not None and isinstance(wire, TunnelledWire):
            receipt = await deliver(ruling.fault, exchange, wire, site.gate)
        else:
            receipt = await ruling.fault.deliver(exchange)
    except ClientGone as gone:
        receipt = exchange.gave_up(gone)
    await director.control_ended(number, call, ruling, receipt, connection=channel.number, instance=site.instance)
    if wire.ending is not None:
        channel.closed("target", wire.ending)
    elif exchange.ended is not None:
        channel.closed("harness", exchange.ended)
    if close or exchange.ended is not None or receipt.ending != "answered":
        if exchange.ended != "reset":
            await channel.finish()
        return False
    return True


async def serve_dangled_allow(
    channel: Channel, reader: RequestReader, head: Head, *, host: str, close: bool = False
) -> bool:
    """A request that ought not to have come: behind a redirect, or through a certificate that had to be refused. An allow waits
    there, and is no permit (requirements.md, How runs are judged). Returns whether the connection can carry another.
    """  # fmt: skip
    site = channel.site
    keys = site.org_keys()
    where = list(secrets.in_head(head, host, keys))
    body = await read_body(channel, reader, head, collect=BodyCollector(secrets.needles(keys)))
    if body.found:
        where.append("body")
    site.director.record(
        RedirectFollowed(
            connection=channel.number, instance=site.instance, method=head.method, host=host, secrets=tuple(where)
        )
    )
    answer = Answer(body={"status": "ok", "allowed": True, "code": "ALLOW", "request_id": str(uuid.uuid4())})
    close = close or not head.keep_alive or head.version == "1.0"
    await channel.wire.send(render(answer, close=close, head_only=head.method == "HEAD"))
    if close:
        await channel.finish()
    return not close


async def read_body(
    channel: Channel, reader: RequestReader, head: Head, *, collect: BodyCollector | None = None
) -> Body:
    """The whole body; a client that waits for ``100 Continue`` gets it first. Raises ClientGone, BadRequest."""
    if head.has_body and head.expects_continue:
        await channel.wire.send(CONTINUE)
    return await reader.read(collect or BodyCollector())
