"""One control-plane request in a run: an exchange whose seconds are target seconds, which the director lets pass."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fake_control_plane.exchange import WireExchange
from fake_control_plane.faults.api import ClientGone, Receipt
from fake_control_plane.wire import How, Wire
from machineid_conformance.gateway.api import Director, Ruling
from machineid_conformance.gateway.tasks import cancelled


async def client_gone(wire: Wire, director: Director, within: float) -> How | None:
    """How the client closed; None when ``within`` target seconds passed first."""
    leaving = asyncio.ensure_future(wire.gone())
    passing = asyncio.ensure_future(director.pause(within))
    try:
        await asyncio.wait((leaving, passing), return_when=asyncio.FIRST_COMPLETED)
        return leaving.result() if leaving.done() else None
    finally:
        await cancelled(leaving, passing)


class ControlExchange(WireExchange):
    """``began`` in target seconds. ``close``: the answer says that the connection ends with it. ``head_only``: it was HEAD."""

    def __init__(
        self,
        wire: Wire,
        director: Director,
        ruling: Ruling,
        *,
        scheme: str,
        host: str,
        target: str,
        began: float,
        close: bool,
        head_only: bool,
    ) -> None:
        super().__init__(
            wire,
            answer=ruling.answer,
            allow=ruling.allow,
            earlier=ruling.earlier,
            scheme=scheme,
            host=host,
            target=target,
            began=began,
            close=close,
            head_only=head_only,
            clock=director.clock,
        )
        self._director = director
        self.left_at: float | None = None
        """When the client left, if it did while the ruling was awaited."""

    async def client_gone(self, within: float) -> str | None:
        """``fin``, ``reset`` or ``tls-alert``; None when ``within`` target seconds passed first."""
        how = await client_gone(self._wire, self._director, within)
        self._seen_gone = how is not None
        return how

    def gave_up(self, gone: ClientGone) -> Receipt:
        """The client left before the answer, or before the fault could show."""
        receipt = super().gave_up(gone)
        return receipt if self.left_at is None else replace(receipt, waited=self.left_at - self._began)
