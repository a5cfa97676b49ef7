"""Who may use the admin port.

- Beyond loopback, or wherever a token is set, a request must carry it: ``Authorization: Bearer TOKEN``.
- Without a token only the loopback interface listens, and a web page must not be able to use what its reader can reach.
  A page whose name was given the address 127.0.0.1 (DNS rebinding) shows by its Host; a page of another origin that posts
  (CSRF) shows by Origin and Sec-Fetch-Site, and a form by its Content-Type.

``/healthz`` needs no token, and tells a caller without one nothing but well or unwell; nor does the dashboard's page, which holds
no data.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from fake_control_plane.serving.admin.problems import Refused

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing here (RFC 9110, 9.2.1)."""

_OPEN = re.compile(r"/|/healthz|/dashboard(/.*)?")
"""Paths without a token."""

_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@/]+\]|[^\[\]:@/]*)(:(?P<port>[0-9]{1,5}))?")


class AccessError(ValueError):
    """This admin port would be open to others; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """``token``: None means that anybody on this machine may use the port, and nobody else can reach it."""

    token: str | None = None

    @classmethod
    def to(cls, host: str, *, token: str | None) -> Access:
        """The access rules of a port that listens on this address.

        Raises:
            AccessError: the address is beyond loopback and there is no token.
        """
        if token is None and not is_loopback(host):
            raise AccessError(
                f"the admin port on {host!r} can be reached from other machines: it needs a token. "
                "Leave --admin-host out (127.0.0.1), or give it a token"
            )
        return cls(token=token)

    def check(self, method: str, path: str, headers: Headers) -> None:
        """Let a request through, or raise ``Refused``."""
        if self.token is None:
            self._from_this_machine(headers)
        elif not _OPEN.fullmatch(path) and not self.has_token(headers):
            raise Refused(
                "token_required",
                "the request has no token, or not this server's",
                expected="Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": 'Bearer realm="fake-control-plane"'},  # RFC 9110, 11.6.1
            )
        if method not in SAFE:
            _not_from_another_page(headers)

    def has_token(self, headers: Headers) -> bool:
        """Whether the request carries the token; True if there is none to carry. In constant time."""
        if self.token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # Compared as bytes: compare_digest takes no str beyond ASCII, and a header may have one.
        same = secrets.compare_digest(given.strip().encode(), self.token.encode())
        return scheme.lower() == "bearer" and same

    def _from_this_machine(self, headers: Headers) -> None:
        host = headers.get("host", "")
        if not is_loopback(_host_of(host) or ""):
            raise Refused(
                "wrong_host",
                f"Host: got {host[:200]!r}; expected a name of the loopback",
                expected="localhost, 127.0.0.1 or [::1]",
            )


def is_loopback(host: str) -> bool:
    """Whether this is a name or an address of the loopback. ``localhost`` is by RFC 6761, 6.3, also with a label before it."""
    name = host.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def new_token(path: Path) -> str:
    """Make a token and write it to a file that only its owner may read, in place of one that an earlier server left.

    Raises:
        OSError: the file cannot be written.
    """
    token = secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)  # its mode might be another: the new file is made with 600
    with open(path, "x", encoding="ascii", opener=_private) as file:
        file.write(token + "\n")
    return token


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _not_from_another_page(headers: Headers) -> None:
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        raise Refused(
            "cross_origin", f"Sec-Fetch-Site: got {site[:50]!r}; expected same-origin", expected="same-origin"
        )
    origin = headers.get("origin")
    # An opaque origin (a sandboxed page, a file) says null, and is none of ours.
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise Refused(
            "cross_origin",
            f"Origin: got {origin[:200]!r}; expected this server's own",
            expected="no Origin, or this server's",
        )
    kind = headers.get("content-type")
    if kind is not None and kind.partition(";")[0].strip().lower() != "application/json":
        raise Refused(
            "not_json", f"Content-Type: got {kind[:100]!r}; expected application/json", expected="application/json"
        )


def _host_of(authority: str) -> str | None:
    match = _AUTHORITY.fullmatch(authority)
    return None if match is None else match["host"]


def answer_headers() -> Mapping[str, str]:
    """What every answer carries: nothing is cached, guessed, framed, or read by another page."""
    return {
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-resource-policy": "same-origin",
    }
