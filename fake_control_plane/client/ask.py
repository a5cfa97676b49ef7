"""A request to the admin port, as a value: what to send, and how to read the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

T = TypeVar("T")

PREFIX = "/admin/v1"


@dataclass(frozen=True, kw_only=True)
class Ask(Generic[T]):
    """``path`` and ``query`` as they are sent; ``body`` is a JSON value; ``read`` makes the result of the answer's JSON value, or of
    its text if ``text``. ``also``: statuses beside 2xx that have such an answer.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    read: Callable[[Any], T]
    query: Mapping[str, str] | None = None
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    text: bool = False
    also: tuple[int, ...] = ()


def path(*parts: str) -> str:
    """A path of the admin API: each part is quoted, slashes included."""
    return "/".join([PREFIX, *(quote(part, safe="") for part in parts)])


def query(**values: object) -> dict[str, str]:
    """The parameters that have a value."""
    return {name: str(value) for name, value in values.items() if value is not None}
