"""Every error that the control plane answers with: its word, its status, and when a client gets it.

One shape for all of them: ``{"status": "error", "error": word, "message": for people, "handler": which endpoint}``, and
never ``allowed``. One error stands apart: a register refused at the cap (``dialects.Dialect.registered``), whose word is
public. All other words are assumed, and so are the statuses: no public source lists the original's errors. A client of
the original must not act on a word, nor on a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fake_control_plane.answers import Answer
from fake_control_plane.dialects import error

DEVICE_ID_LIMIT = 256
"""The most characters that a device id may have: assumed, and a bound for what a client can make the fake remember."""

DEVICE_ID_SOMETHING = r"[^\u0000-\u0020\u007f-\u00a0]"
"""What a device id must have in it, as a regular expression that every dialect reads alike: their ``\\s`` differ, so that what is
blank to Python's ``strip`` (U+001E) is not to a reader of the OpenAPI document.
"""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One kind of error. ``message`` may have fields in braces; ``when`` finishes the sentence *A client gets it when …*.

    ``of``: ``api``, ``port`` (the server's limits and its HTTP) or ``guard`` (what only a fake says of itself).
    """

    word: str
    status: int
    message: str
    when: str
    of: Literal["api", "port", "guard"] = "api"


_ALL = (
    Problem(
        word="malformed_json",
        status=400,
        message="The body is not JSON.",
        when="the body of a call about a device is not JSON in UTF-8",
    ),
    Problem(
        word="malformed_body",
        status=400,
        message="The body is not a JSON object.",
        when="the body is JSON, and not an object",
    ),
    Problem(
        word="missing_device_id",
        status=400,
        message="deviceId is missing.",
        when="the object, or the query, has no deviceId, or a null",
    ),
    Problem(
        word="invalid_device_id",
        status=400,
        message=f"deviceId is not a string of 1 to {DEVICE_ID_LIMIT} characters with something in it.",
        when="deviceId is no string, is empty or blank, is too long, or cannot be written in UTF-8",
    ),
    Problem(
        word="missing_org_key",
        status=401,
        message="The header x-org-key is missing.",
        when="there is no x-org-key, or nothing in it",
    ),
    Problem(
        word="invalid_org_key",
        status=401,
        message="The org key is not valid.",
        when="no org has this key now: it was rotated, or was never issued",
    ),
    Problem(
        word="not_found",
        status=404,
        message="There is no such endpoint.",
        when="the path is none of the API",
    ),
    Problem(
        word="device_not_found",
        status=404,
        message="The device is not registered in this org.",
        when="a device to revoke, unrevoke or remove is not registered",
    ),
    Problem(
        word="method_not_allowed",
        status=405,
        message="Expected {allowed}.",
        when="the path is of the API and the method is not; Allow names those that are (RFC 9110, 15.5.6)",
    ),
    Problem(
        word="bad_request",
        status=400,
        message="{why}",
        when="what was sent is no HTTP/1.1 request; the connection ends with it",
        of="port",
    ),
    Problem(
        word="request_timeout",
        status=408,
        message="{why}",
        when="a request is not complete in time; the connection ends with it",
        of="port",
    ),
    Problem(
        word="body_too_large",
        status=413,
        message="{why}",
        when="the body is larger than the server takes; the connection ends with it",
        of="port",
    ),
    Problem(
        word="head_too_large",
        status=431,
        message="{why}",
        when="the head is larger than the server takes; the connection ends with it",
        of="port",
    ),
    Problem(
        word="fake_expired",
        status=403,
        message="{why}",
        when="the fake has reached its --expires; a validate is denied then, with the code FAKE_EXPIRED",
        of="guard",
    ),
    Problem(
        word="production_device",
        status=422,
        message="{why}",
        when="the device id has :prod: in it, and the fake was started without --allow-prod",
        of="guard",
    ),
    Problem(
        word="too_many_orgs",
        status=429,
        message="{why}",
        when="clients have made as many orgs as the fake makes for them",
        of="guard",
    ),
    Problem(
        word="not_stored",
        status=503,
        message="{why}",
        when="the change is made, and could not be written to the state file",
        of="guard",
    ),
)

PROBLEMS: Mapping[str, Problem] = MappingProxyType({problem.word: problem for problem in _ALL})
"""Every error by its word."""


def refusal(word: str, *, handler: str, headers: Mapping[str, str] | None = None, **fields: object) -> Answer:
    """The answer that says this error, with the fields of its message.

    Raises:
        KeyError: the word is not in ``PROBLEMS``, or a field of its message is missing.
    """
    problem = PROBLEMS[word]
    return error(problem.status, word, problem.message.format(**fields), handler=handler, headers=headers)
