"""What Toxiproxy makes of each fault, and the receipt that it did.

The answer goes into Toxiproxy, and the receipt says what came out of it: nothing may be believed of a toxic that is merely set.
A fault that is not here, or a parameter that changes what is said and not how it is carried, stays the fake control plane's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from fake_control_plane.exchange import WireExchange
from fake_control_plane.faults.api import AnswerFault, ClientGone, Receipt
from fake_control_plane.faults.bodies import half, head_and_body
from fake_control_plane.faults.hang import Hang
from fake_control_plane.faults.latency import Latency
from fake_control_plane.faults.receipts import cut_off, gave_up, too_late
from fake_control_plane.faults.reset import Reset
from fake_control_plane.faults.slow_body import SlowBody
from fake_control_plane.faults.truncated import Truncated
from machineid_conformance.toxics.gate import Gate
from machineid_conformance.toxics.server import Toxic
from machineid_conformance.toxics.tunnel import TunnelledWire

MARGIN = 5.0
"""Real seconds that Toxiproxy may take longer than its toxic says, before it is not believed to act at all."""
TIMER = 0.005
"""Seconds by which two clocks may differ over one wait."""


def makes(fault: AnswerFault) -> bool:
    """Whether Toxiproxy can deliver it."""
    return type(fault) in _DELIVERIES and not (isinstance(fault, Truncated) and fault.how == "json")


async def deliver(fault: AnswerFault, exchange: WireExchange, wire: TunnelledWire, gate: Gate) -> Receipt:
    """Deliver a fault on a call whose answer is held: by Toxiproxy if ``makes`` says so, else past it.

    Raises:
        ClientGone: the client left before a fault of the fake control plane's own could show.
        ToxiproxyError, RouteError: the server failed.
    """
    if not makes(fault):
        await gate.past(wire)
        return await fault.deliver(exchange)
    try:
        receipt = await _DELIVERIES[type(fault)](fault, exchange, wire, gate)
    except ClientGone as gone:
        early = "Toxiproxy closed the connection before its toxic could show"
        receipt = too_late(exchange, gone.how) if wire.ending is not None else _not_made(exchange, early)
    return replace(receipt, by="toxiproxy")


async def _hang(fault: AnswerFault, exchange: WireExchange, wire: TunnelledWire, gate: Gate) -> Receipt:
    """``timeout`` swallows the answer, and closes the connection when its time is over."""
    assert isinstance(fault, Hang)
    said = await _meet(wire, gate, Toxic(type="timeout", attributes={"timeout": _milliseconds(fault.seconds)}))
    before = wire.passed
    await wire.give(wire.seal(exchange.render(exchange.answer)))
    await _over(wire, within=fault.seconds + MARGIN)
    if wire.passed > before:
        return _not_made(exchange, f"{wire.passed - before} bytes came through {said}")
    if wire.ending is not None:
        return gave_up(exchange, wire.ending, during=f"waiting for the first byte; {said}")
    if wire.cut is None:
        return _not_made(exchange, f"the connection is still open {exchange.elapsed():.3f} s after the request; {said}")
    return cut_off(exchange, f"no byte came through, closed {exchange.elapsed():.3f} s after the request by {said}")


async def _latency(fault: AnswerFault, exchange: WireExchange, wire: TunnelledWire, gate: Gate) -> Receipt:
    """``latency`` holds the whole answer back."""
    assert isinstance(fault, Latency)
    seconds = fault.at(1).seconds
    said = await _meet(wire, gate, Toxic(type="latency", attributes={"latency": _milliseconds(seconds)}))
    began = exchange.elapsed()
    try:
        await exchange.send_answer(exchange.answer)
    except ClientGone as gone:
        return _went(exchange, wire, gone, during=f"waiting for the late answer; {said}")
    late = exchange.elapsed() - began
    if late < seconds - TIMER:
        return _not_made(exchange, f"the answer was {late:.3f} s late and not {seconds:g} s; {said}")
    evidence = f"HTTP {exchange.answer.status} came through {late:.3f} s late; {said}"
    return Receipt(
        delivered=True, evidence=evidence, ending="answered", answer=exchange.answer, waited=exchange.elapsed()
    )


async def _slow_body(fault: AnswerFault, exchange: WireExchange, wire: TunnelledWire, gate: Gate) -> Receipt:
    """``latency`` on every body byte, each sent when the last came through. Not ``slicer`` and not ``bandwidth``, which know nothing of
    TLS: a piece of a TLS record is nothing to the client, so the body would not drip but hang.
    """  # fmt: skip
    assert isinstance(fault, SlowBody)
    head, body = head_and_body(exchange)
    toxic = Toxic(type="latency", attributes={"latency": _milliseconds(fault.interval)})
    said = await _meet(wire, gate, toxic, after=head)
    deadline = exchange.elapsed() + fault.total
    sent, began = 0, exchange.elapsed()
    try:
        while sent < len(body) - 1 and exchange.elapsed() + fault.interval < deadline:
            await exchange.send(body[sent : sent + 1])
            sent += 1
        if exchange.elapsed() - began < sent * (fault.interval - TIMER):
            return _not_made(exchange, f"{sent} body bytes came through in {exchange.elapsed() - began:.3f} s; {said}")
        how = await exchange.client_gone(max(0.0, deadline - exchange.elapsed()))
    except ClientGone as gone:
        return _went(exchange, wire, gone, during=f"{sent} of {len(body)} body bytes came through; {said}")
    dripped = f"{sent} of {len(body)} body bytes came through"
    if how is not None:
        return gave_up(exchange, how, during=f"{dripped}; {said}")
    return cut_off(exchange, f"{dripped}, cut off {exchange.elapsed():.3f} s after the request; {said}")


async def _truncated(fault: AnswerFault, exchange: WireExchange, wire: TunnelledWire, gate: Gate) -> Receipt:
    """``limit_data`` lets the head and half the body through, and closes."""
    assert isinstance(fault, Truncated)
    head, body = head_and_body(exchange)
    kept = half(body)
    first, rest = wire.seal(head + kept), wire.seal(body[len(kept) :] or b"\n")
    said = await _meet(wire, gate, Toxic(type="limit_data", attributes={"bytes": len(first)}))
    before = wire.passed
    await wire.give(first + rest)
    await _over(wire, within=MARGIN)
    through = wire.passed - before
    if through == 0 and wire.ending is not None:
        return too_late(exchange, wire.ending)
    if through != len(first) or wire.cut is None:
        return _not_made(exchange, f"{through} of {len(first)} bytes came through, closed: {wire.cut}; {said}")
    return cut_off(exchange, f"closed after {len(kept)} of {len(body)} body bytes by {said}")


async def _reset(fault: AnswerFault, exchange: WireExchange, wire: TunnelledWire, gate: Gate) -> Receipt:
    """``reset_peer`` meets the first byte that must not come through."""
    assert isinstance(fault, Reset)
    head, body = head_and_body(exchange)
    kept = {"before": b"", "in-head": half(head), "after-head": head, "middle": head + half(body)}[fault.when]
    said = await _meet(wire, gate, Toxic(type="reset_peer", attributes={"timeout": 0}), after=kept)
    before = wire.passed
    await wire.give(wire.seal((head + body)[len(kept) :] or b"\n"))
    await _over(wire, within=MARGIN)
    if wire.ending is not None:
        return too_late(exchange, wire.ending)
    if wire.cut != "reset" or wire.passed > before:
        return _not_made(exchange, f"{wire.passed - before} bytes came through, closed: {wire.cut}; {said}")
    exchange.ended = "reset"
    evidence = f"RST came out of Toxiproxy after {len(kept)} of {len(head + body)} bytes and was passed on; {said}"
    return Receipt(delivered=True, evidence=evidence, ending="reset", waited=exchange.elapsed())


_Delivery = Callable[[AnswerFault, WireExchange, TunnelledWire, Gate], Awaitable[Receipt]]
_DELIVERIES: dict[type[AnswerFault], _Delivery] = {
    Hang: _hang,
    Latency: _latency,
    Reset: _reset,
    SlowBody: _slow_body,
    Truncated: _truncated,
}


async def _meet(wire: TunnelledWire, gate: Gate, toxic: Toxic, *, after: bytes = b"") -> str:
    """Let ``after`` through; the next byte meets the toxic, which was set before. Returns what the server says. Raises ClientGone."""
    poisoned = await gate.poisoned(wire, toxic)
    if after:
        await wire.send(after)
    await wire.reroute(poisoned.route)
    return poisoned.said


def _milliseconds(seconds: float) -> int:
    """Toxiproxy's unit; 0 would mean never, or at once."""
    return max(1, round(seconds * 1000))


async def _over(wire: TunnelledWire, *, within: float) -> None:
    """Wait until somebody ended the connection; not longer than ``within`` real seconds."""
    try:
        async with asyncio.timeout(within):
            await wire.until(lambda: wire.over)
    except TimeoutError:
        pass  # told from what the wire knows


def _went(exchange: WireExchange, wire: TunnelledWire, gone: ClientGone, *, during: str) -> Receipt:
    """The client went because of the fault, unless it was Toxiproxy that closed."""
    if wire.ending is None:
        return _not_made(exchange, f"Toxiproxy closed the connection ({wire.cut}), {during}")
    return gave_up(exchange, gone.how, during=during)


def _not_made(exchange: WireExchange, evidence: str) -> Receipt:
    """Toxiproxy did something else than its toxic says: the connection is closed, and the run counts for nothing."""
    exchange.close()
    return Receipt(delivered=False, evidence=f"not delivered: {evidence}", ending="cut-off", waited=exchange.elapsed())
