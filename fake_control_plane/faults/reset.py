"""Connection reset before, or in the middle of, the answer: RST (RFC 9293, 3.10.7).

requirements.md: ``fail-closed/reset``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.faults.api import AnswerFault, ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import half, head_and_body
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import too_late


@dataclass(frozen=True, kw_only=True)
class Reset(AnswerFault):
    """RST instead of an answer, or after the first half of an allow's body."""

    name = "reset"
    summary = "the connection is reset before, or in the middle of, the answer"
    parameters: ClassVar[Mapping[str, str]] = {"when": "before or middle (of the answer)"}

    when: Literal["before", "middle"]

    def __post_init__(self) -> None:
        check_choice(self, "when", ("before", "middle"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when RST was sent to a client that was still there."""
        evidence = "RST sent before any byte of the answer"
        try:
            if self.when == "middle":
                head, body = head_and_body(exchange)
                await exchange.send(head + half(body))
                evidence = f"RST sent after {len(half(body))} of {len(body)} body bytes"
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        # One more look: an RST on a connection that the client has closed shows it nothing.
        how = await exchange.client_gone(0)
        if how is not None:
            return too_late(exchange, how)
        exchange.reset()
        return Receipt(delivered=True, evidence=evidence, ending="reset", waited=exchange.elapsed())
