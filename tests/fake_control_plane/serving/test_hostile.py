"""While somebody does their worst to the data port, a well-behaved client is answered, and the server takes no more than its share.

The short form of ``python -m tests.soak.hostile``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fake_control_plane.serving.hostile.siege import Besieged, besieged

SECONDS = 1.5
WAITED = 0.05
"""Seconds: the most that 99 of 100 requests of the well-behaved client may take, in the long form, on a quiet machine."""

WAITED_BESIDE_OTHERS = 0.3
"""Likewise here, where other tests share the cores and a second and a half is few requests. A server that an attack holds up lets a client
wait for half a second to five (measured before its turns were made short).
"""

MEMORY = 256e6
"""Bytes: far more than any attack needs here, far less than what one would take that is not bounded."""

ATTACKS = {
    "fuzz": 8,
    "pipelining": 32,
    "slowloris": 2_000,
    "bodies": 4,
    "heads": 8,
    "costly": 8,
    "connects": 16,
    "idle": 10_000,
}
"""Each with the connections that it has at a time."""

IDLE_IN_TLS = 1_000
"""The long form has 10,000: the handshakes take half a minute."""


@pytest.fixture(scope="module", params=["plain", "tls"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Besieged]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    with besieged(*(("--tls-dir", str(folder)) if request.param == "tls" else ())) as one:
        yield one


BACKLOG = 256
"""Connections that the attacker has left and the server has yet to close: over TLS it takes them faster than it ends them. All are
given back (``recover``).
"""


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_well_behaved_client_is_answered_while(server: Besieged, attack: str) -> None:
    connections = IDLE_IN_TLS if attack == "idle" and server.tls is not None else ATTACKS[attack]
    endured = server.endure(attack, connections=connections, seconds=SECONDS, seed=20261121)
    # One stall of a virtual machine is a percent of so short a time; what the server does comes again.
    if endured.waited > WAITED_BESIDE_OTHERS:
        server.recover()
        endured = server.endure(attack, connections=connections, seconds=2 * SECONDS, seed=20261121)
    print(endured.line())
    assert endured.waited <= WAITED_BESIDE_OTHERS, endured.line()
    assert endured.memory <= MEMORY, endured.line()
    assert endured.descriptors <= server.before + connections + BACKLOG, endured.line()
    effect, least = {
        "fuzz": ("rounds", 50),
        "pipelining": ("most flooding", connections),
        "slowloris": ("most dripping", connections),
        "bodies": ("most uploading", connections),
        "heads": ("refused", 20),
        "costly": ("answered", 100),
        "connects": ("connections", 500),
        "idle": ("most idle", connections),
    }[attack]
    assert endured.counts.get(effect, 0) >= least, f"this was no attack: {endured.line()}"
    assert server.recover() <= server.before, f"not given back: {endured.line()}"
