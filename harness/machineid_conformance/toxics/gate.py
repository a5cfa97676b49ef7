"""One instance's way to the control plane through Toxiproxy."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from fake_control_plane.wire import Wire
from machineid_conformance.toxics.find import Toxiproxy
from machineid_conformance.toxics.route import Route, RouteError, refuses
from machineid_conformance.toxics.server import Proxy, Toxic, ToxiproxyError
from machineid_conformance.toxics.tunnel import TunnelledWire

_NUMBERS: Iterator[int] = itertools.count(1)
_SESSION = secrets.token_hex(4)  # a server at TOXIPROXY_URL may serve several sessions


@dataclass(frozen=True, kw_only=True)
class Poisoned:
    """A route with a toxic on it. ``said``: what the server says of it."""

    route: Route
    said: str


class Gate:
    """A proxy of its own, which every connection of the instance to the control plane takes; made by ``Gate.open``.

    A server that fails in the middle raises ToxiproxyError or RouteError: nothing of such a session may be judged.
    """

    def __init__(self, toxiproxy: Toxiproxy, proxy: Proxy) -> None:
        self._toxiproxy = toxiproxy
        self._server = toxiproxy.server
        self._proxy = proxy
        self._down = False
        self._poisoned: dict[Proxy, asyncio.Task[None]] = {}
        """The proxies of faults, each with the task that removes it once its connection is over."""

    @classmethod
    async def open(cls, toxiproxy: Toxiproxy) -> Gate:
        """Make the proxy."""
        server = toxiproxy.server
        return cls(toxiproxy, await server.ask(server.create, _name(), toxiproxy.upstream.address))

    async def close(self) -> None:
        """Remove what was made. A server that is gone has nothing left to remove."""
        for proxy, removing in [*self._poisoned.items()]:
            removing.cancel()
            await asyncio.wait([removing])
            await self._remove(proxy)
        await self._remove(self._proxy)

    # -- connections -----------------------------------------------------------------------------------------------------------

    async def tunnel(self, client: Wire) -> TunnelledWire | None:
        """The target's connection, led through the proxy from its next byte on; None where the proxy is down.

        The world's own listener is shut by then: only a connection that was accepted just before can find it so.
        """
        try:
            return TunnelledWire(client, await self._toxiproxy.upstream.route(self._proxy.host, self._proxy.port))
        except RouteError:
            if self._down:
                return None
            raise

    async def past(self, wire: TunnelledWire) -> None:
        """Lead a connection past Toxiproxy from here on: for a fault that it cannot make, and must not bend. Raises ClientGone."""
        host, _, port = self._toxiproxy.upstream.address.rpartition(":")
        await wire.reroute(await self._toxiproxy.upstream.route(host, int(port)))

    async def poisoned(self, wire: TunnelledWire, toxic: Toxic) -> Poisoned:
        """A route through a new proxy with this toxic, for ``wire`` to change to."""
        server = self._server
        proxy = await server.ask(server.create, _name(), self._toxiproxy.upstream.address)
        route: Route | None = None
        try:
            name = await server.ask(server.set_toxic, proxy, toxic)
            route = await self._toxiproxy.upstream.route(proxy.host, proxy.port)
        finally:
            # Removed when the connection is over, and not by who delivers the fault: nothing may come between it and its event.
            self._poisoned[proxy] = asyncio.ensure_future(self._remove_after(wire, proxy, route))
        said = f"Toxiproxy's {toxic}, listed as {name} on the proxy {proxy.name}"
        return Poisoned(route=route, said=said)

    async def _remove_after(self, wire: TunnelledWire, proxy: Proxy, route: Route | None) -> None:
        await wire.until(lambda: wire.closed)
        if route is not None:
            route.close()  # if the wire never took it
        await self._remove(proxy)
        del self._poisoned[proxy]

    async def _remove(self, proxy: Proxy) -> None:
        with suppress(ToxiproxyError):
            await self._server.ask(self._server.destroy, proxy)

    # -- refuse ----------------------------------------------------------------------------------------------------------------

    def refuse(self, refuse: bool) -> None:
        """Take the proxy down, or up again. Everything waits meanwhile, some 2 ms: so nothing can be recorded in between."""
        self._down = refuse
        try:
            self._server.ask_now(self._server.enable, self._proxy, not refuse)
        except ToxiproxyError:
            if refuse:
                raise
            # Its port was free while it was down, and somebody took it.
            self._server.ask_now(self._server.destroy, self._proxy)
            self._proxy = self._server.ask_now(self._server.create, _name(), self._toxiproxy.upstream.address)
        if refuse and self.refused() is None:
            raise ToxiproxyError(
                f"Toxiproxy says that the proxy {self._proxy.name} is disabled, and {self._proxy.address} accepts"
            )

    def refused(self) -> str | None:
        """What shows that the proxy refuses connects right now, or None."""
        if not self._down or not refuses(self._proxy.host, self._proxy.port):
            return None
        return f"Toxiproxy's proxy {self._proxy.name} is disabled, and a connect to it at {self._proxy.address} was refused"


def _name() -> str:
    return f"machineid-conformance-{_SESSION}-{next(_NUMBERS)}"
