"""A Content-Length that is not the body's (RFC 9112, 6.3): an allow whose end HTTP and JSON see at different places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from fake_control_plane.faults.api import ClientGone, Exchange, Receipt
from fake_control_plane.faults.bodies import half, head_and_body
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.receipts import cut_off, too_late
from fake_control_plane.faults.stages import Delivery

_LENGTH = re.compile(rb"(?i)(\r\nContent-Length: *)\d+")


@dataclass(frozen=True, kw_only=True)
class ContentLength(Delivery):
    """``too-long``: the whole body, one byte less than promised, then FIN: an incomplete message, though its JSON is whole.

    ``too-short``: half of the body is the message; the other half stands behind it, where a next response would begin.
    """

    name = "content-length"
    summary = "an allow with a Content-Length that is too long or too short for it"
    receipt = "the bytes were accepted, and the connection closed behind them"
    example = "content-length=too-long operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {"how": "too-long (one byte more than there is) or too-short (half)"}

    how: Literal["too-long", "too-short"]

    def __post_init__(self) -> None:
        check_choice(self, "how", ("too-long", "too-short"))

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when head and body were accepted. What is too short is one whole response to its reader."""
        head, body = head_and_body(exchange)
        length = len(body) + 1 if self.how == "too-long" else len(half(body))
        try:
            await exchange.send(_LENGTH.sub(rb"\g<1>%d" % length, head) + body)
        except ClientGone as gone:
            return too_late(exchange, gone.how)
        receipt = cut_off(exchange, f"{len(body)} body bytes under a Content-Length of {length}, then closed")
        if self.how == "too-long" or not body:
            return receipt
        return replace(receipt, ending="answered", answer=replace(exchange.allow, body=None, raw=half(body)))
