"""Every error of the admin API: its word, its status, when it comes and what to do. ``docs/admin-api.md`` lists them.

One shape: ``{"error": word, "message": for people, "expected"?: what would have been right, "remedy"?: what to do}``. A word is
stable and is what programs go by; messages may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One kind of error. ``when`` finishes the sentence *It comes when …*."""

    word: str
    status: int
    when: str
    remedy: str | None = None


_ALL = (
    Problem(
        word="malformed_json",
        status=400,
        when="the body is not JSON in UTF-8, or is not an object",
        remedy="Send a JSON object with Content-Type: application/json.",
    ),
    Problem(
        word="token_required",
        status=401,
        when="this server has a token, and the request has none, or another",
        remedy="Send Authorization: Bearer TOKEN with the token that the server wrote when it was started.",
    ),
    Problem(
        word="wrong_host",
        status=403,
        when="a server without a token is addressed by a name that is not the loopback's "
        "(a web page can give its own name the address 127.0.0.1: DNS rebinding)",
        remedy="Address it as http://127.0.0.1:PORT or http://localhost:PORT.",
    ),
    Problem(
        word="cross_origin",
        status=403,
        when="a web page of another origin sent the request",
        remedy="Use the dashboard of this server, the command line, or fake_control_plane.client.",
    ),
    Problem(
        word="unknown_path",
        status=404,
        when="the path is none of the admin API",
        remedy="GET /openapi.json lists them all. Clients of the control plane itself belong on the data port.",
    ),
    Problem(word="unknown_org", status=404, when="no org has this id", remedy="GET /admin/v1/orgs lists them."),
    Problem(
        word="unknown_device",
        status=404,
        when="a device that the request names is not registered in the org; nothing was changed",
        remedy="GET /admin/v1/orgs/{org}/devices lists them.",
    ),
    Problem(
        word="unknown_rule", status=404, when="no fault rule has this id", remedy="GET /admin/v1/faults lists them."
    ),
    Problem(
        word="method_not_allowed",
        status=405,
        when="the path is of the admin API and the method is not; Allow names those that are",
    ),
    Problem(
        word="conflict",
        status=409,
        when="the state does not allow it now (the cap is reached, the clock cannot go further); nothing was changed",
        remedy="At the cap: raise the plan or the cap, or remove a device.",
    ),
    Problem(
        word="too_large",
        status=413,
        when="the body has more than 4 MB",
        remedy="Send several requests with fewer devices.",
    ),
    Problem(
        word="not_json",
        status=415,
        when="a request that may change something has a body, or a Content-Type, that is not application/json "
        "(the ones that a form on a web page can send are refused, body or not)",
        remedy="Send Content-Type: application/json.",
    ),
    Problem(
        word="invalid_value", status=422, when="a field or a parameter is unknown, missing, or has no fitting value"
    ),
    Problem(
        word="internal",
        status=500,
        when="the server has a defect; its standard error has the traceback",
        remedy="Report it with that traceback.",
    ),
    Problem(
        word="not_stored",
        status=503,
        when="the state file cannot be written (a full disk); the change is in force, and may be lost when the server ends",
        remedy="Make room on the disk of --state: the next change writes this one too.",
    ),
)

PROBLEMS: Mapping[str, Problem] = MappingProxyType({problem.word: problem for problem in _ALL})
"""Every error by its word."""


class Refused(Exception):  # noqa: N818  (it is the request's error, told to who sent it)
    """A request that gets an error. ``expected``: what would have been right, in words."""

    def __init__(
        self, word: str, message: str, *, expected: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.problem = PROBLEMS[word]
        self.expected = expected
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON that says it."""
        body = {"error": self.problem.word, "message": str(self)}
        if self.expected is not None:
            body["expected"] = self.expected
        if self.problem.remedy is not None:
            body["remedy"] = self.problem.remedy
        return body
