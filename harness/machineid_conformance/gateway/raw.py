"""Connections that speak neither HTTP nor TLS: accepted, recorded as effects, read, never answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.wire import Wire
from machineid_conformance.gateway.effects import match_tcp
from machineid_conformance.gateway.names import DEFAULT_PORTS
from machineid_conformance.gateway.relay import connect, relay
from machineid_conformance.gateway.site import QUIET, Channel
from machineid_conformance.trace.events import EffectAborted, EffectAnswered, EffectStarted

Forward = Callable[[Wire, Wire, Callable[[], None]], Awaitable[None]]
"""Relays from the client's wire to the service's, and says when the service's first byte came."""


def start_tcp_effect(
    channel: Channel, host: str | None = None, port: int | None = None, *, secrets: tuple[str, ...] = ()
) -> EffectStarted:
    """Record a connection as an effect that began when it was opened."""
    site, host, port = channel.site, host or channel.host, port or channel.port
    return site.start_effect(
        transport="tcp",
        rule=match_tcp(site.target.effects, host, port),
        role="side-effect",
        label=f"tcp {host}:{port}",
        host=host,
        port=port,
        connection=channel.number,
        since=channel.opened,
        secrets=secrets,
    )


def raw_effect(channel: Channel) -> EffectStarted:
    """A connection that is an effect by itself. Nothing of it can be held, so it counts as answered when it was accepted."""
    site = channel.site
    first = channel.wire.ahead()
    secrets = ("body",) if any(key.encode() in first for key in site.org_keys()) else ()
    effect = start_tcp_effect(channel, secrets=secrets)
    site.director.record(EffectAnswered(effect=effect.effect, status=None))

    async def tell() -> None:
        await site.director.effect_started(effect)
        await site.director.effect_ended(effect)

    site.spawn(tell())
    return effect


class Silence:
    """Waits for the first bytes of a connection. One that stays silent on an odd port becomes a raw effect, unless it is
    ``exempt``: a connection to the control plane is none.
    """  # fmt: skip

    def __init__(self, channel: Channel, *, exempt: bool) -> None:
        self._channel = channel
        self._wire = channel.wire
        self._never = exempt
        self._settled = False
        self._since = asyncio.get_running_loop().time()
        self.effect: EffectStarted | None = None

    @property
    def _exempt(self) -> bool:
        """An HTTP client may connect and say nothing, and on such a port that is none of its effects."""
        port = self._channel.port
        return self._never or port in DEFAULT_PORTS or port in self._channel.site.http_ports

    async def first_bytes(self, count: int) -> bytes:
        """At least ``count`` of the first bytes; fewer when the client closed before. Raises ClientGone."""
        site = self._channel.site
        site.silent.add(self)
        try:
            try:
                async with asyncio.timeout(None if self._exempt else QUIET):
                    return await self._wire.peek(count)
            except TimeoutError:
                self.settle()
                return await self._wire.peek(count)
            except ClientGone:
                self.settle()
                raise
        finally:
            site.silent.discard(self)

    def settle(self) -> None:
        """Record it if it is certain by now: it was closed without a word, or it has been silent for long enough."""
        if self._settled or self._exempt or self._wire.look():
            return
        if self._wire.ending is not None or asyncio.get_running_loop().time() - self._since >= QUIET:
            self._settled = True  # before it is recorded: that settles first
            self.effect = raw_effect(self._channel)


async def serve_raw(channel: Channel, effect: EffectStarted | None) -> None:
    """Read on until the client closes. Raises ClientGone."""
    if effect is None:
        raw_effect(channel)
    while await channel.wire.receive():
        pass
    channel.closed("target", "fin")
    channel.wire.close()


async def serve_passthrough(channel: Channel, host: str, port: int, forward: Forward = relay) -> None:
    """Relay to the real service: an effect from its connect on, answered with the service's first byte.

    ``forward`` does the relaying where the connection cannot be relayed as a whole: one request to a proxy.
    """
    site, wire = channel.site, channel.wire
    effect = start_tcp_effect(channel, host, port)
    await site.director.effect_started(effect)
    answered = False

    def first_byte() -> None:
        nonlocal answered
        answered = True
        site.director.record(EffectAnswered(effect=effect.effect, status=None))

    try:
        sock = await connect(host, port)
    except OSError as error:
        site.diagnose(
            "passthrough", f"{host}:{port}", f"passthrough {host}:{port}: {error}. Start the service, or take it out."
        )
        site.director.record(EffectAborted(effect=effect.effect, by="harness"))
        wire.reset()
        channel.closed("harness", "reset")
    else:
        upstream = Wire(sock)
        try:
            await forward(wire, upstream, first_byte)
        except ClientGone:
            pass  # recorded below
        finally:
            upstream.close()
        if not answered:
            site.director.record(EffectAborted(effect=effect.effect, by="target" if wire.ending else "harness"))
        channel.closed("target" if wire.ending else "harness", wire.ending or "fin")
    await site.director.effect_ended(effect)
