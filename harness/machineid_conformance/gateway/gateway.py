"""Where every exit of one instance's world leads to: accepts, looks at the first bytes, serves, and answers names."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Mapping

from fake_control_plane.certificates import Authority
from fake_control_plane.wire import Wire
from machineid_conformance.config.model import Target
from machineid_conformance.gateway.acceptor import Acceptor
from machineid_conformance.gateway.api import Director
from machineid_conformance.gateway.connection import Connection
from machineid_conformance.gateway.dns import ANY, NOERROR, NXDOMAIN, SERVFAIL, A, NameServer, Question
from machineid_conformance.gateway.effects import Script
from machineid_conformance.gateway.names import AddressBook
from machineid_conformance.gateway.site import Site
from machineid_conformance.isolation.api import World
from machineid_conformance.toxics.gate import Gate


class Gateway:
    """One instance's gateway. ``org_keys`` maps every key of the run's org to what it is (current, old).

    ``default_device`` is the device whose permit covers an effect that no rule gives another. ``gate``: the way through Toxiproxy that
    connections to the control plane take; it stays its owner's.
    """

    def __init__(
        self,
        *,
        world: World,
        director: Director,
        authority: Authority,
        target: Target,
        instance: int,
        default_device: Callable[[], str],
        org_keys: Callable[[], Mapping[str, str]],
        gate: Gate | None = None,
    ) -> None:
        self._site = Site(
            world=world,
            director=director,
            authority=authority,
            target=target,
            instance=instance,
            default_device=default_device,
            org_keys=org_keys,
            names=AddressBook(target.control_plane, world.control_address),
            script=Script(target.effects),
            gate=gate,
        )
        self._acceptor: Acceptor | None = None
        self._name_server: NameServer | None = None
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._closing = asyncio.Event()
        self._settling = False

    async def serve(self) -> None:
        """Accept and answer until ``close``."""
        if self._closing.is_set():
            return
        world = self._site.world
        listeners = [*world.listeners, *([world.control_listener] if world.control_listener else [])]
        self._acceptor = Acceptor(listeners, self._accepted)
        self._acceptor.open()
        if world.dns is not None:
            self._name_server = NameServer(world.dns, self._resolve, self._name_refused)
            self._name_server.open()
        try:
            await self._closing.wait()
        finally:
            self._stop_accepting()

    async def close(self) -> None:
        """Stop, and end every connection; nothing of that is recorded. Safe to call twice, and before ``serve``."""
        self._closing.set()
        self._stop_accepting()
        while running := [*self._connections, *self._site.tasks]:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def restarted(self) -> None:
        """The target is about to be started, for the first time or again: scripted answers start over."""
        self._site.restarted()

    def settle(self) -> None:
        """Record what is certain by now about connections that have said nothing; called before an event is recorded."""
        if self._settling:
            return
        self._settling = True
        try:
            for silent in tuple(self._site.silent):
                silent.settle()
        finally:
            self._settling = False

    async def caught_up(self) -> None:
        """Wait until each control-plane call whose client has gone by now is recorded as given up."""
        await self._site.caught_up()

    def owes(self) -> bool:
        """Whether the target waits for something from here: a connect, a name, a handshake, an answer that no fault keeps back."""
        if self._acceptor is not None:
            self._acceptor.accept_all()
        dns = self._site.world.dns
        if dns is not None and select.select([dns], [], [], 0)[0]:
            return True
        return not all(connection.idles() for connection in self._connections.values())

    async def quiet(self, within: float = 1.0) -> bool:
        """After the target is gone: wait until everything that it had sent is served, at most ``within`` real seconds.

        Its sockets are closed by then, so each connection comes to its end unless the scenario still holds its answer.
        """
        if self._acceptor is not None:
            self._acceptor.accept_all()
        if self._connections:
            await asyncio.wait(self._connections, timeout=within)
        return not self._connections

    def _stop_accepting(self) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
        if self._name_server is not None:
            self._name_server.close()
        self._acceptor = self._name_server = None

    # -- connections -----------------------------------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket) -> None:
        self._site.director.heard()
        try:
            destination = self._site.world.destination(sock)
            wire = Wire(sock)
        except OSError:  # reset before it could be looked at
            sock.close()
            return
        connection = Connection(self._site, wire, destination)
        task = asyncio.get_running_loop().create_task(connection.serve())
        self._connections[task] = connection
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            task.get_loop().call_exception_handler(
                {"message": "a connection of the gateway ended in an error", "exception": error, "task": task}
            )

    # -- names -----------------------------------------------------------------------------------------------------------

    def _resolve(self, question: Question) -> tuple[int, str | None]:
        names = self._site.names
        self._site.director.heard()
        fault = self._site.director.listener_fault()
        if fault is not None and fault.layer == "dns" and names.is_control_plane(question.name):
            return NXDOMAIN, None
        if question.kind not in (A, ANY):
            return NOERROR, None
        address = names.address_of(question.name)
        return (NOERROR, address) if address is not None else (SERVFAIL, None)

    async def _name_refused(self, question: Question) -> None:
        """The receipt of a DNS fault: one a look-up, whose other question (AAAA) is part of it."""
        fault = self._site.director.listener_fault()
        if question.kind == A and fault is not None:
            await self._site.director.listener_fault_delivered(
                fault,
                instance=self._site.instance,
                connection=None,
                evidence=f"the question for {question.name} was answered NXDOMAIN",
            )
