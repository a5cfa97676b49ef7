"""The three stages of an answer at which a fault can act, one fault at each.

1. A *delay* lets time pass before anything is sent (``latency``).
2. *Content* puts another answer in the place of the truth (``status``, ``not-json``, ``stale``, …).
3. A *delivery* spoils how bytes leave (``reset``, ``slow-body``, ``hang``, …). By itself it spoils an allow; where content
   stands before it, that content.

So faults of different stages compose, whatever they are, and two of the same stage contradict each other: a call has one
answer, and one way in which it goes out. ``fault_rules.composed`` puts them together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, ClientGone, Exchange, Receipt
from fake_control_plane.faults.receipts import gave_up, send_whole

Stage = Literal["delay", "content", "delivery"]


class StagedFault(AnswerFault):
    """An answer fault that says where it acts: subclass ``Delay``, ``Content`` or ``Delivery``."""

    stage: ClassVar[Stage]


class Delay(StagedFault):
    stage = "delay"

    async def delay(self, exchange: Exchange) -> None:
        """Let target seconds pass. Raises ClientGone."""
        del exchange
        raise LookupError(self.name)

    async def deliver(self, exchange: Exchange) -> Receipt:
        """The truth, late. Delivered when it was accepted, or the client would not wait for it."""
        try:
            await self.delay(exchange)
        except ClientGone as gone:
            return gave_up(exchange, gone.how, during="waiting for the late answer")
        return await send_whole(exchange, exchange.answer)


class Content(StagedFault):
    stage = "content"

    def instead(self, exchange: Exchange) -> Answer | None:
        """The answer in the place of the truth; None: there is nothing yet that it could be made of."""
        del exchange
        raise LookupError(self.name)

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delivered when the whole response was accepted."""
        answer = self.instead(exchange)
        if answer is not None:
            return await send_whole(exchange, answer)
        return without_content(self, await send_whole(exchange, exchange.answer))


class Delivery(StagedFault):
    stage = "delivery"


def contradiction(first: StagedFault, second: StagedFault) -> str:
    """Why two faults of one stage cannot be together, and what to do."""
    what = {
        "delay": "both delay the answer, and there is one delay",
        "content": "both replace the answer, and a call has one answer",
        "delivery": "both spoil how the answer leaves, and it leaves once",
    }[first.stage]
    return (
        f"faults {first.name!r} and {second.name!r} contradict each other: {what}; "
        "keep one of them, or put them into two rules whose triggers strike different calls"
    )


def without_content(content: StagedFault, receipt: Receipt) -> Receipt:
    """The receipt of an exchange that went on without the content that was to be put into it."""
    why = f"not delivered: there was no answer that {content.name} could be made of"
    return replace(receipt, delivered=False, evidence=f"{why}; {receipt.evidence}")
