"""Whether the target waits for the gateway: then its time must not go fast, however busy this machine is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fake_control_plane import faults
from fake_control_plane.faults.hang import Hang
from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import ConnectionOpened
from tests.gateway._support import Scene, connected, run, validate


async def soon(condition: Callable[[], bool]) -> None:
    """Let the loop turn until it is so; nobody rings a bell when there is nothing more to do."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  (a turn of the loop, no time)
            await asyncio.sleep(0)


PLACES = {"control": Destination(host="198.18.0.1", port=80)}


def test_it_owes_from_the_connect_until_it_has_nothing_more_to_do() -> None:
    async def script(scene: Scene) -> None:
        gateway = scene.gateway
        assert not gateway.owes()
        with connected(scene.port("control")) as sock:
            assert gateway.owes()  # nothing was awaited: the connection is only in the queue
            await scene.director.seen(ConnectionOpened)
            await soon(lambda: not gateway.owes())  # it waits for the request
            sock.sendall(validate())
            assert gateway.owes()
            assert await scene.client(sock.recv, 4096)
            await soon(lambda: not gateway.owes())

    run(script, places=PLACES)


def test_what_a_fault_withholds_is_not_owed() -> None:
    async def script(scene: Scene) -> None:
        fault = faults.make("hang", {})
        assert isinstance(fault, Hang)
        scene.director.fault = fault
        with connected(scene.port("control")) as sock:
            sock.sendall(validate())
            await scene.director.until(lambda: scene.director.calls)
            await soon(lambda: not scene.gateway.owes())
            sock.close()

    run(script, places=PLACES)
