"""Faults of different stages (``faults.stages``) on one call: an error that drips, half a page that comes late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, ClientGone, Exchange, Receipt
from fake_control_plane.faults.receipts import gave_up, send_whole
from fake_control_plane.faults.stages import Content, Delay, StagedFault, contradiction, without_content


@dataclass(frozen=True, kw_only=True)
class Composed(AnswerFault):
    """Faults of different stages on one call, each as it strikes this time.

    Raises:
        ValueError: two are of the same stage.
    """

    name = "composed"
    summary = "several faults of different stages on one call"

    parts: tuple[StagedFault, ...]

    def __post_init__(self) -> None:
        for at, part in enumerate(self.parts):
            for other in self.parts[:at]:
                if part.stage == other.stage:
                    raise ValueError(contradiction(other, part))

    @property
    def earlier_answers(self) -> int:
        """As many as the one that wants most."""
        return max((part.earlier_answers for part in self.parts), default=0)

    async def deliver(self, exchange: Exchange) -> Receipt:
        """Delay, then content, then delivery. Delivered when each of them was."""
        of_stage = {part.stage: part for part in self.parts}
        delay, content, delivery = of_stage.get("delay"), of_stage.get("content"), of_stage.get("delivery")
        late = ""
        if isinstance(delay, Delay):
            try:
                await delay.delay(exchange)
            except ClientGone as gone:
                return gave_up(exchange, gone.how, during="waiting for the late answer")
            late = f"{exchange.elapsed():.3f} s late: "
        instead = content.instead(exchange) if isinstance(content, Content) else None
        if delivery is not None:
            receipt = await delivery.deliver(exchange if instead is None else Altered(exchange, instead))
        else:
            receipt = await send_whole(exchange, exchange.answer if instead is None else instead)
        if content is not None and instead is None:
            receipt = without_content(content, receipt)
        return replace(receipt, evidence=late + receipt.evidence)


class Altered:
    """An exchange whose truth, and whose allow, is another answer; everything else is the exchange's own."""

    def __init__(self, exchange: Exchange, answer: Answer) -> None:
        self.answer = self.allow = answer
        self.earlier: Sequence[Answer] = exchange.earlier
        self.scheme, self.host, self.target = exchange.scheme, exchange.host, exchange.target
        self.send, self.send_answer, self.render = exchange.send, exchange.send_answer, exchange.render
        self.client_gone, self.pause, self.elapsed = exchange.client_gone, exchange.pause, exchange.elapsed
        self.reset, self.half_close, self.close = exchange.reset, exchange.half_close, exchange.close
