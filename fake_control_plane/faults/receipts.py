"""The endings that faults share, each with its receipt."""

from __future__ import annotations

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import ClientGone, Exchange, Receipt

_SEEN = {"fin": "FIN received", "reset": "RST received", "tls-alert": "TLS alert received"}


async def send_whole(exchange: Exchange, answer: Answer) -> Receipt:
    """Send one whole response that is the fault by itself: delivered once its bytes are accepted.

    An interim one (1xx) is none that ends a call (RFC 9110, 15.2): the connection ends behind it.
    """
    try:
        await exchange.send_answer(answer)
    except ClientGone as gone:
        return too_late(exchange, gone.how)
    if answer.status < 200:
        return cut_off(exchange, f"interim HTTP {answer.status} accepted, closed without a final answer")
    size = len(answer.payload())
    evidence = f"HTTP {answer.status} with {size} body bytes accepted"
    return Receipt(delivered=True, evidence=evidence, ending="answered", answer=answer, waited=exchange.elapsed())


def gave_up(exchange: Exchange, how: str, *, during: str) -> Receipt:
    """The client went because of the fault: that is its delivery."""
    waited = exchange.elapsed()
    evidence = f"{_SEEN.get(how, how)} {waited:.3f} s after the request, {during}"
    return Receipt(delivered=True, evidence=evidence, ending="gave-up", waited=waited)


def too_late(exchange: Exchange, how: str) -> Receipt:
    """The client was gone before the fault could show."""
    waited = exchange.elapsed()
    evidence = f"not delivered: {_SEEN.get(how, how)} {waited:.3f} s after the request, before the fault could show"
    return Receipt(delivered=False, evidence=evidence, ending="gave-up", waited=waited)


def cut_off(exchange: Exchange, evidence: str) -> Receipt:
    """Close a connection whose answer is not whole, and say so."""
    exchange.close()
    return Receipt(delivered=True, evidence=evidence, ending="cut-off", waited=exchange.elapsed())
