"""What a client sees of a network fault is the same, byte by byte, whoever delivers it; and each receipt is earned."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fake_control_plane import faults
from fake_control_plane.faults.api import AnswerFault, Receipt
from fake_control_plane.http1 import render
from machineid_conformance.toxics.deliver import makes
from machineid_conformance.toxics.server import Server
from machineid_conformance.trace.events import ConnectionClosed
from tests.gateway._support import ALLOW, validate
from tests.toxics.support import Seen, Toxic, needs_toxiproxy, see, served

pytestmark = needs_toxiproxy

WHOLE = render(ALLOW, close=True, head_only=False)
HEAD = WHOLE[: WHOLE.index(b"\r\n\r\n") + 4]
HALF = WHOLE[: len(HEAD) + (len(WHOLE) - len(HEAD)) // 2]
CASES: list[tuple[str, dict[str, Any], bytes, str, str]] = [
    ("hang", {"seconds": 0.3}, b"", "fin", "cut-off"),
    ("latency", {"seconds": 0.3}, WHOLE, "fin", "answered"),
    ("slow-body", {"interval": 0.1, "total": 0.45}, WHOLE[: len(HEAD) + 4], "fin", "cut-off"),
    ("truncated", {"how": "length"}, HALF, "fin", "cut-off"),
    ("reset", {"when": "before"}, b"", "reset", "reset"),
    ("reset", {"when": "in-head"}, HEAD[: len(HEAD) // 2], "reset", "reset"),
    ("reset", {"when": "after-head"}, HEAD, "reset", "reset"),
    ("reset", {"when": "middle"}, HALF, "reset", "reset"),
]
"""Fault, parameters, what the client reads, how its connection ends, the receipt's ending."""
BOTH = pytest.mark.parametrize("by", ["built-in", "toxiproxy"])
SCHEMES = pytest.mark.parametrize("scheme", ["https", "http"])


def made(name: str, parameters: dict[str, Any]) -> AnswerFault:
    fault = faults.make(name, parameters)
    assert isinstance(fault, AnswerFault)
    return fault


async def ask(scene: Toxic, scheme: str, **how: Any) -> tuple[Seen, Receipt]:
    """One validate under the director's fault: what the client saw, and the receipt."""
    seen = await scene.client(lambda: see(scene.port(scheme), validate(), tls=scheme == "https", **how))
    await scene.director.until(lambda: scene.director.ended)
    await scene.director.seen(ConnectionClosed)
    return seen, scene.director.ended[0][1]


@BOTH
@SCHEMES
@pytest.mark.parametrize(("name", "parameters", "read", "how", "ending"), CASES, ids=lambda value: str(value)[:30])
def test_what_the_client_sees(
    name: str, parameters: dict[str, Any], read: bytes, how: str, ending: str, scheme: str, by: str
) -> None:
    async def script() -> None:
        async with served(by=by) as scene:
            scene.director.fault = made(name, parameters)
            seen, receipt = await ask(scene, scheme)
            if name == "slow-body":  # how many bytes come in time depends on the machine: fewer on one that is busy
                assert HEAD < seen.data <= read
                assert seen.at[-1] >= 0.1 * (len(seen.data) - len(HEAD))
            else:
                assert seen.data == read
            assert seen.how == how
            assert (receipt.delivered, receipt.ending, receipt.by) == (True, ending, by), receipt
            if name in ("hang", "latency"):
                assert seen.at[0] >= 0.29
                assert receipt.waited >= 0.29
            (closed,) = scene.director.of(ConnectionClosed)
            assert (closed.by, closed.how) == ("harness", "reset" if how == "reset" else "fin")

    asyncio.run(script())


@BOTH
@SCHEMES
@pytest.mark.parametrize(
    ("name", "parameters", "until"),
    [
        ("hang", {}, None),
        ("latency", {"seconds": 30}, None),
        ("slow-body", {"interval": 0.05, "total": 30}, len(HEAD) + 3),
    ],
)
def test_a_client_that_gives_up_is_the_receipt(
    name: str, parameters: dict[str, Any], until: int | None, scheme: str, by: str
) -> None:
    async def script() -> None:
        async with served(by=by) as scene:
            scene.director.fault = made(name, parameters)
            seen, receipt = await ask(scene, scheme, patience=0.3 if until is None else 20.0, until=until)
            assert seen.how == ("silent" if until is None else "enough")
            assert (receipt.delivered, receipt.ending, receipt.by) == (True, "gave-up", by), receipt
            assert until is not None or receipt.waited >= 0.25
            (closed,) = scene.director.of(ConnectionClosed)
            assert closed.by == "target"

    asyncio.run(script())


@pytest.mark.parametrize(("name", "parameters", "read", "how", "ending"), CASES, ids=lambda value: str(value)[:30])
def test_a_toxic_that_does_nothing_is_no_delivery(
    name: str, parameters: dict[str, Any], read: bytes, how: str, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes the order, lists the toxic, and lets everything through: no receipt may come of that."""
    monkeypatch.setattr(Server, "set_toxic", lambda _server, _proxy, toxic: f"{toxic.type}_downstream")

    async def script() -> None:
        async with served() as scene:
            scene.director.fault = made(name, parameters)
            seen, receipt = await ask(scene, "https", until=len(WHOLE))
            assert seen.data.startswith(HEAD)
            assert (receipt.delivered, receipt.by) == (False, "toxiproxy"), receipt

    asyncio.run(script())


def test_a_toxic_hits_the_call_that_it_is_pinned_to_and_no_other() -> None:
    async def script() -> None:
        async with served() as scene:
            director = scene.director
            director.fault = made("hang", {"seconds": 30})
            first = asyncio.create_task(ask(scene, "https", patience=5.0))
            await director.until(lambda: len(director.calls) == 1)
            director.fault = None
            for number in range(2, 6):
                seen = await scene.client(lambda: see(scene.port("https"), validate(), tls=True))
                assert (seen.data, seen.how) == (WHOLE, "fin")
                assert len(director.calls) == number
            assert len(director.ended) == 4  # the first still hangs
            first.cancel()

    asyncio.run(script())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("status", {"status": 503, "body": "html"}),
        ("not-json", {"body": "html"}),
        ("late-allow", {}),
        ("truncated", {"how": "json"}),
    ],
)
def test_what_toxiproxy_cannot_make_goes_past_it_unchanged(name: str, parameters: dict[str, Any]) -> None:
    fault = made(name, parameters)
    assert not makes(fault)

    async def script(by: str) -> tuple[Seen, Receipt]:
        async with served(by=by) as scene:
            scene.director.fault = fault
            return await ask(scene, "https", patience=0.5)

    (built_in, theirs), (toxiproxy, ours) = (asyncio.run(script(by)) for by in ("built-in", "toxiproxy"))
    assert (toxiproxy.data, toxiproxy.how) == (built_in.data, built_in.how)
    assert (ours.delivered, ours.ending, ours.by) == (theirs.delivered, theirs.ending, "built-in")
    assert ours.delivered
