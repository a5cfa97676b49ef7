"""Connections that speak neither HTTP nor TLS: accepted, recorded as effects, read, never answered."""

from __future__ import annotations

import asyncio

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.wire import Wire
from machineid_conformance.gateway.effects import match_tcp
from machineid_conformance.gateway.names import DEFAULT_PORTS
from machineid_conformance.gateway.relay import connect, relay
from machineid_conformance.gateway.site import Channel
from machineid_conformance.trace.events import EffectAborted, EffectAnswered, EffectStarted

QUIET = 1.0
"""Real seconds after which a connection to an odd port whose client has said nothing is one that waits to be greeted."""


def start_tcp_effect(channel: Channel) -> EffectStarted:
    """Record a connection as an effect that began when it was opened."""
    site = channel.site
    return site.start_effect(
        transport="tcp",
        rule=match_tcp(site.target.effects, channel.host, channel.port),
        role="side-effect",
        label=f"tcp {channel.host}:{channel.port}",
        host=channel.host,
        port=channel.port,
        connection=channel.number,
        since=channel.opened,
    )


def raw_effect(channel: Channel) -> EffectStarted:
    """A connection that is an effect by itself. Nothing of it can be held, so it counts as answered when it was accepted."""
    site = channel.site
    effect = start_tcp_effect(channel)
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


async def serve_passthrough(channel: Channel, host: str, port: int) -> None:
    """Relay to the real service: an effect from its connect on, answered with the service's first byte."""
    director = channel.site.director
    effect = start_tcp_effect(channel)
    await director.effect_started(effect)
    answered = False

    def first_byte() -> None:
        nonlocal answered
        answered = True
        director.record(EffectAnswered(effect=effect.effect, status=None))

    try:
        sock = await connect(host, port)
    except OSError as error:
        channel.site.diagnose(
            "passthrough", f"{host}:{port}", f"passthrough {host}:{port}: {error}. Start the service, or take it out."
        )
        director.record(EffectAborted(effect=effect.effect, by="harness"))
        channel.wire.reset()
        channel.closed("harness", "reset")
    else:
        upstream = Wire(sock)
        await relay(channel.wire, upstream, first_byte)
        if not answered:
            director.record(EffectAborted(effect=effect.effect, by="target" if channel.wire.ending else "harness"))
        channel.closed("target" if channel.wire.ending else "harness", channel.wire.ending or "fin")
    await director.effect_ended(effect)
