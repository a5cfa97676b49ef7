"""A mail server (RFC 5321) that takes every mail and delivers none.

The connection is the effect of its first mail; each further mail on it is an effect of its own, from its MAIL command on.
"""

from __future__ import annotations

import asyncio

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.wire import HandshakeFailed
from machineid_conformance.gateway.site import Channel
from machineid_conformance.gateway.tasks import cancelled
from machineid_conformance.trace.events import EffectAborted, EffectAnswered, EffectStarted

LINE_LIMIT = 1 << 16
_GREETING = b"220 gateway ESMTP\r\n"


async def serve_smtp(channel: Channel, rule: int) -> None:
    """One connection. Raises ClientGone."""
    session = _Session(channel, rule)
    try:
        await session.run()
    except ClientGone:
        await session.abort()
        raise


class _Session:
    def __init__(self, channel: Channel, rule: int) -> None:
        self._channel = channel
        self._wire = channel.wire
        self._director = channel.site.director
        self._rule = rule
        self._line = b""
        self._answered = False
        self._effect = self._start(channel.opened)

    def _start(self, since: int | None) -> EffectStarted:
        channel = self._channel
        self._answered = False
        return channel.site.start_effect(
            transport="smtp",
            rule=self._rule,
            role="side-effect",
            label=f"mail {channel.host}",
            host=channel.host,
            port=channel.port,
            connection=channel.number,
            since=since,
        )

    async def run(self) -> None:
        """Greet, and answer command after command until QUIT."""
        holding = asyncio.ensure_future(self._director.effect_started(self._effect))
        try:
            await self._hold(holding)
            await self._wire.send(_GREETING)
            while (line := await self._command()) is not None:
                verb, _, argument = line.partition(b" ")
                if not await self._do(verb.strip().upper(), argument.strip()):
                    break
        finally:
            await cancelled(holding)
        if not self._answered:
            await self.abort()
        if self._wire.ending is not None:
            self._channel.closed("target", self._wire.ending)
        await self._channel.finish()

    async def _hold(self, holding: asyncio.Future[None]) -> None:
        leaving = asyncio.ensure_future(self._wire.gone())
        try:
            await asyncio.wait((holding, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not holding.done():
                await holding  # what the director does while this is in flight is done to its end
                raise ClientGone(leaving.result())
            holding.result()
        finally:
            await cancelled(leaving)

    async def _do(self, verb: bytes, argument: bytes) -> bool:
        if verb == b"EHLO":
            extra = b"" if self._wire.secure else b"250-STARTTLS\r\n"
            await self._wire.send(
                b"250-gateway\r\n" + extra + b"250-AUTH PLAIN LOGIN\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
            )
        elif verb == b"STARTTLS" and not self._wire.secure:
            await self._wire.send(b"220 ready\r\n")
            return await self._start_tls()
        elif verb == b"AUTH":
            await self._authenticate(argument)
        elif verb == b"MAIL":
            await self._mail()
        elif verb == b"DATA":
            await self._data()
        elif verb == b"VRFY":
            await self._wire.send(b"252 cannot verify\r\n")
        elif verb == b"QUIT":
            await self._wire.send(b"221 bye\r\n")
            return False
        elif verb in (b"HELO", b"RCPT", b"RSET", b"NOOP"):
            await self._wire.send(b"250 ok\r\n")
        else:
            await self._wire.send(b"502 not implemented\r\n")
        return True

    async def _start_tls(self) -> bool:
        try:
            await self._wire.start_tls(self._channel.site.authority.context_for(self._channel.host))
        except HandshakeFailed as failed:
            if failed.how != "protocol":
                raise ClientGone(failed.how) from None
            return False
        self._line = b""
        return True

    async def _authenticate(self, argument: bytes) -> None:
        """Whoever asks is let in; LOGIN asks twice, PLAIN once unless its answer came along (RFC 4954)."""
        mechanism, _, initial = argument.partition(b" ")
        prompts = [b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"] if mechanism.upper() == b"LOGIN" else [b"334 \r\n"]
        for prompt in prompts[1 if initial else 0 :]:
            await self._wire.send(prompt)
            await self._command()
        await self._wire.send(b"235 ok\r\n")

    async def _mail(self) -> None:
        if self._answered:
            self._effect = self._start(None)
            await self._director.effect_started(self._effect)
        await self._wire.send(b"250 ok\r\n")

    async def _data(self) -> None:
        await self._wire.send(b"354 go on\r\n")
        while (line := await self._command()) != b".":
            if line is None:
                raise ClientGone("fin")
        await self._wire.send(b"250 taken\r\n")
        if not self._answered:
            self._answered = True
            self._director.record(EffectAnswered(effect=self._effect.effect, status=250))
            await self._director.effect_ended(self._effect)

    async def abort(self) -> None:
        """The client left before its mail was taken."""
        if not self._answered:
            self._answered = True
            self._director.record(EffectAborted(effect=self._effect.effect, by="target"))
            await self._director.effect_ended(self._effect)

    async def _command(self) -> bytes | None:
        """The next line without its end; None when the client closed. A line longer than ``LINE_LIMIT`` is cut there."""
        while b"\n" not in self._line:
            data = await self._wire.receive()
            if not data:
                return None
            self._line = self._line[-LINE_LIMIT:] + data
        line, _, self._line = self._line.partition(b"\n")
        return line.removesuffix(b"\r")
