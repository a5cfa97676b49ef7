"""What the director hands to a fault: which time it strikes, and what the device was told before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_control_plane.api import Call
from fake_control_plane.faults.latency import Latency
from machineid_conformance.gateway.api import Ruling
from tests.engine.test_director import DEVICE, Stage, play, step
from tests.fake_control_plane.virtual_client import Client


async def ruled(stage: Stage, number: int, operation: Any = "validate", device: str = DEVICE) -> tuple[Ruling, Client]:
    """One call through the director, its fault delivered to a client in memory, its end recorded."""
    call = Call(
        operation=operation, device=device, key=stage.console.key, key_in_url=False, method="POST",
        path=f"/api/v1/devices/{operation}",
    )  # fmt: skip
    ruling = await stage.director.control(call, number=number, connection=1, instance=1)
    client = Client(answer=ruling.answer, allow=ruling.allow, earlier=ruling.earlier)
    assert ruling.fault is not None
    receipt = await ruling.fault.deliver(client)
    await stage.director.control_ended(number, call, ruling, receipt, connection=1, instance=1)
    return ruling, client


def test_a_ramp_climbs_with_each_validate_that_it_strikes(tmp_path: Path) -> None:
    seconds = []

    async def script(stage: Stage) -> None:
        await stage.call("register")
        for number in range(10, 13):
            ruling, client = await ruled(stage, number)
            assert isinstance(ruling.fault, Latency)
            assert client.now == ruling.fault.seconds
            seconds.append(client.now)

    fault = {"latency": {"seconds": 1.0, "ramp": 0.5}}
    short, _ = play(tmp_path / "t", (step("before", "validate", 1, "fault", fault),), script)
    assert seconds == [1.0, 1.5, 2.0]
    assert short.count("fault-delivered validate latency") == 3


def test_a_stale_decision_is_one_of_the_same_device_and_operation(tmp_path: Path) -> None:
    told = []

    async def script(stage: Stage) -> None:
        await stage.call("register")
        for number in range(10, 16):
            device = "another" if number == 11 else DEVICE
            ruling, client = await ruled(stage, number, device=device)
            assert client.response()[2]
            told.append((device == DEVICE, len(ruling.earlier), b'"allowed": true' in client.sent))

    stale = {"stale": {"decisions": 2}}
    steps = (step("before", "validate", 1, "fault", stale), step("before", "validate", 4, "revoke", "$device"))
    short, _ = play(tmp_path / "t", steps, script)
    # The device asks five times, and is revoked before the third: the deny arrives at the fifth. The other is not registered.
    assert told == [
        (True, 0, True),
        (False, 0, False),
        (True, 1, True),
        (True, 2, True),
        (True, 2, True),
        (True, 2, False),
    ]
    assert short.count("fault-withheld stale") == 2
    assert short.count("fault-delivered validate stale") == 4


def test_without_a_fault_nothing_of_the_past_is_handed_over(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        for number in (1, 2):
            call = Call(
                operation="validate", device=DEVICE, key=stage.console.key, key_in_url=False, method="POST",
                path="/api/v1/devices/validate",
            )  # fmt: skip
            ruling = await stage.director.control(call, number=number, connection=1, instance=1)
            assert (ruling.fault, list(ruling.earlier)) == (None, [])

    play(tmp_path / "t", (), script)
