"""A redirect to where an allow waits, or in a circle. requirements.md: ``fail-closed/redirect``. RFC 9110, 15.4 and 10.2.2 (Location).

The fault gives the redirect; whoever owns the connections recognises the followed request by ``is_followed``, and
answers it with an allow that is no permit, to whatever method the client followed with. A request that followed a
``loop`` looks like the first one, and gets the same redirect for as long as the fault lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.api import PREFIX
from fake_control_plane.faults.api import Exchange
from fake_control_plane.faults.bodies import html
from fake_control_plane.faults.parameters import check_choice
from fake_control_plane.faults.stages import Content

REDIRECT_HOST = "eu-west.machineid-mirror.example"
"""The other host: a name that is reserved (RFC 2606), and that a client might well believe."""

MARKER = "continue=1"
"""What the query of a redirect to the control plane itself ends with."""

STATUSES = (301, 302, 307, 308)


@dataclass(frozen=True, kw_only=True)
class Redirect(Content):
    """``Location`` is absolute, keeps scheme, path and query, and names the other host, carries the marker, or does neither."""

    name = "redirect"
    summary = "a redirect to another host, or to itself, where an allow waits, or in a loop"
    receipt = "the whole response was accepted, whether or not the client follows it"
    example = "redirect=302 to=loop operation=validate"
    parameters: ClassVar[Mapping[str, str]] = {
        "status": "301, 302, 307 or 308",
        "to": "other-host, itself (an allow waits at either) or loop",
    }

    status: Literal[301, 302, 307, 308]
    to: Literal["other-host", "itself", "loop"]

    def __post_init__(self) -> None:
        check_choice(self, "status", STATUSES)
        check_choice(self, "to", ("other-host", "itself", "loop"))

    def instead(self, exchange: Exchange) -> Answer:
        """The redirect, with a page for people."""
        host, target = exchange.host, exchange.target
        if self.to == "itself":
            target = f"{target}{'&' if '?' in target else '?'}{MARKER}"
        elif self.to == "other-host":
            host = REDIRECT_HOST
        headers = {"Location": f"{exchange.scheme}://{host}{target}"}
        return Answer(status=self.status, raw=html(self.status), content_type="text/html", headers=headers)


def is_followed(host: str, target: str) -> bool:
    """Whether a request is one that followed a redirect of this fault.

    ``host``: the authority that the request is for, with or without a port. ``target``: its target, in any form. A
    request for any host but ``REDIRECT_HOST`` counts only with a path of the API and the marker as one whole field of
    its query. Ask of requests to the control plane and to ``REDIRECT_HOST`` only: other hosts mean their own by it.
    """
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    if name.lower().rstrip(".") == REDIRECT_HOST:
        return True
    path, _, query = target.partition("?")
    return PREFIX in path and MARKER in query.split("&")
