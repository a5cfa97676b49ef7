"""One run, from an empty world to a closed trace."""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import os
import secrets
import signal
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

from fake_control_plane.state import ControlPlane
from machineid_conformance.dilation.build import Unavailable, place
from machineid_conformance.dilation.page import Page
from machineid_conformance.engine.api import Ran, Session, SetupError
from machineid_conformance.engine.console import Console
from machineid_conformance.engine.director import RunDirector
from machineid_conformance.engine.host import host_command, temporary_folder
from machineid_conformance.engine.instance import Instance, open_instance
from machineid_conformance.engine.notes import Notes
from machineid_conformance.engine.pace import Pace
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.stimulus import Stimulation
from machineid_conformance.engine.target_time import TargetTime
from machineid_conformance.engine.watch import Watch
from machineid_conformance.isolation.api import AllGone, IsolationError, MainExited, OutputChunk, TimeFiles, WorldEvent
from machineid_conformance.trace.events import Diagnosed, FaultWithheld, RunEnded, RunStarted, Signalled, Spawned
from machineid_conformance.trace.redact import Redactor
from machineid_conformance.trace.writer import TraceWriter

QUIET_SECONDS = 1.0
QUIET_WITH_DESCENDANTS = 0.05
"""How long, at most, a target that ended may still have requests under way; its descendants' connections never end by that."""
TERM_SECONDS = 3.0
"""How long a target that was asked to end (SIGTERM) may take before it is killed."""


class Run:
    """Executes one planned run. ``release`` is called once, when the run has begun to wait and needs no core. ``speed`` is the highest rate
    of target time; 1: real time.
    """

    def __init__(
        self,
        plan: PlannedRun,
        session: Session,
        *,
        default_device: str | None,
        registers: bool,
        hold_for: Callable[[float], float],
        release: Callable[[], None],
        speed: float = 1.0,
    ) -> None:
        self.plan = plan
        self.session = session
        self.speed = speed
        self.time = TargetTime()
        self.clock = self.time.now
        self.outside: str | None = None
        self.release = release
        self.instances: list[Instance] = []
        self.trace = session.report / "traces" / f"{plan.id}.jsonl"
        self._redactor = Redactor()
        for name in plan.target.pass_env:
            for variable, value in os.environ.items():
                if fnmatch.fnmatchcase(variable, name):
                    self._redactor.learn(value)
        self._plane = ControlPlane(new_id=lambda: str(uuid.uuid4()), new_key=lambda: f"org_{secrets.token_hex(16)}")
        key = self._plane.add_org(plan="max")
        tell = None if session.tell is None else functools.partial(session.tell, plan.id)
        self._writer = TraceWriter(self.trace, clock=self.clock, redactor=self._redactor, tell=tell)
        self.console = Console(
            self._plane,
            key=key,
            redactor=self._redactor,
            default_device=default_device or "machineid-conformance:unknown",
        )
        self.director = RunDirector(
            plan,
            plane=self._plane,
            console=self.console,
            writer=self._writer,
            time=self.time,
            hold_for=hold_for,
            registers=registers,
        )
        self._notes = Notes(self.director)
        self.director.faults.toxiproxy = session.toxiproxy is not None
        self.director.drain = self._drain
        self.director.settle = self._settle
        self.director.faults.refuse = self._refuse
        self.director.restart = self.restart
        self.director.send_signal = self._send_signal
        self.stimulation: Stimulation | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stop_pace: Callable[[], object] = lambda: None
        self._ends: deque[tuple[Instance, MainExited | AllGone]] = deque()
        self._ended = asyncio.Event()

    async def execute(self) -> Ran:
        """Run it.

        Raises:
            SetupError: setup failed, or the command cannot be executed.
            IsolationError: a world could not be made.
        """
        try:
            return await self._execute()
        except SetupError as error:
            # A command line may hold the org key, and what a person's own script prints may hold what its environment holds.
            raise SetupError(self._redactor.text(str(error))) from None

    async def _execute(self) -> Ran:
        plan, director = self.plan, self.director
        await host_command(plan.target.setup, plan.target, "setup")
        started = time.monotonic()
        try:
            self._record_header()
            async with AsyncExitStack() as stack:
                files = await self._target_time(stack)
                await self._open_instances(stack, files)
                self._tasks.append(asyncio.create_task(self._follow_ends()))
                self.time.begin()
                self._preregister()
                await director.fire("before", "start", 1)
                for instance in self.instances:
                    await self._start(instance)
                if plan.target.stimulus is not None:
                    self.stimulation = Stimulation(plan.target.stimulus, self.instances[0], director)
                    director.stimulate = self.stimulation.add
                    self._tasks.append(asyncio.create_task(self.stimulation.run()))
                watch = Watch(self)
                reason = await watch.until_over()
                await self._end(reason)
        finally:
            for task in self._tasks:
                task.cancel()
            try:
                await asyncio.gather(*self._tasks, return_exceptions=True)
            finally:
                director.faults.clear_timers()
                self._writer.close()
                await host_command(plan.target.teardown, plan.target, "teardown")
        return Ran(
            run=plan,
            trace=self.trace,
            seconds=round(self.clock(), 3),
            wall_seconds=round(time.monotonic() - started, 3),
            speed=self.time.fastest,
            outside=self.outside,
        )

    # -- before ----------------------------------------------------------------------------------------------------------

    def _record_header(self) -> None:
        plan = self.plan
        self.director.record(
            RunStarted(
                run=plan.id, target=plan.target.name, scenario=plan.scenario.id, rules=plan.scenario.rules, subject=plan.subject,
                n=plan.n, variant=plan.variant.id if plan.variant else None, baseline=plan.baseline, isolation=self.session.mode,
                speed=self.speed, environment=dict(plan.environment),
            )
        )  # fmt: skip

    async def _target_time(self, stack: AsyncExitStack) -> TimeFiles | None:
        """The time that all worlds of this run share, where it is not real time; ``Pace`` sets its rate."""
        if self.speed == 1 or isinstance(self.session.library, Unavailable):
            return None
        library = place(self.session.library, await stack.enter_async_context(temporary_folder(self.session.scratch)))
        page = Page(library.page, library.woken)
        self.time.follow(page)
        stack.callback(page.close)
        stack.callback(self.time.follow, None)
        stack.callback(library.path.unlink)
        pace = Pace(self.time, highest=self.speed, asleep=self._asleep)
        self.director.heard = pace.heard
        following = asyncio.create_task(pace.follow())
        self._tasks.append(following)
        self._stop_pace = following.cancel
        return TimeFiles(library=library.path, page=library.page, woken=library.woken)

    async def waits_long(self) -> bool:
        """Whether the target waits, in real time. In fast time it will not for long; and what a busy machine keeps from its work does not
        wait: to begin more beside it would make it busier.
        """
        return (self.speed == 1 or self.outside is not None) and await self._asleep()

    async def _asleep(self) -> bool:
        """Whether all processes wait, in target time and not for the harness, and nothing that they wrote or sent is unread."""
        try:
            for instance in self.instances:
                found = await instance.world.asleep()
                if not found.asleep:
                    return False
                if found.outside and self.speed > 1:  # and not one that is being started, and has yet to load it
                    self.outside = self.outside or found.outside[0]
                    return False
        except IsolationError:
            return False  # its supervisor has ended
        # Only now: what a process has sent before it went to sleep is there by now.
        owed = self.director.progress.owes or any(instance.gateway.owes() for instance in self.instances)
        return not (owed or self.unread())

    async def _open_instances(self, stack: AsyncExitStack, time: TimeFiles | None) -> None:
        plan = self.plan
        wanted = [(plan.target, n) for n in range(1, plan.instances + 1)] + [(target, 1) for target in plan.companions]
        for number, (target, n) in enumerate(wanted, 1):
            instance = await open_instance(
                stack, number, target, n, session=self.session, console=self.console, director=self.director,
                environment=plan.environment, time=time,
            )  # fmt: skip
            self.instances.append(instance)
            self._tasks.append(asyncio.create_task(instance.gateway.serve()))
            self._tasks.append(asyncio.create_task(self._follow(instance)))

    def _preregister(self) -> None:
        """Devices that the scenario acts on before the start must exist; a preregistered target's always do."""
        devices = set[str]()
        for target in (self.plan.target, *self.plan.companions):
            if target.preregistered:
                devices.update(target.devices)
        for step in self.director.pending:
            if step.at.subject == "start" and step.do.kind in ("revoke", "restore", "remove"):
                devices.add(self.director.subject_device() if step.do.argument == "$device" else str(step.do.argument))
        for device in sorted(devices):
            self._plane.operator_preregister(self.console.key, device)

    async def _start(self, instance: Instance) -> None:
        instance.gateway.restarted()
        instance.exited = instance.gone = False
        instance.left = instance.killed = ()
        instance.kill = None
        self.director.record(
            Spawned(
                instance=instance.number, start=instance.start + 1, command=instance.command, device=instance.device
            )
        )  # fmt: skip
        try:
            instance.start = await instance.world.start(command=instance.command, environment=instance.environment)
        except OSError as error:
            raise SetupError(
                f"target {instance.target.name!r}: the command {list(instance.command)} cannot be executed: {error}"
            ) from error

    async def restart(self) -> None:
        """End what is left of every instance and start it again: the scenario's ``restart``."""
        for instance in self.instances[: self.plan.instances]:
            await self._stop_instance(instance)
            await self._start(instance)
        self.director.progress.restarted(self.clock())
        if self.stimulation is not None:
            self.stimulation.again()

    def revoke_all(self) -> None:
        """The horizon is reached: end the target the way an operator would."""
        devices = set(self.plan.target.devices) | {self.director.subject_device()}
        for device in sorted(devices):
            self.director.operate("revoke", device, why="horizon")

    @property
    def companions_worked(self) -> int:
        """How much the other processes of the group did since the target was refused."""
        refused = self.director.progress.first_refusal_at
        return 0 if refused is None else self.director.effects_of_others_since(self.plan.instances, refused)

    # -- what happens ------------------------------------------------------------------------------------------------------

    async def _follow(self, instance: Instance) -> None:
        async for event in instance.world.events():
            self._take(instance, event)
            if isinstance(event, OutputChunk):
                await asyncio.sleep(0)  # a target that floods must not keep the others' requests waiting

    def unread(self) -> bool:
        """Read what is pending now; whether there was anything."""
        before = self._writer.written
        self._drain()
        return self._writer.written > before

    def _drain(self) -> None:
        for instance in self.instances:
            for event in instance.world.drain():
                self._take(instance, event)

    def _take(self, instance: Instance, event: WorldEvent) -> None:
        """Note at once what a process wrote, touched or was refused; its end waits until what it had sent before was read."""
        self.director.heard()
        if isinstance(event, MainExited | AllGone):
            self._ends.append((instance, event))
            self._ended.set()
        else:
            self._notes.take(instance, event)

    async def _follow_ends(self) -> None:
        """Processes end one after the other, each after everything that it had sent."""
        while True:
            await self._ended.wait()
            self._ended.clear()
            while self._ends:
                instance, event = self._ends[0]
                if isinstance(event, MainExited):
                    await instance.gateway.quiet(QUIET_WITH_DESCENDANTS if event.left else QUIET_SECONDS)
                elif instance.kill is not None:
                    await instance.kill.wait()
                self._drain()
                self._ends.popleft()
                self._notes.take(instance, event)
                if isinstance(event, MainExited):
                    await self.director.fire("after", "exit", event.start)

    def _settle(self) -> None:
        for instance in self.instances:
            instance.gateway.settle()

    def _refuse(self, refuse: bool) -> None:
        for instance in self.instances:
            if instance.gate is not None and not refuse:
                instance.gate.refuse(False)  # up before anybody can come, down after nobody can
            instance.world.refuse_control(refuse)
            if instance.gate is not None and refuse:
                instance.gate.refuse(True)
            if refuse and instance.world.control_listener is None and instance.world.mode == "namespace":
                self.director.record(
                    FaultWithheld(fault="refuse", variant=None, why="the world has no control listener")
                )

    async def _send_signal(self, number: signal.Signals) -> None:
        for instance in self.instances[: self.plan.instances]:
            self.director.record(Signalled(instance=instance.number, signal=number.name, why="scenario"))
            await instance.world.signal(number)

    # -- the end -------------------------------------------------------------------------------------------------------------

    async def _end(self, reason: str) -> None:
        self._stop_pace()
        self.time.real()
        self._settle()
        self._drain()
        self.director.closing = True
        for instance in self.instances:
            await self._stop_instance(instance)
        files = tuple(path for instance in self.instances[:1] for path in instance.world.files_written())
        self._drain()
        for instance in self.instances:
            self._notes.flush(instance)
        self.director.record(RunEnded(reason=reason, files_written=files))

    async def _stop_instance(self, instance: Instance) -> None:
        if instance.gone:
            return
        closing, self.director.closing = self.director.closing, True  # what it does now was asked for
        try:
            if not instance.exited:
                self.director.record(Signalled(instance=instance.number, signal="SIGTERM", why="end"))
                with suppress(ProcessLookupError):
                    await instance.world.signal(signal.SIGCONT)
                    await instance.world.signal(signal.SIGTERM)
                await self._wait_gone(instance, TERM_SECONDS)
            if not instance.gone:
                instance.kill = asyncio.Event()
                instance.killed = await instance.world.kill()
                instance.kill.set()
                await self._wait_gone(instance, None)
        finally:
            self.director.closing = closing

    async def _wait_gone(self, instance: Instance, seconds: float | None) -> None:
        bell = self.director.progress.bell
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not instance.gone and not (instance.exited and instance.left):
                    bell.clear()
                    await bell.wait()
                while not instance.gone and seconds is None:
                    bell.clear()
                    await bell.wait()

    def diagnose(self, problem: str, detail: str) -> None:
        """Write down what a person should know of this run."""
        self.director.record(Diagnosed(problem=problem, detail=detail))
