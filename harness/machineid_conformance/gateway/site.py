"""What all connections of one gateway share, and the few places where it changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from fake_control_plane.certificates import Authority
from fake_control_plane.wire import Wire
from machineid_conformance.config.model import EffectRule, Target
from machineid_conformance.gateway.api import Director
from machineid_conformance.gateway.effects import Script
from machineid_conformance.gateway.names import AddressBook
from machineid_conformance.isolation.api import World
from machineid_conformance.toxics.gate import Gate
from machineid_conformance.toxics.tunnel import TunnelledWire
from machineid_conformance.trace.events import (
    By,
    ConnectionClosed,
    ConnectionOpened,
    Diagnosed,
    EffectStarted,
    Role,
)

QUIET = 1.0
"""Real seconds of silence after which a client is taken to have nothing more to say for now: one that has said nothing on an odd
port waits to be greeted, one in the middle of an upload has stalled."""


class Silent(Protocol):
    """An open connection that has not said yet what it is."""

    def settle(self) -> None:
        """Record it as what it must be by now, if that is certain."""


@dataclass(kw_only=True)
class Site:
    """One gateway's surroundings and memory."""

    world: World
    director: Director
    authority: Authority
    target: Target
    instance: int
    default_device: Callable[[], str]
    org_keys: Callable[[], Mapping[str, str]]
    names: AddressBook
    script: Script
    gate: Gate | None = None
    """Through which connections to the control plane go, with ``--faults toxiproxy``."""
    start: int = 0
    trusted: bool = False  # a client accepted the session's certificate and sent a request
    http_ports: set[int] = field(default_factory=set)  # odd ports on which HTTP was spoken
    silent: set[Silent] = field(default_factory=set)
    tunnels: set[TunnelledWire] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)  # whatever runs beside the connections
    owed: dict[Wire, asyncio.Event] = field(default_factory=dict)
    """Control-plane calls under way, each with what is set when its end is recorded."""
    refusals: dict[Wire, asyncio.Event] = field(default_factory=dict)
    """Handshakes that the client must refuse, likewise."""
    _row: tuple[str, int] | None = None
    _calls: int = 0
    _diagnosed: set[tuple[str, str]] = field(default_factory=set)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Let something run beside; it is cancelled when the gateway closes."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def caught_up(self) -> None:
        """Wait until each call whose client has gone by now is recorded as given up.

        The client went before it did what is to be recorded next, but its FIN may be read after that. So may what it sent through
        Toxiproxy.
        """
        for tunnel in tuple(self.tunnels):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET):
                    await tunnel.arrived()
        for recorded in self._gone():
            if not recorded.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUIET):
                        await recorded.wait()

    def behind(self) -> bool:
        """Whether there is something for ``caught_up`` to wait for."""
        return any(not recorded.is_set() for recorded in self._gone())

    def _gone(self) -> list[asyncio.Event]:
        """What is set when the calls and handshakes are recorded whose client has gone by now."""
        gone = [recorded for wire, recorded in self.refusals.items() if wire.stirs()]
        for wire, recorded in tuple(self.owed.items()):
            wire.look()
            if wire.ending is not None:
                gone.append(recorded)
        return gone

    def next_call(self) -> int:
        """A number for a control-plane call, unique within this instance."""
        self._calls += 1
        return self._calls

    def boundary(self) -> None:
        """A validate arrived. Where nothing runs beside it, what comes after it is no longer in a row with what came before."""
        if self.target.concurrency == 1:
            self._row = None

    def restarted(self) -> None:
        """The target is started (again)."""
        self.start += 1
        self.script.restart()
        self._row = None

    def rule(self, index: int | None) -> EffectRule | None:
        """The effect rule of that index."""
        return None if index is None else self.target.effects[index]

    def diagnose(self, problem: str, about: str, detail: str) -> None:
        """Say it once."""
        if (problem, about) not in self._diagnosed:
            self._diagnosed.add((problem, about))
            self.director.record(Diagnosed(problem=problem, detail=detail))

    def start_effect(
        self,
        *,
        transport: Literal["http", "tcp", "smtp"],
        rule: int | None,
        role: Role,
        label: str,
        host: str,
        port: int,
        connection: int,
        method: str | None = None,
        path: str | None = None,
        since: int | None = None,
        secrets: tuple[str, ...] = (),
    ) -> EffectStarted:
        """Record an effect. The rule's role, label, device and group go before what was inferred."""
        declared = self.rule(rule)
        group = declared.group if declared else None
        number = self.director.next_effect()
        joins = self._row[1] if group is not None and self._row is not None and self._row[0] == group else None
        self._row = None if group is None else (group, joins or number)
        return self.director.record(
            EffectStarted(
                effect=number,
                instance=self.instance,
                role=(declared.role if declared else None) or role,
                label=(declared.label if declared else None) or label,
                transport=transport,
                device=(declared.device if declared else None) or self.default_device(),
                method=method,
                host=host,
                port=port,
                path=path,
                connection=connection,
                rule=rule,
                group=group,
                joins=joins,
                since=since,
                secrets=secrets,
            )
        )


class Channel:
    """One accepted connection that is recorded: its wire, its number, and where it leads."""

    def __init__(self, site: Site, wire: Wire, host: str, port: int) -> None:
        self.site = site
        self.wire = wire
        self.host = host
        self.port = port
        self.number = site.director.next_connection()
        opened = ConnectionOpened(connection=self.number, instance=site.instance, host=host, port=port)
        self.opened = site.director.record(opened).seq
        self._closed = False

    def closed(self, by: By, how: Literal["fin", "reset", "tls-alert"]) -> None:
        """Record how the connection ended; the first report counts."""
        if not self._closed:
            self._closed = True
            self.site.director.record(ConnectionClosed(connection=self.number, by=by, how=how))

    async def finish(self) -> None:
        """Close in good order from our side, and record it."""
        self.wire.half_close()
        self.closed("harness", "fin")
        await self.wire.finish()
