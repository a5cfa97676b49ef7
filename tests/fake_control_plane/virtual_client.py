"""The other end of a fault, in memory and on a virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fake_control_plane import faults, http1
from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, ClientGone, Exchange, Receipt

How = Literal["fin", "reset", "tls-alert"]

ALLOW = Answer(body={"allowed": True, "code": "ALLOW", "request_id": "00000000-0000-4000-8000-000000000001"})
DENY = Answer(body={"allowed": False, "code": "DEVICE_REVOKED", "request_id": "00000000-0000-4000-8000-000000000002"})


@dataclass
class Client:
    """The other end, on a virtual clock: it leaves at ``leaves`` seconds, or after ``leaves_after`` bytes."""

    leaves: float | None = None
    leaves_after: int | None = None
    how: How = "fin"
    answer: Answer = DENY
    allow: Answer = ALLOW
    scheme: str = "https"
    host: str = "machineid.io"
    target: str = "/api/v1/devices/validate"
    earlier: Sequence[Answer] = ()
    now: float = 0.0
    sent: bytearray = field(default_factory=bytearray)
    endings: list[str] = field(default_factory=list)
    accepts_after_leaving: bool = False
    head_only: bool = False
    arrivals: list[float] = field(default_factory=list)

    @property
    def ended(self) -> str | None:
        """How the server ended the connection, if it did."""
        return self.endings[-1] if self.endings else None

    @property
    def gone(self) -> bool:
        if self.leaves_after is not None and len(self.sent) >= self.leaves_after:
            return True
        return self.leaves is not None and self.now >= self.leaves

    async def send(self, data: bytes) -> None:
        assert self.ended is None, "a byte after the end"
        if self.gone and not self.accepts_after_leaving:
            raise ClientGone(self.how)
        self.sent += data
        self.arrivals.append(self.now)

    async def send_answer(self, answer: Answer) -> None:
        await self.send(self.render(answer))

    def render(self, answer: Answer) -> bytes:
        return http1.render(answer, head_only=self.head_only)

    async def client_gone(self, within: float) -> str | None:
        if self.gone:
            return self.how
        if self.leaves is not None and self.leaves <= self.now + within:
            self.now = self.leaves
            return self.how
        self.now += within
        return None

    async def pause(self, seconds: float) -> None:
        how = await self.client_gone(seconds)
        if how is not None:
            raise ClientGone(self.how)

    def elapsed(self) -> float:
        return self.now

    def reset(self) -> None:
        self.endings.append("reset")

    def half_close(self) -> None:
        self.endings.append("half-closed")

    def close(self) -> None:
        self.endings.append("closed")

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        head, _, body = bytes(self.sent).partition(b"\r\n\r\n")
        status_line, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return int(status_line.split(" ")[1]), headers, body


def deliver(name: str, parameters: dict[str, Any], client: Client) -> Receipt:
    fault = faults.make(name, parameters)
    assert isinstance(fault, AnswerFault)
    exchange: Exchange = client
    return asyncio.run(fault.deliver(exchange))
