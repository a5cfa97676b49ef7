"""What says more of this machine, or of the speed of its time, than of the target is run again before it is believed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from machineid_conformance.engine import pressure
from machineid_conformance.engine.api import Judged, Ran
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.judge import starvation
from machineid_conformance.judge.api import Case, Rule
from machineid_conformance.judge.starvation import Doubt
from machineid_conformance.judge.view import RunView
from machineid_conformance.trace.reader import read

REPEATS = 2
"""How often a run is repeated at most, because the machine was too busy for the target's own deadlines."""
MISSED_LIMITS = frozenset({"run_within", "start_within"})
"""How a run ends (``run-ended.reason``) that took longer than the target is given."""


class Again(Protocol):
    """Executes a run once more and judges it: alone on this machine, in real time, or both."""

    def __call__(self, plan: PlannedRun, *, alone: bool, real_time: bool) -> Awaitable[Judged]: ...


@dataclass(kw_only=True)
class Repeats:
    """Of one target. ``report`` is the folder that its traces are in, ``others`` are the runs that are believed by now, ``real_time`` says
    whether the target's time can be real time only; ``notice`` is told of each repeat.
    """

    report: Path
    rules: Mapping[str, Rule]
    others: Callable[[], Iterable[Case]]
    real_time: Callable[[], bool]
    notice: Callable[[str], None]
    pressure: dict[str, float] = field(default_factory=dict)
    """By run: the share of its time in which something waited for a core."""
    undecided: set[str] = field(default_factory=set)
    """Runs to be judged, less those that outlast a minute and were run once."""
    confirmed: set[tuple[str, ...]] = field(default_factory=set)
    """Doubts that a repeat has shown to be the target's own doing."""
    _all_decided: asyncio.Event = field(default_factory=asyncio.Event)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def decided(self, plan: PlannedRun) -> None:
        """Nothing more will come of this run that could spare another its repeat."""
        self.undecided.discard(plan.id)
        if not self.undecided:
            self._all_decided.set()

    async def believed(self, judged: Judged, again: Again) -> Judged:
        """The run, or what stands in its place once it was repeated."""
        plan = judged.ran.run
        if plan.outlasts:
            # It can be repeated in fast time alone; but what another run shows in real time is not asked of it again.
            self.decided(plan)
            if self._doubt(judged) is not None:
                await self._all_decided.wait()
        for n in range(1, REPEATS + 1):
            doubt, fast = self._doubt(judged), judged.ran.speed > 1
            if doubt is None or doubt.kind in self.confirmed or not (fast or self._busy(judged.ran)):
                break
            if plan.outlasts and self.real_time():
                break  # it would last for minutes
            async with self._turn:  # one at a time: what one shows spares the others
                doubt = self._doubt(judged)
                if doubt is None or doubt.kind in self.confirmed:
                    break
                self._set_aside(judged.ran, doubt.words, n)
                # What waits for minutes is never repeated in real time.
                judged = await again(plan, alone=not fast or bool(plan.outlasts), real_time=not plan.outlasts)
                still = self._doubt(judged)
                if still is not None and still.kind == doubt.kind:
                    self.confirmed.add(doubt.kind)
        return judged

    async def believed_baseline(self, ran: Ran, again: Callable[[], Awaitable[Ran]]) -> Ran:
        """The same of a fault-free run: what every other run is compared with must not be a busy machine's."""
        for n in range(1, REPEATS + 1):
            gave_up = starvation.gave_up(RunView.of(read(ran.trace)))
            if gave_up is None or not self._busy(ran):
                break
            self._set_aside(ran, gave_up, n)
            ran = await again()
        return ran

    def _busy(self, ran: Ran) -> bool:
        return self.pressure[ran.run.id] >= pressure.BUSY

    def _doubt(self, judged: Judged) -> Doubt | None:
        """Why this run says too little of the target. What was done was done; what is missing or late may be the machine's, or come of the
        speed of its time.
        """
        ended = judged.case.view.ended
        if judged.ran.speed > 1 and ended is not None and ended.reason in MISSED_LIMITS:
            return Doubt(kind=("limit", ended.reason), words=f"it reached its limit {ended.reason}")
        usual_end = starvation.usual_end(self.others())
        return starvation.doubt(judged.case, judged.observations, self.rules, usual_end=usual_end)

    def _set_aside(self, ran: Ran, doubt: str, n: int) -> None:
        """The trace of the run that is not believed is kept beside the other's."""
        if ran.speed > 1:
            word, why = "fast", f"in time up to {ran.speed:.0f} times as fast as real time; now in real time"
        else:
            share = self.pressure[ran.run.id]
            word, why = f"busy-{n}", f"while for {share:.0%} of its time something waited for a core of this machine"
        kept = ran.trace.with_name(f"{ran.trace.stem}.{word}{ran.trace.suffix}")
        ran.trace.rename(kept)
        at = kept.relative_to(self.report).as_posix()
        self.notice(f"{ran.run.id} is run again: {doubt}, {why}; its trace is {at}")
