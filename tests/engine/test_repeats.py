"""A run that says more of a busy machine than of the target is run again, alone, before it is held against the target."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from machineid_conformance.engine.api import Ran
from machineid_conformance.engine.interruption import Interruption
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.repeats import REPEATS
from machineid_conformance.engine.selection import Selection
from machineid_conformance.engine.slots import Slots
from machineid_conformance.engine.stream import Message
from machineid_conformance.engine.target import TargetSession
from machineid_conformance.judge.registry import rules
from machineid_conformance.scenario.model import Action, Moment, Step
from machineid_conformance.trace.redact import Redactor
from machineid_conformance.trace.writer import TraceWriter
from tests.judge._traces import DEVICE, Trace, baseline, target

BUSY, QUIET = 0.9, 0.0
Made = tuple[Trace, float] | tuple[Trace, float, float]


def refused() -> Trace:
    return Trace("restore/resumes").spawn().register().allow().effect().operator("revoke", DEVICE).deny().exit(1)


RESUMES = refused().operator("restore", DEVICE).spawn().register().allow().effect().end("horizon")
DOES_NOT = refused().operator("restore", DEVICE).spawn().register().allow().exit(1).end()
WORKS_ON = (
    Trace("stop/next-boundary").spawn().register().allow().effect().operator("revoke", DEVICE).deny().effect().end()
)


class Scripted(TargetSession):
    """Its runs are given traces: those of ``script``, in their order, each with the pressure under which it was made, and its speed."""

    script: list[Made]
    alone: list[bool]
    real: list[bool]

    async def _execute(self, plan: PlannedRun, *, alone: bool = False, real_time: bool = False) -> Ran:
        trace, share, *speed = self.script.pop(0)
        self.alone.append(alone)
        self.real.append(real_time)
        self.repeats.pressure[plan.id] = share
        path = self.session.report / "traces" / f"{plan.id}.jsonl"
        moments = iter(event.at for event in trace.view.events)
        writer = TraceWriter(path, clock=lambda: next(moments), redactor=Redactor())
        for event in trace.view.events:
            writer.write(event)
        writer.close()
        await asyncio.sleep(0)  # as in life, others go on meanwhile
        return Ran(run=plan, trace=path, seconds=1.0, wall_seconds=1.0, speed=speed[0] if speed else 1.0)


def scripted(folder: Path, script: Sequence[Made], said: list[Message] | None = None) -> Scripted:
    """A session whose runs are these; ``said`` gets its messages."""
    session = Scripted(
        target=target(),
        scenarios=(),
        companions=(),
        selection=cast("Selection", None),
        session=cast("Any", SimpleNamespace(report=folder)),
        slots=Slots(2),
        rules=rules(),
        emit=(said if said is not None else []).append,
        interruption=Interruption(),
        baseline=baseline(),
    )
    session.script, session.alone, session.real = list(script), [], []
    return session


def judge(folder: Path, script: Sequence[Made], *, runs: int = 1) -> tuple[Scripted, list[str]]:
    """What became of ``runs`` runs one after the other, and the notices."""
    said: list[Message] = []
    session = scripted(folder, script, said)
    scenario = cast("Any", SimpleNamespace(id="restore-and-restart"))

    async def main() -> None:
        for n in range(runs):
            plan = PlannedRun(id=f"worker/restore-and-restart/{n}", target=session.target, scenario=scenario, steps=())
            await session._run_and_judge(plan)

    asyncio.run(main())
    return session, [message.payload["text"] for message in said if message.kind == "notice"]


def outcome(session: Scripted, n: int = 0) -> str:
    return session.judged[f"worker/restore-and-restart/{n}"].observations["restore/resumes"].outcome


def test_what_was_missing_on_a_busy_machine_is_run_again_alone(tmp_path: Path) -> None:
    session, said = judge(tmp_path, [(DOES_NOT, BUSY), (RESUMES, BUSY)])
    assert session.alone == [False, True]
    assert outcome(session) == "pass"
    (notice,) = said
    assert "run again: restore/resumes failed by something missing or late" in notice
    kept = tmp_path / "traces" / "worker" / "restore-and-restart" / "0.busy-1.jsonl"
    assert "traces/worker/restore-and-restart/0.busy-1.jsonl" in notice
    assert kept.read_text(encoding="utf-8").count("\n") == len(DOES_NOT.view.events)


def test_on_a_quiet_machine_it_stands(tmp_path: Path) -> None:
    session, said = judge(tmp_path, [(DOES_NOT, QUIET)])
    assert (outcome(session), session.alone, said) == ("fail", [False], [])


def test_what_was_done_stands_on_a_busy_machine_too(tmp_path: Path) -> None:
    session, said = judge(tmp_path, [(WORKS_ON, BUSY)])
    assert (session.alone, said) == ([False], [])
    found = session.judged["worker/restore-and-restart/0"].observations
    assert any(observation.findings for observation in found.values())


@pytest.mark.parametrize("pressure", [BUSY, QUIET])
def test_what_is_so_again_is_the_targets_and_spares_its_other_runs(tmp_path: Path, pressure: float) -> None:
    script = [(DOES_NOT, BUSY), (DOES_NOT, pressure), (DOES_NOT, BUSY)]
    session, said = judge(tmp_path, script, runs=2)
    assert session.alone == [False, True, False]
    assert [outcome(session, n) for n in range(2)] == ["fail", "fail"]
    assert len(said) == 1


def test_another_trouble_at_each_time_is_given_up_in_the_end(tmp_path: Path) -> None:
    gives_up = Trace("restore/resumes").spawn().register().ask().lose("gave-up", waited=2.0).exit(1).end()
    session, said = judge(tmp_path, [(DOES_NOT, BUSY), (gives_up, BUSY), (DOES_NOT, BUSY)])
    assert len(said) == REPEATS == 2
    assert session.alone == [False, True, True]
    assert session.script == []


def test_what_was_missing_in_fast_time_is_run_again_in_real_time(tmp_path: Path) -> None:
    session, said = judge(tmp_path, [(DOES_NOT, QUIET, 50.0), (RESUMES, QUIET)])
    assert (session.real, session.alone) == ([False, True], [False, False])
    assert outcome(session) == "pass"
    (notice,) = said
    assert "in time up to 50 times as fast as real time" in notice
    assert (tmp_path / "traces" / "worker" / "restore-and-restart" / "0.fast.jsonl").exists()


def test_what_was_done_in_fast_time_stands(tmp_path: Path) -> None:
    session, said = judge(tmp_path, [(WORKS_ON, QUIET, 50.0)])
    assert (session.real, said) == ([False], [])


def test_what_is_missing_in_real_time_too_spares_the_other_runs(tmp_path: Path) -> None:
    script: list[Made] = [(DOES_NOT, QUIET, 50.0), (DOES_NOT, QUIET), (DOES_NOT, QUIET, 50.0)]
    session, _ = judge(tmp_path, script, runs=2)
    assert session.real == [False, True, False]
    assert [outcome(session, n) for n in range(2)] == ["fail", "fail"]


def test_a_limit_that_was_reached_in_fast_time_is_not_believed(tmp_path: Path) -> None:
    late = Trace("restore/resumes").spawn().register().allow().effect().end("run_within")
    session, said = judge(tmp_path, [(late, QUIET, 50.0), (RESUMES, QUIET)])
    assert session.real == [False, True]
    assert "it reached its limit run_within" in said[0]


def test_what_outlasts_a_minute_waits_for_what_the_others_show_in_real_time(tmp_path: Path) -> None:
    """It cannot be repeated in real time, and its fault is the same that others meet for half a minute."""
    session = scripted(tmp_path, [(DOES_NOT, QUIET, 100.0), (DOES_NOT, QUIET, 20.0), (DOES_NOT, QUIET)])
    scenario = cast("Any", SimpleNamespace(id="restore-and-restart", needs=()))
    hang = Action(kind="fault", argument={"hang": {"seconds": 600}})
    for_minutes = Step(at=Moment(relation="before", subject="validate", n=1), do=hang, until=None)
    plans = [
        PlannedRun(id=f"worker/{name}", target=session.target, scenario=scenario, steps=steps)
        for name, steps in (("for-minutes", (for_minutes,)), ("short", ()))
    ]
    session.repeats.undecided = {plan.id for plan in plans}

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(session._decide(plan))

    asyncio.run(main())
    assert session.real == [False, False, True]  # of the short one alone, and it spares the other
    assert session.judged["worker/for-minutes"].ran.speed == 100.0
    assert not (tmp_path / "traces" / "worker" / "for-minutes.fast.jsonl").exists()


def test_what_outlasts_a_minute_is_run_again_alone_where_no_other_shows_it(tmp_path: Path) -> None:
    session = scripted(tmp_path, [(DOES_NOT, QUIET, 100.0), (RESUMES, QUIET, 100.0)])
    scenario = cast("Any", SimpleNamespace(id="restore-and-restart", needs=()))
    hang = Action(kind="fault", argument={"hang": {"seconds": 600}})
    steps = (Step(at=Moment(relation="before", subject="validate", n=1), do=hang, until=None),)
    plan = PlannedRun(id="worker/for-minutes", target=session.target, scenario=scenario, steps=steps)
    session.repeats.undecided = {plan.id}
    asyncio.run(session._decide(plan))
    assert (session.alone, session.real) == ([False, True], [False, False])
    assert session.judged[plan.id].observations["restore/resumes"].outcome == "pass"


def test_of_many_that_stay_after_a_refusal_one_is_run_again_and_shows_that_the_target_does(tmp_path: Path) -> None:
    script: list[Made] = []
    for rule in ("restore/resumes", "stop/next-boundary", "degraded/no-work", "degraded/fresh-allow"):
        stays = Trace(rule).spawn().register().allow().effect().operator("revoke", DEVICE).deny().end("idle")
        script.append((stays, QUIET, 50.0))
    session = scripted(tmp_path, [*script, (script[0][0], QUIET)])
    scenario = cast("Any", SimpleNamespace(id="revoke-at-boundary", needs=()))
    plans = [
        PlannedRun(id=f"worker/{n}", target=session.target, scenario=scenario, steps=()) for n in range(len(script))
    ]

    async def main() -> None:
        async with asyncio.TaskGroup() as group:  # none of them is believed before all were run
            for plan in plans:
                group.create_task(session._decide(plan))

    asyncio.run(main())
    assert session.real == [False] * 4 + [True]
    assert [judged.ran.speed for judged in session.judged.values()] == [1.0, 50.0, 50.0, 50.0]
