"""How two answers to the same call differ: pure.

Compared are the status, the media type and the other headers that a client may act on, and the body's shape: which keys
there are and of which JSON type each is. Of a few keys the value counts too (``VALUES``): they are the words of the API.
No other value is looked at, or shown: counts, times and ids are those of one org.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

VALUES = frozenset({"allowed", "code", "deviceId", "error", "handler", "revoked", "status", "valid"})
"""The keys whose values are compared, at the top of a body. In a list they are those of many devices: there, types only."""

HEADERS = ("allow", "location", "retry-after", "www-authenticate")
"""The headers whose presence is compared. Of Content-Type the media type is."""

EITHER: Mapping[str, frozenset[str]] = {"accessUntil": frozenset({"null", "string"})}
"""Keys that may be of more than one type: which one depends on the org, not on the service."""

_LONGEST = 120


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One answer. ``headers`` with lower-case names; ``body`` is the JSON value, or None with ``is_json`` False."""

    status: int
    headers: Mapping[str, str]
    body: Any
    is_json: bool = True

    @property
    def media_type(self) -> str:
        """Content-Type without its parameters, ``none`` if there is none."""
        return self.headers.get("content-type", "none").partition(";")[0].strip().lower()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``where``: ``status``, ``header allow``, ``body.code``, ``body.devices[].revoked``. ``fake`` and ``original`` as people read them."""

    where: str
    fake: str
    original: str

    def __str__(self) -> str:
        return f"{self.where}: the fake says {self.fake}, the original {self.original}"


def compare(fake: Observed, original: Observed) -> tuple[Difference, ...]:
    """All differences between two answers to one call, in a fixed order."""
    return tuple(_differences(fake, original))


def _differences(fake: Observed, original: Observed) -> Iterator[Difference]:
    if fake.status != original.status:
        yield Difference(where="status", fake=str(fake.status), original=str(original.status))
    if fake.media_type != original.media_type:
        yield Difference(where="header content-type", fake=fake.media_type, original=original.media_type)
    for name in HEADERS:
        if (name in fake.headers) != (name in original.headers):
            yield Difference(where=f"header {name}", fake=_presence(name, fake), original=_presence(name, original))
    if fake.is_json != original.is_json:
        yield Difference(where="body", fake=_whole(fake), original=_whole(original))
    elif fake.is_json:
        yield from _in_body("body", fake.body, original.body, values=True)


def _in_body(where: str, fake: Any, original: Any, *, values: bool) -> Iterator[Difference]:
    if isinstance(fake, dict) and isinstance(original, dict):
        for key in sorted({*fake, *original}):
            place = f"{where}.{key}"
            if key not in original:
                yield Difference(where=place, fake=_type(fake[key]), original="has no such key")
            elif key not in fake:
                yield Difference(where=place, fake="has no such key", original=_type(original[key]))
            elif {_type(fake[key]), _type(original[key])} <= EITHER.get(key, frozenset()):
                continue
            elif values and key in VALUES and _type(fake[key]) == _type(original[key]):
                if fake[key] != original[key]:
                    yield Difference(where=place, fake=_shown(fake[key]), original=_shown(original[key]))
            else:
                yield from _in_body(place, fake[key], original[key], values=False)
    elif isinstance(fake, list) and isinstance(original, list):
        if fake and original:
            yield from _in_body(f"{where}[]", _merged(fake), _merged(original), values=False)
    elif _type(fake) != _type(original):
        yield Difference(where=where, fake=_type(fake), original=_type(original))


def _merged(items: list[Any]) -> Any:
    """One item that has all that the items of a list have."""
    objects = [item for item in items if isinstance(item, dict)]
    if not objects:
        return items[0]
    merged: dict[str, Any] = {}
    for item in objects:
        merged |= item
    return merged


def _type(value: object) -> str:
    """A JSON type's name."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names[type(value)]


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _presence(name: str, observed: Observed) -> str:
    return "is there" if name in observed.headers else "is not there"


def _whole(observed: Observed) -> str:
    return _type(observed.body) if observed.is_json else "no JSON"
