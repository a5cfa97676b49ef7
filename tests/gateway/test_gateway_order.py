"""What must not overtake what: a client's end on one connection, and what it did next on another."""

from __future__ import annotations

from fake_control_plane import faults
from fake_control_plane.faults.hang import Hang
from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import ConnectionClosed, ConnectionOpened
from tests.gateway._support import Scene, connected, run, validate

PLACES = {
    "control": Destination(host="198.18.0.1", port=80),
    "effect": Destination(host="198.18.0.9", port=80),
}


def test_a_call_that_was_given_up_is_recorded_before_the_connection_that_the_client_made_next() -> None:
    async def script(scene: Scene) -> None:
        fault = faults.make("hang", {})
        assert isinstance(fault, Hang)
        scene.director.fault = fault
        with connected(scene.port("control")) as sock:
            sock.sendall(validate())
            await scene.director.until(lambda: scene.director.calls)
        # Nothing is awaited in between: when the gateway looks, the FIN and the new connection are both there.
        with connected(scene.port("effect")):
            await scene.director.until(lambda: len(scene.director.of(ConnectionOpened)) == 2)

    director = run(script, places=PLACES)
    order = [
        (type(event), event.connection)
        for event in director.events
        if isinstance(event, ConnectionOpened | ConnectionClosed)
    ]
    assert order[:3] == [(ConnectionOpened, 1), (ConnectionClosed, 1), (ConnectionOpened, 2)]
