"""One process of a run that is judged, or a companion's: its world, its gateway, and what it is known to be doing."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from machineid_conformance.config import templates
from machineid_conformance.config.model import Target
from machineid_conformance.engine.api import Session, SetupError
from machineid_conformance.engine.console import Console
from machineid_conformance.engine.director import RunDirector
from machineid_conformance.engine.host import temporary_folder
from machineid_conformance.gateway.gateway import Gateway
from machineid_conformance.isolation.api import TimeFiles, World, WorldSpec
from machineid_conformance.isolation.environment import target_environment
from machineid_conformance.isolation.lines import LineSplitter
from machineid_conformance.toxics.gate import Gate


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
    ready: asyncio.Event = field(default_factory=asyncio.Event)


async def open_instance(
    stack: AsyncExitStack, number: int, target: Target, n: int, *, session: Session, console: Console, director: RunDirector,
    environment: Mapping[str, str], time: TimeFiles | None,
) -> Instance:  # fmt: skip
    """Open the world and the gateway of a run's ``number``-th instance, which is its target's ``n``-th; ``stack`` closes them.

    ``environment`` is what the run adds to the target's own.

    Raises:
        SetupError: a port that the target's ``listen`` names is taken.
        IsolationError: its world could not be made.
    """
    folder = await stack.enter_async_context(temporary_folder(session.scratch))
    target = _of_instance(target, n)
    port = _port_of(target, session.mode)
    device = next(iter(target.devices_of(n)), None)
    values = {"org_key": console.key, "device": device or "", "port": str(port or ""), "n": str(n)}
    command = tuple(_substitute(part, values, n) for part in target.command)
    world = await session.open_world(
        WorldSpec(
            folder=folder, cwd=target.cwd, command=command, authority=session.authority_pem, workdir=target.workdir,
            expose=target.expose, hidden=(session.report, session.scratch), logs=target.logs, time=time,
        )
    )  # fmt: skip
    stack.push_async_callback(world.close)
    gate = await _gate(stack, session)
    gateway = Gateway(
        world=world, director=director, authority=session.authority, target=target, instance=number,
        default_device=lambda: device or director.subject_device(), org_keys=console.keys, gate=gate,
    )  # fmt: skip
    stack.push_async_callback(gateway.close)
    return Instance(
        number=number, target=target, device=device, world=world, gateway=gateway, gate=gate, command=command,
        environment=target_environment(
            replace(target, env={**target.env, **environment}), world.environment, org_key=console.key, device=device,
            port=port, n=n,
        ),
    )  # fmt: skip


async def _gate(stack: AsyncExitStack, session: Session) -> Gate | None:
    """The instance's way through Toxiproxy, with ``--faults toxiproxy``."""
    if session.toxiproxy is None:
        return None
    gate = await Gate.open(session.toxiproxy)
    stack.push_async_callback(gate.close)
    return gate


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
