"""When a run is over: the one place that looks at clocks.

Nothing here waits for time to pass where it could wait for an event: the watch sleeps on the run's bell, and wakes by itself only at the
next moment at which a limit would be reached.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from machineid_conformance.trace.events import Watched

if TYPE_CHECKING:
    from machineid_conformance.engine.instance import Instance
    from machineid_conformance.engine.run import Run

QUIET_SECONDS = 0.3
"""Of a run in which nothing happened for so long it is asked whether it waits: then it gives its place among the busy ones to another."""
BUSY_SHARE = 0.2
"""A target that uses more of a core than this, or is runnable, is slow and not idle: load must not make a target look stopped."""


class Watch:
    """Decides, from a run's progress, whether and why it is over."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.target = run.plan.target
        self.progress = run.director.progress
        self._revoked_at_horizon = False
        self._cpu: dict[int, tuple[float, float]] = {}  # by instance: real time, and what it had used by then
        self._began = time.monotonic()
        self._refused_at: float | None = None  # real time at which the first refusal was noticed
        self._not_idle_before = 0.0
        self._stops = 0
        steps = [step for step in run.plan.steps if isinstance(step.at.n, int)]
        self._pinned = max((step.at.n for step in steps if isinstance(step.at.n, int)), default=0)

    async def until_over(self) -> str:
        """Wait until the run is over; its reason (``run-ended.reason``)."""
        bell = self.progress.bell
        while True:
            bell.clear()
            reason = await self._over()
            if reason is not None:
                return reason
            if bell.is_set():
                continue
            with suppress(TimeoutError):
                async with self.run.time.limit(self._next_limit()):
                    while not await self._rings():
                        if await self.run.waits_long():
                            self.run.release()
                            await bell.wait()

    async def _rings(self) -> bool:
        """Wait for the bell, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(QUIET_SECONDS):
                await self.progress.bell.wait()
        return self.progress.bell.is_set()

    # -- limits ----------------------------------------------------------------------------------------------------------

    def _next_limit(self) -> float:
        now, target = self.run.clock(), self.target
        limits = [self._run_within() - now, self._real_left() * self.run.time.rate]
        if not self.progress.contacted:
            limits.append(self.progress.started_at + target.start_within - now)
        idle_at = max(self.progress.last_activity, self._not_idle_before) + target.idle_after
        if idle_at > now:
            limits.append(idle_at - now)
            half = idle_at - target.idle_after / 2 - now
            if half > 0:
                limits.append(half)
        if self.progress.first_refusal_at is not None:
            limits.append(self.progress.first_refusal_at + self._window() - now)
            limits.append(self._real_window_left() * self.run.time.rate)
        return max(0.01, min(limit for limit in limits if limit > 0) if any(limit > 0 for limit in limits) else 0.05)

    def _run_within(self) -> float:
        """``run_within``, and what the scenario itself adds to it. In real time a fault that lasts for minutes adds nothing."""
        withheld = self.run.plan.outlasts if self.run.speed > 1 and self.run.outside is None else 0.0
        return self.target.run_within + self._window() + withheld

    def _real_left(self) -> float:
        """Real seconds until a run is ended whose time could have been fast, and hardly ever was."""
        return self._began + self.target.run_within + self.target.grace_window_real - time.monotonic()

    def _window(self) -> float:
        """How long an outage is watched, in target seconds; 0 where ``idle_after`` is enough."""
        watch = self.run.plan.scenario.watch
        if watch == "idle":
            return 0.0
        return self.target.grace_window if watch == "grace" else float(watch)

    def _real_window_left(self) -> float:
        """How many real seconds of the window may still be watched. Where time is real, and where it is not fast enough, the window is
        cut, and the report says what was watched.
        """
        now = time.monotonic()
        return (now if self._refused_at is None else self._refused_at) + self.target.grace_window_real - now

    # -- the decision ----------------------------------------------------------------------------------------------------

    async def _over(self) -> str | None:
        run, now = self.run, self.run.clock()
        if self.progress.first_refusal_at is None:
            self._refused_at = None
        elif self._refused_at is None:
            self._refused_at = time.monotonic()
        subjects = run.instances[: run.plan.instances]
        if all(instance.gone for instance in subjects):
            if await self._stopped():
                return None
            companions = run.instances[run.plan.instances :]
            if all(instance.gone for instance in companions) or self._companions_seen() or await self._idle(now):
                self._watched(now, "gone")
                return "horizon" if self._revoked_at_horizon else "gone"
        if now > self._run_within() or self._real_left() < 0:
            return "run_within"
        if not self.progress.contacted and now > self.progress.started_at + self.target.start_within:
            return "start_within"
        if self._reached_horizon():
            if not self._revoked_at_horizon:
                self._revoked_at_horizon = True
                run.revoke_all()
                return None
            if self.progress.effects_since_validate > 2 * self._gap() or self._asked():
                return "horizon"
        if self._waits_for_the_end_of_an_outage():
            return None
        if self._window() and self.progress.first_refusal_at is not None:
            if now < self.progress.first_refusal_at + self._window() and self._real_window_left() > 0:
                return None
            self._watched(now, "watched")
            return "watched"
        if self._asked():
            return None if await self._stopped() else "asked"
        if run.stimulation is not None and run.stimulation.done and not self._open():
            return None if await self._stopped() else "stimuli"
        if await self._idle(now):
            if await self._stopped():
                return None
            return "horizon" if self._revoked_at_horizon else "idle"
        return None

    def _asked(self) -> bool:
        return self.progress.refused_at is not None and self.progress.validates_since_refusal >= self.target.horizon

    def _gap(self) -> int:
        return max(self.target.horizon, self.target.max_gap + 1)

    def _reached_horizon(self) -> bool:
        if self._revoked_at_horizon:
            return True
        progress = self.progress
        if progress.refused_at is not None:
            return False
        limit = max(self.target.horizon, self._pinned if self.run.director.pending else 0)
        if self.run.plan.steps and not self.run.director.pending:
            limit = max(limit, self._pinned + self.target.horizon)
        if self.run.plan.instances + len(self.run.plan.companions) > 1:
            limit *= self.run.plan.instances + len(self.run.plan.companions)
        return (progress.validates - progress.validates_before_restart >= limit and not self._open()) or (
            progress.effects_since_validate >= self._gap() and not self.run.director.pending
        )

    def _open(self) -> bool:
        return self.progress.open_calls > 0 or self.progress.open_effects > 0

    def _waits_for_the_end_of_an_outage(self) -> bool:
        fault = self.run.director.faults.active
        alive = any(not instance.gone for instance in self.run.instances[: self.run.plan.instances])
        return fault is not None and fault.timer is not None and alive

    def _companions_seen(self) -> bool:
        return self.run.companions_worked >= 2

    async def _stopped(self) -> bool:
        """The target stopped: do what the scenario pins to that; whether there was anything."""
        self._stops += 1
        if not await self.run.director.fire("after", "stop", self._stops):
            self._stops -= 1
            return False
        return True

    def _watched(self, now: float, until: str) -> None:
        refused = self.progress.first_refusal_at
        if refused is not None and self._window():
            self.run.director.record(Watched(what="outage", seconds=round(now - refused, 3), until=until))

    # -- idle ------------------------------------------------------------------------------------------------------------

    async def _idle(self, now: float) -> bool:
        """No work, no validate, nothing owed by the harness, and no use of the processor, for ``idle_after``."""
        if not self.progress.contacted or self._open():
            return False
        if self.run.stimulation is not None and not self.run.stimulation.idle:
            return False
        quiet = now - max(self.progress.last_activity, self._not_idle_before)
        if quiet < self.target.idle_after:
            if quiet >= self.target.idle_after / 2:
                await self._sample()
            return False
        for instance in self.run.instances:
            if not instance.gone and await self._busy(instance):
                self._not_idle_before = now - self.target.idle_after / 2
                return False
        if self.run.unread():  # the harness is behind, and the target may be waiting for it
            self._not_idle_before = now - self.target.idle_after / 2
            return False
        return not self._open()

    async def _sample(self) -> None:
        for instance in self.run.instances:
            if not instance.gone and instance.number not in self._cpu:
                seconds, _ = await instance.world.busy()
                self._cpu[instance.number] = (time.monotonic(), seconds)

    async def _busy(self, instance: Instance) -> bool:
        seconds, runnable = await instance.world.busy()
        now = time.monotonic()
        then, before = self._cpu.pop(instance.number, (now, seconds))
        return runnable or seconds - before > BUSY_SHARE * max(now - then, 0.1)
