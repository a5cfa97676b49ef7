"""Bodies that faults share: a page of a proxy, and an allow that is not quite one."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Exchange


def html(status: int) -> bytes:
    """A page as a proxy or a load balancer shows it."""
    title = f"{status} {phrase(status)}"
    return f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>\r\n".encode()


def phrase(status: int) -> str:
    """The reason phrase of a status, or ``Error`` where RFC 9110 knows none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def allow_object(exchange: Exchange) -> dict[str, Any]:
    """The JSON object of the allow that the control plane would give, to be changed."""
    return dict(json.loads(exchange.allow.payload()))


def half_of_allow(exchange: Exchange) -> tuple[bytes, Answer, int]:
    """An allow cut in the middle of its JSON, after ``"allowed": true``: a lenient reader could take it for one.

    Returns:
        The bytes of the whole message up to the cut; the allow; how many bytes of its body stand before the cut.
    """
    allow = exchange.allow
    size = len(allow.payload())
    kept = size // 2
    message = exchange.render(allow)
    return message[: len(message) - (size - kept)], allow, kept
