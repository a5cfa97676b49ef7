"""Connection reset before, in the middle of or after the head, or in the middle of the body: RST (RFC 9293, 3.10.7).

requirements.md: ``fail-closed/reset``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import half, head_and_body
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import too_late
from fake_control_plane.faults.stages import Delivery


@dataclass(frozen=True, kw_only=True)
class Reset(Delivery):
    """RST instead of an answer, or after a part of an allow."""

    name = "reset"
    summary = "the connection is reset before the answer, in or after its head, or in the middle of its body"
    receipt = "RST was sent to a client that was still there"
    example = "reset=in-head operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "when": "before or middle (of the answer: half its body), in-head (half the head) or after-head (no body byte)"
    }

    when: Literal["before", "middle", "in-head", "after-head"]

    def __post_init__(self) -> None:
        check_choice(self, "when", ("before", "middle", "in-head", "after-head"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when RST was sent to a client that was still there."""
        evidence = "RST sent before any byte of the answer"
        try:
            head, body = head_and_body(exchange)
            if self.when == "middle":
                await exchange.send(head + half(body))
                evidence = f"RST sent after {len(half(body))} of {len(body)} body bytes"
            elif self.when != "before":
                part = half(head) if self.when == "in-head" else head
                await exchange.send(part)
                evidence = f"RST sent after {len(part)} of {len(head)} head bytes"
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        # One more look: an RST on a connection that the client has closed shows it nothing.
        how = await exchange.client_gone(0)
        if how is not None:
            return too_late(exchange, how)
        exchange.reset()
        return Receipt(delivered=True, evidence=evidence, ending="reset", waited=exchange.elapsed())
