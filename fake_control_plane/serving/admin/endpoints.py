"""What an endpoint of the admin API is. The table of all of them is ``api.ENDPOINTS``: routes and OpenAPI are made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fake_control_plane.serving.admin.fields import Field
from fake_control_plane.serving.admin.held import Held


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request, read and checked: ``path``, ``query`` and ``body`` by the names of their fields."""

    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """``name`` is the operation's id, and the name of the client's method. ``act`` returns the answer's JSON value.

    ``answer`` names the answer's schema (``shapes``), ``errors`` the words of ``problems`` beside those that any request can get.
    ``body``: its fields, or ``rule`` for a fault rule; None: the request has none.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    name: str
    summary: str
    act: Callable[[Held, Asked], Any]
    answer: str
    answered: str
    status: int = 200
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] | Literal["rule"] | None = None
    errors: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Each parameter of the path, and what it is."""


ORG = {"org": "the org's id, such as org-1"}
"""The parameter of every path that is about one org."""


def org_action(
    path: str,
    name: str,
    summary: str,
    act: Callable[[Held, Asked], Any],
    *,
    method: Literal["POST", "PUT"] = "POST",
    body: tuple[Field, ...] | None = None,
    answer: str = "Org",
    answered: str = "The org as it is now.",
    errors: tuple[str, ...] = (),
) -> Endpoint:
    """An action on an org, which answers with the org as it is then."""
    return Endpoint(
        method=method,
        path=f"/orgs/{{org}}/{path}",
        name=name,
        summary=summary,
        act=act,
        body=body,
        parameters=ORG,
        answer=answer,
        answered=answered,
        errors=("unknown_org", "not_stored", *errors),
    )
