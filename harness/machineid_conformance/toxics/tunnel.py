"""A target's connection to the control plane whose bytes go through Toxiproxy, both ways.

For whoever serves it, it is a ``Wire``: TLS and HTTP are spoken at the far end. What Toxiproxy does to the connection is done to the
target's: its FIN goes on as a FIN, its RST as an RST. What the target does (FIN, RST) is told as it was seen on the target's own
socket: Toxiproxy turns an RST into a FIN, and answers either side's FIN by closing both.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Literal

from fake_control_plane.faults.api import ClientGone
from fake_control_plane.wire import How, Wire
from machineid_conformance.toxics.route import Route


class TunnelledWire(Wire):
    """``client`` is the target's connection, without TLS; it belongs to the tunnel from now on.

    Counts are of raw bytes: ``taken`` came from the target, ``given`` were handed to the far end, ``passed`` came back out at the near
    end and were handed to the target.
    """

    def __init__(self, client: Wire, route: Route) -> None:
        super().__init__(route.far)
        self.client = client
        self.taken = 0
        self.given = 0
        self.passed = 0
        self.cut: Literal["fin", "reset"] | None = None
        """How Toxiproxy ended the connection, if neither the target nor we did."""
        self._near = Wire(route.near)
        self._said: How | None = None  # the target ended its TLS stream: that comes as bytes
        self._left: How | None = None  # how the target had ended it when we closed its socket
        self._changed = asyncio.Event()
        self._up = asyncio.ensure_future(self._carry_up())
        self._down = asyncio.ensure_future(self._carry_down(self._near))

    # -- state ---------------------------------------------------------------------------------------------------------------

    @property
    def ending(self) -> How | None:
        """How the target ended the connection; what Toxiproxy or we did is none of it."""
        # A wire that we closed says "reset" to whoever still reads it.
        return self._said or (self._left if self.cut == "reset" or self.closed else self.client.ending)

    @property
    def over(self) -> bool:
        """Whether the target, Toxiproxy or we have ended it."""
        return self._stopped or self.ending is not None

    @property
    def _stopped(self) -> bool:
        """Whether nothing more can come out for the target."""
        return self.cut is not None or self.closed or self._down.done()

    def look(self) -> int:
        """Take in what is waiting, at either end."""
        self.client.look()
        return super().look()

    def stirs(self) -> bool:
        """Whether the target has ended, or something of it is under way; nothing is taken."""
        return self.taken > self.received or self.client.stirs() or super().stirs()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that this tunnel knows is so."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def arrived(self) -> None:
        """Wait until all that came from the target was read at the far end."""
        await self.until(lambda: self.received >= self.taken or self.over)

    # -- for whoever serves it -----------------------------------------------------------------------------------------------

    async def gone(self) -> How:
        """Wait until the target closes."""
        self.look()
        if self.ending is not None:
            return self.ending
        how = await super().gone()
        return self.ending or (how if self.closed else await self.client.gone())

    async def send(self, data: bytes, *, half_closed: bool = False) -> None:
        """All bytes, come through and handed to the target's socket: an answer is not out before that. Raises ClientGone."""
        await super().send(data, half_closed=half_closed)
        wanted = self.given
        allowed = (None, "fin") if half_closed else (None,)
        await self.until(lambda: self.passed >= wanted or self._stopped or self.ending not in allowed)
        if self.passed < wanted:
            raise ClientGone(self.ending or "reset")

    def seal(self, data: bytes) -> bytes:
        """The raw bytes that ``data`` is sent as. Raises ClientGone: the target's end of the TLS stream is closed."""
        if self._tls is None:
            return data
        try:
            self._tls.write(data)
        except ssl.SSLError:
            raise ClientGone(self.ending or "reset") from None
        return self._encrypted.read()

    async def give(self, sealed: bytes) -> None:
        """Hand raw bytes to the far end, whatever becomes of them; what Toxiproxy no longer takes is dropped."""
        self._outgoing += sealed
        while self._outgoing and self._push() and self._outgoing:
            await self._writable()
        self._outgoing.clear()

    async def reroute(self, route: Route) -> None:
        """Take another route from here on; all that was under way has come through before."""
        while not self.over and (self.passed < self.given or self.received < self.taken):
            await self.until(lambda: self.passed >= self.given or self.over)
            if self.received < self.taken and not self.over:
                await self._read_on()
        if self.over:
            route.close()
            raise ClientGone(self.ending or "reset")
        # Nothing is awaited from here on: no byte can be between the two.
        assert not self._readers
        assert not self._outgoing
        self._down.cancel()
        self._near.close()
        self._watch_no_more()
        self._sock.close()
        self._take_socket(route.far)
        self._near = Wire(route.near)
        self._down = asyncio.ensure_future(self._carry_down(self._near))

    # -- ending --------------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Close with RST. Toxiproxy would make a FIN of it, so it goes straight to the target."""
        self._left = self.client.ending
        self.client.reset()
        self.close()

    async def finish(self) -> None:
        """Close in good order: FIN, through Toxiproxy, then read until the target closes too."""
        self.half_close()
        try:
            await asyncio.wait([self._down])
            await self.client.finish()
        finally:
            self.close()

    def close(self) -> None:
        """Give all sockets back now."""
        if not self.client.closed:
            self._left = self.client.ending
        super().close()
        self._up.cancel()
        self._down.cancel()
        self._near.close()
        self.client.close()
        self._changed.set()

    # -- the bytes -----------------------------------------------------------------------------------------------------------

    def _read_once(self) -> bool:
        before = self.received
        took = super()._read_once()
        if took:
            if self.received > before:
                self._said = self._said or self._ending  # a close_notify or an alert
            elif self._ending == "fin" and self.client.ending == "reset":
                self._ending = "reset"
            self._changed.set()
        return took

    def _push(self) -> bool:
        before = len(self._outgoing)
        pushed = super()._push()
        self.given += before - len(self._outgoing)
        return pushed

    async def _carry_up(self) -> None:
        """From the target to the far end."""
        try:
            while data := await self.client.receive():
                self.taken += len(data)
                await self._near.send(data)
        except ClientGone:
            pass  # the target reset it, or Toxiproxy takes no more
        finally:
            self._near.half_close()  # also after an RST: it would become a FIN, but might overtake what came before it
            self._changed.set()

    async def _carry_down(self, near: Wire) -> None:
        """From the far end to the target, whatever Toxiproxy lets through."""
        try:
            while data := await near.receive():
                await self.client.send(data, half_closed=True)
                self.passed += len(data)
                self._changed.set()
            self._cut_off("fin")
            self.client.half_close()
        except ClientGone:
            if near.ending == "reset":
                self._cut_off("reset")
                self.client.reset()
        finally:
            self._changed.set()

    def _cut_off(self, how: Literal["fin", "reset"]) -> None:
        self.client.look()
        if self.client.ending is None and not self._finished and not self.closed:
            self.cut = how
