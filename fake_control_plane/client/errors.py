"""What can go wrong between a client and the admin port."""

from __future__ import annotations

from typing import Any


class ClientError(Exception):
    """Any of the errors below."""


class Unreachable(ClientError):  # noqa: N818  (what is so)
    """Nobody answers at that address, or the connection broke."""


class UnexpectedAnswer(ClientError):  # noqa: N818
    """Somebody answers there who is no admin port of a fake control plane, or one of another version."""


class Refused(ClientError):  # noqa: N818
    """The server said no. ``word`` is stable (docs/admin-api.md); ``status`` is HTTP's. ``str()`` is message and remedy."""

    def __init__(self, *, word: str, status: int, message: str, expected: str | None, remedy: str | None) -> None:
        super().__init__(message if remedy is None else f"{message}. {remedy}")
        self.word = word
        self.status = status
        self.message = message
        self.expected = expected
        self.remedy = remedy


class Unauthorized(Refused):
    """401: the server wants its token."""


class Forbidden(Refused):
    """403: not from there, or not under that name."""


class NotFound(Refused):
    """404: no such org, device, rule or path."""


class Conflict(Refused):
    """409: the state does not allow it now. Nothing was changed."""


class Invalid(Refused):
    """400, 413, 415 or 422: the request is not right. Nothing was changed."""


class Unavailable(Refused):
    """500 or 503: the server has a problem of its own."""


_KINDS: dict[int, type[Refused]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    500: Unavailable,
    503: Unavailable,
}


def refused(status: int, body: Any) -> ClientError:
    """The error that this answer is."""
    if not isinstance(body, dict) or not isinstance(body.get("error"), str) or not isinstance(body.get("message"), str):
        return UnexpectedAnswer(f"expected an error of the admin API; got HTTP {status} with {str(body)[:200]}")
    if "handler" in body:  # what every error of the data port has, and none of the admin port
        return UnexpectedAnswer("that is the data port of a control plane; expected the address of its admin port")
    return _KINDS.get(status, Refused)(
        word=body["error"],
        status=status,
        message=body["message"],
        expected=body.get("expected"),
        remedy=body.get("remedy"),
    )
