"""Where in a request an org key stands: the words of ``EffectStarted.secrets``. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote

from fake_control_plane.http1 import Head


def in_head(head: Head, host: str, keys: Iterable[str]) -> tuple[str, ...]:
    """``header NAME`` and ``url``, for each place in which one of the keys stands."""
    keys = tuple(keys)
    found = [f"header {name}" for name, value in head.headers if any(key in value for key in keys)]
    url = f"{host} {head.target} {unquote(head.target)}"
    if any(key in url for key in keys):
        found.append("url")
    return tuple(dict.fromkeys(found))


def needles(keys: Iterable[str]) -> set[bytes]:
    """The keys as they would stand in a body."""
    return {key.encode() for key in keys}
