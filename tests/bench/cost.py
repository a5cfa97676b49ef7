"""What the harness itself adds to a run: ``python -m tests.bench.cost [--target NAME]… [--times N]``.

A fault-free run of a bundled target, from the making of its world to its verdict, beside the floor: the same target against a server that
allows everything at once (``tests/bench/floor.py``). Both one at a time, in turns of five, so that a machine that is slow for a moment is
slow for both. The goal is a difference of 25 ms of wall time.

Processor time is told apart by who used it: *target* (what the world's supervisor has waited for), *engine* (this process until the
trace is closed), *judge* (this process from reading the trace to the verdict), *world* (all else: spawner, founder, supervisor).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fake_control_plane.certificates import Authority
from machineid_conformance.config.model import Target
from machineid_conformance.dilation.build import Unavailable
from machineid_conformance.engine.api import Ran, Session
from machineid_conformance.engine.plan import PlannedRun, baseline_runs
from machineid_conformance.engine.run import Run
from machineid_conformance.isolation import namespace
from machineid_conformance.isolation.api import World, WorldSpec
from machineid_conformance.isolation.spawn import Spawner
from machineid_conformance.judge import verdict
from machineid_conformance.judge.api import Baseline, Case
from machineid_conformance.judge.baseline import build
from machineid_conformance.judge.registry import rules
from machineid_conformance.judge.view import RunView
from machineid_conformance.scenario.load import load_catalogue
from machineid_conformance.trace.reader import read
from tests.bench.floor import bundled
from tests.bench.processor import Seconds, accounted

GOAL = 0.025
TURN = 5
TARGETS = ("worker", "sdk-worker")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one run. ``world`` is None where no control group can be made."""

    wall: float
    target: float
    engine: float
    judge: float
    world: float | None


class Bench:
    """Runs one target through the engine's own parts, in this process."""

    def __init__(
        self, target: Target, *, report: Path, scratch: Path, spawner: Spawner, everything: Seconds | None
    ) -> None:
        authority = Authority()
        pem = scratch / "authority.pem"
        pem.write_bytes(authority.pem)
        self._session = Session(
            report=report, authority=authority, authority_pem=pem, open_world=self._open_world, mode="namespace", scratch=scratch,
            library=Unavailable(reason="fault-free runs are in real time"),
        )  # fmt: skip
        self._target = target
        self._spawner = spawner
        self._everything = everything
        self._rules = rules()
        self._plan = baseline_runs(
            target, next(one for one in load_catalogue(known_rules=self._rules) if one.id == "baseline")
        )
        self._baseline: Baseline
        self._used_by_target = 0.0

    async def _open_world(self, spec: WorldSpec) -> World:
        world = await namespace.open_world(spec, spawner=self._spawner)
        close = world.close

        async def asked_then_closed() -> None:
            self._used_by_target, _ = await world.busy()
            await close()

        world.close = asked_then_closed  # type: ignore[method-assign]
        return world

    async def prepare(self) -> None:
        """The baseline; everything that is made once a session is made by then."""
        self._baseline = build([RunView.of(read((await self._run(plan)).trace)) for plan in self._plan], self._target)
        if self._baseline.diagnosis is not None:
            raise RuntimeError(f"{self._target.name} cannot be judged here: {self._baseline.diagnosis}")

    async def _run(self, plan: PlannedRun) -> Ran:
        run = Run(
            plan, self._session, default_device=None, registers=True, hold_for=lambda share: share, release=lambda: None
        )  # fmt: skip
        return await run.execute()

    async def measured(self, number: int) -> Cost:
        """One run and its verdict."""
        everything = self._everything() if self._everything else 0.0
        own, began = time.process_time(), time.monotonic()
        ran = await self._run(replace(self._plan[0], id=f"{self._target.name}/cost/{number}"))
        ended = time.process_time()
        case = Case(
            view=RunView.of(read(ran.trace)), target=self._target, baseline=self._baseline, profile=self._target.profile
        )
        verdict.judge_run(case, self._rules)
        wall, judged = time.monotonic() - began, time.process_time()
        used = self._everything() - everything if self._everything else None
        return Cost(
            wall=wall, target=self._used_by_target, engine=ended - own, judge=judged - ended,
            world=None if used is None else used - self._used_by_target - (judged - own),
        )  # fmt: skip


def floor(target: str, times: int) -> dict[str, list[float]]:
    """``tests/bench/floor.py`` in a process of its own, because it leaves this machine's network for good."""
    command = [sys.executable, "-m", "tests.bench.floor", target, str(times)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


async def measure(name: str, times: int, everything: Seconds | None) -> tuple[list[Cost], list[float], list[float]]:
    """The runs, and the floor's wall and processor times."""
    costs, wall, cpu = list[Cost](), list[float](), list[float]()
    with tempfile.TemporaryDirectory() as folder:
        report, scratch = Path(folder) / "report", Path(folder) / "scratch"
        scratch.mkdir()
        spawner = await Spawner.start()
        try:
            bench = Bench(bundled(name), report=report, scratch=scratch, spawner=spawner, everything=everything)
            await bench.prepare()
            while len(costs) < times:
                for _ in range(min(TURN, times - len(costs))):
                    costs.append(await bench.measured(len(costs)))
                one_turn = await asyncio.to_thread(floor, name, len(costs) - len(wall))
                wall += one_turn["wall"]
                cpu += one_turn["cpu"]
        finally:
            await spawner.close()
    return costs, wall, cpu


def report(name: str, costs: Sequence[Cost], wall: Sequence[float], cpu: Sequence[float]) -> None:
    """Print the table of one target. Other work on the machine adds to every figure; the least one has the least of that."""
    runs = [cost.wall for cost in costs]
    share = statistics.median(runs) - statistics.median(wall)
    print(f"{name}: {len(costs)} runs, one at a time, load average {os.getloadavg()[0]:.1f} at the end; ms")
    print(f"  {'':34}{'median':>9}{'least':>9}")
    _row("wall, a run to its verdict", runs)
    _row("wall, the floor", wall, "allow-all server, no world, no trace, no verdict")
    print(f"  {'difference':34}{1000 * share:9.1f}{1000 * (min(runs) - min(wall)):9.1f}")
    reached = "reached" if share <= GOAL else "not reached"
    ratio = statistics.median(runs) / statistics.median(wall)
    print(f"  goal, {1000 * GOAL:.0f} ms between the medians: {reached}; a run takes {ratio:.2f} times its floor")
    _row("processor, target", [cost.target for cost in costs])
    _row("processor, target on the floor", cpu)
    _row("processor, engine", [cost.engine for cost in costs])
    _row("processor, judge", [cost.judge for cost in costs])
    _row("processor, world", [cost.world for cost in costs if cost.world is not None])


def _row(words: str, seconds: Sequence[float], remark: str = "") -> None:
    if seconds:
        print(f"  {words:34}{1000 * statistics.median(seconds):9.1f}{1000 * min(seconds):9.1f}   {remark}".rstrip())
    else:
        print(f"  {words:34}{'-':>9}{'-':>9}   no control group can be made here")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", action="append", help=f"a target of tests/runtimes (default: {', '.join(TARGETS)})")
    parser.add_argument("--times", type=int, default=30, help="runs (default 30)")
    options = parser.parse_args()
    with accounted() as everything:
        for name in options.target or TARGETS:
            # The floor's own start is this process's child too, but none of it falls between two readings around a run.
            report(name, *asyncio.run(measure(name, options.times, everything)))


if __name__ == "__main__":
    main()
