"""One run, from an empty world to a closed trace."""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fake_control_plane.certificates import Authority
from fake_control_plane.state import ControlPlane
from machineid_conformance.config import templates
from machineid_conformance.config.model import Target
from machineid_conformance.dilation.build import Library, Unavailable, place
from machineid_conformance.dilation.page import Page
from machineid_conformance.engine.console import Console
from machineid_conformance.engine.director import RunDirector
from machineid_conformance.engine.pace import Pace
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.stimulus import Stimulation
from machineid_conformance.engine.target_time import TargetTime
from machineid_conformance.engine.watch import Watch
from machineid_conformance.gateway.gateway import Gateway
from machineid_conformance.isolation.api import (
    AllGone,
    ConnectRefused,
    DatagramSeen,
    FileTouched,
    IsolationError,
    MainExited,
    OutputChunk,
    TimeFiles,
    World,
    WorldEvent,
    WorldSpec,
)
from machineid_conformance.isolation.environment import target_environment
from machineid_conformance.isolation.lines import LineSplitter
from machineid_conformance.toxics.find import Toxiproxy
from machineid_conformance.toxics.gate import Gate
from machineid_conformance.trace.events import (
    Datagram,
    Diagnosed,
    EffectAnswered,
    EffectStarted,
    Exited,
    FaultWithheld,
    Gone,
    Output,
    RunEnded,
    RunStarted,
    Signalled,
    Spawned,
)
from machineid_conformance.trace.redact import Redactor
from machineid_conformance.trace.writer import TraceWriter

OpenWorld = Callable[[WorldSpec], Awaitable[World]]

QUIET_SECONDS = 1.0
QUIET_WITH_DESCENDANTS = 0.05
"""How long, at most, a target that ended may still have requests under way; its descendants' connections never end by that."""
TERM_SECONDS = 3.0
"""How long a target that was asked to end (SIGTERM) may take before it is killed."""


class SetupError(Exception):
    """``setup`` or ``teardown`` failed, or the target's command cannot be executed: nothing can be judged."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """What all runs of an engine share."""

    report: Path
    authority: Authority
    authority_pem: Path
    open_world: OpenWorld
    mode: str
    scratch: Path
    library: Library | Unavailable
    """Of target time."""
    toxiproxy: Toxiproxy | None = None
    """Delivers the network faults, if it was asked for."""
    tell: Callable[[str, Mapping[str, Any]], None] | None = None
    """Is told each event of every run, with the run's id, as it stands in its trace."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that is over. ``seconds`` are target seconds; ``speed`` is the highest rate at which they passed. ``outside``: the command line
    of a process of the target in real time, because of which all of it was.
    """

    run: PlannedRun
    trace: Path
    seconds: float
    wall_seconds: float
    speed: float = 1.0
    outside: str | None = None


@dataclass(kw_only=True)
class Instance:
    """One live process of the run, and what it is known to be doing."""

    number: int
    target: Target
    device: str | None
    world: World
    gateway: Gateway
    gate: Gate | None
    environment: Mapping[str, str]
    command: tuple[str, ...]
    start: int = 0
    exited: bool = True
    gone: bool = True
    left: tuple[str, ...] = ()
    killed: tuple[str, ...] = ()
    kill: asyncio.Event | None = None  # being killed; set when it is known what was
    splitters: dict[tuple[int, str], LineSplitter] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)  # path: effect number, while nothing else happened since
    ready: asyncio.Event = field(default_factory=asyncio.Event)


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
        self.director.toxiproxy = session.toxiproxy is not None
        self.director.drain = self._drain
        self.director.settle = self._settle
        self.director.refuse = self._refuse
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
        await _host_command(plan.target.setup, plan.target, "setup")
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
                director.clear_timers()
                self._writer.close()
                await _host_command(plan.target.teardown, plan.target, "teardown")
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
        library = place(self.session.library, await stack.enter_async_context(_folder(self.session.scratch)))
        page = Page(library.page, library.woken)
        self.time.follow(page)
        stack.callback(page.close)
        stack.callback(self.time.follow, None)
        stack.callback(library.path.unlink)
        pace = Pace(
            self.time,
            highest=self.speed,
            owes=lambda: self.director.progress.owes,
            asleep=self._asleep,
            measured=self.plan.withholds > 0,
        )
        self.director.heard = pace.heard
        following = asyncio.create_task(pace.follow())
        self._tasks.append(following)
        self._stop_pace = following.cancel
        return TimeFiles(library=library.path, page=library.page, woken=library.woken)

    async def _asleep(self) -> bool:
        """Whether all processes wait, in target time, and nothing that they wrote or sent is unread."""
        try:
            for instance in self.instances:
                found = await instance.world.asleep()
                if not found.asleep:
                    return False  # who has just been executed has not come to load the library yet
                if found.outside:
                    self.outside = self.outside or found.outside[0]
                    return False
        except IsolationError:
            return False  # its supervisor has ended
        return not self.unread()

    async def _open_instances(self, stack: AsyncExitStack, time: TimeFiles | None) -> None:
        plan = self.plan
        wanted = [(plan.target, n) for n in range(1, plan.instances + 1)] + [(target, 1) for target in plan.companions]
        for number, (target, n) in enumerate(wanted, 1):
            await self._open_instance(stack, number, target, n, time)

    async def _open_instance(
        self, stack: AsyncExitStack, number: int, target: Target, n: int, time: TimeFiles | None
    ) -> None:
        folder = await stack.enter_async_context(_folder(self.session.scratch))
        target = _of_instance(target, n)
        port = _port_of(target, self.session.mode)
        device = next(iter(target.devices_of(n)), None)
        values = {"org_key": self.console.key, "device": device or "", "port": str(port or ""), "n": str(n)}
        command = tuple(_substitute(part, values, n) for part in target.command)
        world = await self.session.open_world(
            WorldSpec(
                folder=folder, cwd=target.cwd, command=command, authority=self.session.authority_pem, workdir=target.workdir,
                expose=target.expose, hidden=(self.session.report, self.session.scratch), logs=target.logs, time=time,
            )
        )  # fmt: skip
        stack.push_async_callback(world.close)
        environment = target_environment(
            replace(target, env={**target.env, **self.plan.environment}),
            world.environment,
            org_key=self.console.key,
            device=device,
            port=port,
            n=n,
        )
        gate = await self._gate(stack)
        gateway = Gateway(
            world=world, director=self.director, authority=self.session.authority, target=target, instance=number,
            default_device=lambda: device or self.director.subject_device(), org_keys=self.console.keys, gate=gate,
        )  # fmt: skip
        stack.push_async_callback(gateway.close)
        instance = Instance(
            number=number, target=target, device=device, world=world, gateway=gateway, gate=gate, environment=environment,
            command=command,
        )  # fmt: skip
        self.instances.append(instance)
        self._tasks.append(asyncio.create_task(gateway.serve()))
        self._tasks.append(asyncio.create_task(self._follow(instance)))

    async def _gate(self, stack: AsyncExitStack) -> Gate | None:
        """The instance's way through Toxiproxy, with ``--faults toxiproxy``."""
        if self.session.toxiproxy is None:
            return None
        gate = await Gate.open(self.session.toxiproxy)
        stack.push_async_callback(gate.close)
        return gate

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
            self._note(instance, event)

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
                self._note(instance, event)
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

    def _note(self, instance: Instance, event: WorldEvent) -> None:
        director = self.director
        if isinstance(event, OutputChunk):
            self._output(instance, event)
        elif isinstance(event, MainExited):
            instance.exited, instance.left = True, event.left
            director.record(
                Exited(
                    instance=instance.number, start=event.start, code=event.code, signal=event.signal,
                    by="harness" if director.closing else "target", left=event.left,
                )
            )  # fmt: skip
            director.progress.ring(self.clock())
        elif isinstance(event, AllGone):
            instance.gone = True
            self._flush(instance)
            director.record(
                Gone(
                    instance=instance.number, start=event.start, by="harness" if instance.killed else "target",
                    killed=instance.killed,
                )
            )  # fmt: skip
            director.progress.bell.set()
        elif isinstance(event, FileTouched):
            self._file_effect(instance, event)
        elif isinstance(event, ConnectRefused):
            self._connect_refused(instance)
        elif isinstance(event, DatagramSeen):
            director.record(Datagram(instance=instance.number, host=event.host, port=event.port, size=event.size))

    def _connect_refused(self, instance: Instance) -> None:
        if instance.gate is None:
            self.director.connect_refused(instance.number)
        elif (also := instance.gate.refused()) is not None:
            self.director.connect_refused(instance.number, also=also)
        else:
            why = "a connect was refused, and Toxiproxy's proxy was not down"
            self.director.record(FaultWithheld(fault="refuse", variant=None, why=why))

    def _output(self, instance: Instance, chunk: OutputChunk) -> None:
        splitter = instance.splitters.setdefault((chunk.start, chunk.stream), LineSplitter())
        lines = list(splitter.feed(chunk.data))
        if chunk.last:
            lines += splitter.flush()
        for line in lines:
            self._line(instance, chunk.start, chunk.stream, line.text, continues=line.continues)

    def _flush(self, instance: Instance) -> None:
        for (start, stream), splitter in instance.splitters.items():
            for line in splitter.flush():
                self._line(instance, start, stream, line.text, continues=line.continues)

    def _line(self, instance: Instance, start: int, stream: str, text: str, *, continues: bool) -> None:
        self.director.record(
            Output(instance=instance.number, start=start, stream=stream, text=text, continues=continues)
        )
        for number, rule in enumerate(instance.target.effects):
            if rule.match.stdout is not None and stream == "stdout" and re.search(rule.match.stdout, text):
                self._silent_effect(instance, number, transport_output=True, path=None)
                return

    def _file_effect(self, instance: Instance, event: FileTouched) -> None:
        for number, rule in enumerate(instance.target.effects):
            pattern = rule.match.file
            if pattern is None or event.how == "removed" or not fnmatch.fnmatchcase(event.path, pattern):
                continue
            if instance.touched.get(event.path) == self._writer.written:
                return  # the same write, seen as created and written
            self._silent_effect(instance, number, transport_output=False, path=event.path)
            instance.touched[event.path] = self._writer.written
            return

    def _silent_effect(self, instance: Instance, number: int, *, transport_output: bool, path: str | None) -> None:
        """An effect that cannot be held or answered: a declared output line, a file."""
        director, rule = self.director, instance.target.effects[number]
        effect = director.record(
            EffectStarted(
                effect=director.next_effect(), instance=instance.number, role=rule.role or "side-effect",
                label=rule.label or (f"write {path}" if path else "output line"),
                transport="output" if transport_output else "file",
                device=rule.device or instance.device or director.subject_device(), path=path, rule=number, group=rule.group,
            )
        )  # fmt: skip
        director.count_silent(effect)
        director.record(EffectAnswered(effect=effect.effect, status=None))

    async def _send_signal(self, number: signal.Signals) -> None:
        for instance in self.instances[: self.plan.instances]:
            self.director.record(Signalled(instance=instance.number, signal=number.name, why="scenario"))
            await instance.world.signal(number)

    # -- the end -------------------------------------------------------------------------------------------------------------

    async def _end(self, reason: str) -> None:
        self._stop_pace()
        self.time.set_rate(1)
        self._settle()
        self._drain()
        self.director.closing = True
        for instance in self.instances:
            await self._stop_instance(instance)
        files = tuple(path for instance in self.instances[:1] for path in instance.world.files_written())
        self._drain()
        for instance in self.instances:
            self._flush(instance)
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


@asynccontextmanager
async def _folder(scratch: Path) -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    try:
        yield folder
    finally:
        if not _removed_empty(folder):
            await asyncio.to_thread(_remove, folder)


def _removed_empty(folder: Path) -> bool:
    """The world has emptied it, as a rule: that takes no thread."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


def _remove(folder: Path) -> None:
    def retry(function: Callable[..., object], path: str, _error: object) -> None:
        # overlayfs leaves its work folder without permissions
        with suppress(OSError):
            Path(path).chmod(0o700)
            function(path)

    shutil.rmtree(folder, onerror=retry)


async def _host_command(command: str | None, target: Target, what: str) -> None:
    """``setup`` and ``teardown`` run on the host: they prepare what ``passthrough`` leads to."""
    if command is None:
        return
    process = await asyncio.create_subprocess_shell(
        command, cwd=target.cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode:
        tail = output.decode(errors="backslashreplace")[-2000:]
        raise SetupError(
            f"target {target.name!r}: {what} = {command!r} ended with status {process.returncode}:\n{tail}"
        )


def _of_instance(target: Target, n: int) -> Target:
    """The target as its n-th instance has it: ``{n}`` is filled in where an effect rule names a device."""
    rules = (replace(rule, device=templates.fill(rule.device, n=n)) if rule.device else rule for rule in target.effects)
    return replace(target, effects=tuple(rules))


def _port_of(target: Target, mode: str) -> int | None:
    """The port that a pushed-to target listens on; ``listen`` may fix one. In a namespace any will do, its network is its own."""
    if target.stimulus is None:
        return None
    fixed = re.search(r":(\d+)(?:/|$)", target.stimulus.listen)
    if fixed:
        if mode == "proxy":
            _must_be_free(int(fixed[1]), target)
        return int(fixed[1])
    if mode == "namespace":
        return 18080
    with socket.create_server(("127.0.0.1", 0)) as free:  # runs beside each other share this machine's ports
        return int(free.getsockname()[1])


def _must_be_free(port: int, target: Target) -> None:
    """Whoever listens there already would get the stimuli that are meant for the target."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        assert target.stimulus is not None
        raise SetupError(
            f"target {target.name!r}: its listen = {target.stimulus.listen!r} names port {port} of this machine, which cannot be "
            f"had: {error.strerror or error}; end what listens there, or let the harness choose: "
            'listen = "http://127.0.0.1:{port}"'
        ) from error


def _substitute(text: str, values: Mapping[str, str], n: int) -> str:
    def value(found: re.Match[str]) -> str:
        name, form = found[1], found[2]
        return format(n, form) if name == "n" and form else values[name]

    return re.sub(r"\{(org_key|device|port|n)(?::([^{}]*))?\}", value, text)


__all__ = ["Instance", "Ran", "Run", "Session", "SetupError"]
