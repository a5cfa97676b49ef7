"""Bodies that faults share: a page of a proxy, and an allow that is not quite one."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

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


def head_and_body(exchange: Exchange) -> tuple[bytes, bytes]:
    """An allow's bytes, the blank line with the head. The body is empty where the client may have none (HEAD)."""
    head, blank, body = exchange.render(exchange.allow).partition(b"\r\n\r\n")
    return head + blank, body


def half(body: bytes) -> bytes:
    """The first half: of an allow's body all of ``"allowed": true``, which a lenient reader could take for the whole."""
    return body[: len(body) // 2]
