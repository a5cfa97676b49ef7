"""An org on a running server, asked as clients ask and acted on as the console does; and the table of facts about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from fake_control_plane.client import Client

DEVICE = "worker:dev:queue-consumer:07"


class World:
    """An org, asked as clients ask (``ask``, ``read``) and acted on as the console does (``console``)."""

    def __init__(self, server: Mapping[str, Any], console: Client, data: httpx.Client) -> None:
        made = console.create_org()
        self.org, self.key = made.org.id, made.key
        self.console = console
        self._data = data

    def ask(self, what: str, device: str = DEVICE, *, key: str | None = None) -> httpx.Response:
        """``POST devices/{what}``."""
        headers = {"x-org-key": key or self.key}
        return self._data.post(f"/api/v1/devices/{what}", json={"deviceId": device}, headers=headers)

    def read(self, path: str, **headers: str) -> httpx.Response:
        """``GET``."""
        return self._data.get(f"/api/v1/{path}", headers={"x-org-key": self.key, **headers})

    def create(self) -> httpx.Response:
        return self._data.post("/api/v1/org/create")

    def register(self, device: str = DEVICE) -> str:
        """What a register answers."""
        return str(self.ask("register", device).json()["status"])

    def code(self, device: str = DEVICE) -> str:
        """What a validate says; it is a 200, and ``allowed`` agrees."""
        answer = self.ask("validate", device)
        body = answer.json()
        assert (answer.status_code, body["allowed"]) == (200, body["code"] == "ALLOW")
        return str(body["code"])

    def usage(self, *fields: str) -> tuple[Any, ...]:
        """These fields of usage."""
        body = self.read("usage").json()
        return tuple(body[field] for field in fields)

    def full(self) -> None:
        """Three devices on the free plan."""
        assert [self.register(device) for device in "abc"] == ["ok"] * 3

    def cancelled(self, *, ends_in: float) -> None:
        """On plan pro with four devices, cancelled at the end of a cycle that ends in so many seconds."""
        self.console.set_plan(self.org, "pro")
        self.console.register(self.org, list("abcd"))
        self.console.cancel_plan(self.org, access_until=self.console.clock().now + ends_in)


Row = Callable[[World], None]
FACTS: dict[str, tuple[Row, str | None]] = {}
"""Each fact, how it is played, and the one dialect that it holds in, None: in both."""


def public(fact: str, *, only: str | None = None) -> Callable[[Row], Row]:
    return _row(f"public: {fact}", only)


def assumed(fact: str, *, only: str | None = None) -> Callable[[Row], Row]:
    return _row(f"assumed: {fact}", only)


def _row(fact: str, only: str | None) -> Callable[[Row], Row]:
    def add(row: Row) -> Row:
        assert fact not in FACTS
        FACTS[fact] = (row, only)
        return row

    return add
