"""The director on the real control plane and a real trace, without a network."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fake_control_plane.api import Call
from fake_control_plane.faults.api import Receipt
from fake_control_plane.state import ControlPlane
from machineid_conformance.config.model import Target
from machineid_conformance.engine.console import Console
from machineid_conformance.engine.director import RunDirector
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.target_time import TargetTime
from machineid_conformance.scenario.model import Action, Moment, Scenario, Step, Until
from machineid_conformance.trace.events import ControlFailed, EffectStarted, Event, Operator, RunStarted
from machineid_conformance.trace.reader import read
from machineid_conformance.trace.redact import Redactor
from machineid_conformance.trace.writer import TraceWriter

DEVICE = "worker:dev:test:01"


def step(relation: Any, subject: Any, n: int, kind: str, argument: Any = None, until: Until | None = None) -> Step:
    return Step(
        at=Moment(relation=relation, subject=subject, n=n), do=Action(kind=kind, argument=argument), until=until
    )


class Stage:
    """A director with its control plane; each call returns at once, as a gateway's would."""

    def __init__(self, path: Path, steps: tuple[Step, ...]) -> None:
        ids = itertools.count(1)
        self.plane = ControlPlane(new_id=lambda: f"request-{next(ids)}", new_key=lambda: f"org_key{next(ids)}")
        redactor = Redactor()
        key = self.plane.add_org()
        self.path = path
        self.writer = TraceWriter(path, clock=lambda: 0.0, redactor=redactor)
        self.console = Console(self.plane, key=key, redactor=redactor, default_device=DEVICE)
        target = Target(name="worker", command=("true",), cwd=Path("/"), devices=(DEVICE,))
        scenario = Scenario(id="s", title="", rules=(), sweep="once", steps=steps)
        self.director = RunDirector(
            PlannedRun(id="worker/s", target=target, scenario=scenario, steps=steps),
            plane=self.plane,
            console=self.console,
            writer=self.writer,
            time=TargetTime(),
            hold_for=lambda share: share,
        )
        self.refusing: list[bool] = []
        self.director.faults.refuse = self.refusing.append
        self._numbers = itertools.count(1)

    async def call(self, operation: Any) -> Receipt:
        number = next(self._numbers)
        call = Call(
            operation=operation, device=DEVICE, key=self.console.key, key_in_url=False, method="POST",
            path=f"/api/v1/devices/{operation}",
        )  # fmt: skip
        ruling = await self.director.control(call, number=number, connection=1, instance=1)
        if ruling.fault is None:
            receipt = Receipt(delivered=True, evidence="", ending="answered", answer=ruling.answer)
        else:
            receipt = Receipt(delivered=True, evidence="done", ending="cut-off", waited=1.0)
        await self.director.control_ended(number, call, ruling, receipt, connection=1, instance=1)
        return receipt

    async def effect(self) -> EffectStarted:
        effect = self.director.record(
            EffectStarted(
                effect=self.director.next_effect(), instance=1, role="side-effect", label="x", transport="http", device=DEVICE
            )
        )  # fmt: skip
        await self.director.effect_started(effect)
        await self.director.effect_ended(effect)
        return effect


def play(
    path: Path, steps: tuple[Step, ...], script: Callable[[Stage], Awaitable[None]]
) -> tuple[list[str], tuple[Event, ...]]:
    async def main() -> None:
        stage = Stage(path, steps)
        stage.writer.write(RunStarted(run="r", target="worker", scenario="s", rules=()))
        await script(stage)
        stage.director.faults.clear_timers()
        stage.writer.close()

    asyncio.run(main())
    events = read(path)
    return [_short(event) for event in events[1:]], events


def _short(event: Event) -> str:
    words = [event.name]
    words += [
        str(getattr(event, name))
        for name in ("operation", "decision", "how", "action", "fault")
        if getattr(event, name, None)
    ]
    return " ".join(words)


async def normal_life(stage: Stage) -> None:
    for operation in ("register", "validate", "validate"):
        await stage.call(operation)


def test_without_steps_the_truth_is_told(tmp_path: Path) -> None:
    short, _ = play(tmp_path / "t", (), normal_life)
    assert short == [
        "control-request register",
        "control-answered register",
        "control-request validate",
        "control-answered validate allow",
        "control-request validate",
        "control-answered validate allow",
    ]


def test_an_operator_acts_between_the_request_and_its_decision(tmp_path: Path) -> None:
    short, _ = play(tmp_path / "t", (step("before", "validate", 2, "revoke", "$device"),), normal_life)
    assert short[-3:] == ["control-request validate", "operator revoke", "control-answered validate deny"]


def test_during_a_validate_the_old_truth_is_still_told(tmp_path: Path) -> None:
    short, _ = play(tmp_path / "t", (step("during", "validate", 1, "revoke", "$device"),), normal_life)
    assert short[2:] == [
        "control-request validate",
        "operator revoke",
        "control-answered validate allow",
        "control-request validate",
        "control-answered validate deny",
    ]


def test_an_operator_acts_while_an_effect_is_in_flight(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        await normal_life(stage)
        await stage.effect()
        await stage.call("validate")

    short, events = play(tmp_path / "t", (step("during", "effect", 1, "disable"),), script)
    assert short[-4:] == [
        "effect-started",
        "operator disable",
        "control-request validate",
        "control-answered validate deny",
    ]
    (operator,) = [event for event in events if isinstance(event, Operator)]
    assert operator.held == 1


def test_an_answer_fault_hits_validates_from_its_boundary_on_and_leaves_a_receipt(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        for operation in ("register", "validate", "validate", "register", "validate"):
            await stage.call(operation)

    short, _ = play(tmp_path / "t", (step("before", "validate", 2, "fault", {"hang": {}}),), script)
    assert short[4:] == [
        "control-request validate",
        "fault-armed hang",
        "fault-delivered validate hang",
        "control-failed validate cut-off",
        "control-request register",
        "control-answered register",
        "control-request validate",
        "fault-delivered validate hang",
        "control-failed validate cut-off",
    ]


def test_an_outage_ends_after_so_many_failed_calls(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        for _ in range(4):
            await stage.call("validate")

    steps = (step("before", "validate", 1, "fault", {"hang": {}}, Until(calls=2)),)
    short, _ = play(tmp_path / "t", steps, script)
    assert short.count("control-failed validate cut-off") == 2
    assert short.index("fault-cleared hang") == short.index("control-failed validate cut-off", 4) + 1
    assert short[-1] == "control-answered validate deny"  # never registered


def test_a_refused_connect_stands_before_the_connection_of_its_boundary(tmp_path: Path) -> None:
    refusing: list[list[bool]] = []

    async def script(stage: Stage) -> None:
        for operation in ("register", "validate"):
            await stage.call(operation)
            refusing.append(list(stage.refusing))

    short, _ = play(tmp_path / "t", (step("before", "validate", 2, "fault", {"refuse": {}}),), script)
    assert refusing == [[], [True]]
    assert short[-1] == "fault-armed refuse"


def test_a_refused_connect_at_startup_stands_after_the_register(tmp_path: Path) -> None:
    refusing: list[list[bool]] = []

    async def script(stage: Stage) -> None:
        await stage.director.fire("before", "start", 1)
        refusing.append(list(stage.refusing))
        await stage.call("register")
        refusing.append(list(stage.refusing))

    play(tmp_path / "t", (step("before", "validate", 1, "fault", {"refuse": {}}),), script)
    assert refusing == [[], [True]]


def test_after_a_rotation_the_old_key_is_known_as_such(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        old = stage.console.key
        stage.director.operate("rotate")
        assert [stage.console.key_state(key) for key in (stage.console.key, old, "org_x", None)] == [
            "current",
            "old",
            "other",
            "missing",
        ]

    short, _ = play(tmp_path / "t", (), script)
    assert short == ["operator rotate"]


def test_a_handshake_that_is_withheld_is_no_idleness_and_ends_as_its_connection_did(tmp_path: Path) -> None:
    async def script(stage: Stage) -> None:
        await stage.call("register")
        director, progress = stage.director, stage.director.progress
        fault = director.listener_fault()
        assert fault is not None
        with director.withholding():
            assert (progress.open_calls, progress.owes) == (1, False)
            await director.listener_fault_delivered(
                fault, instance=1, connection=2, evidence="seen", ending="gave-up", waited=2.0004
            )
        assert (progress.open_calls, progress.withheld) == (0, 0)

    armed = step("before", "validate", 1, "fault", {"handshake-hang": {}})
    said, events = play(tmp_path / "trace.jsonl", (armed,), script)
    assert said[-2:] == ["fault-delivered unknown handshake-hang", "control-failed unknown gave-up"]
    (failed,) = (event for event in events if isinstance(event, ControlFailed))
    assert (failed.call, failed.connection, failed.waited) == (None, 2, 2.0)
