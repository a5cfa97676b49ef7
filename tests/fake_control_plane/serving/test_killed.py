"""A SIGKILL at any moment loses no acknowledged change, and makes none up: fifty of them, under load, on one state file.

When to kill is a number of acknowledgements, not a time: the server is killed in the very moment in which the n-th acknowledgement
was read, while the other clients wait for theirs. What each client knows for certain is what was acknowledged; a change that it had
sent and got no answer to may have happened or not. Nothing else may differ.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fake_control_plane.client import AsyncClient, ClientError

KILLS = 50
CLIENTS = 4
MOST_ACKNOWLEDGED = 60
"""In one life: it is killed after 1 to so many."""

SEED = 20261121


class Forks:
    """The process that starts servers (``fork_server``)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """A server's pid, and what it said when it was ready."""
        said = [self._order(list(arguments)), self._read()]
        # The two write to one pipe: whoever comes first.
        (pid,) = (value for value in said if isinstance(value, int))
        (ready,) = (value for value in said if isinstance(value, dict))
        return pid, ready

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)

    def wait(self, pid: int) -> int:
        """The wait status of one that was killed."""
        return int(self._order(pid))

    def _order(self, value: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the server ended before it was ready"
        return json.loads(line)


@contextmanager
def forks() -> Iterator[Forks]:
    command = [sys.executable, str(Path(__file__).with_name("fork_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Forks(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()


@dataclass(kw_only=True)
class Known:
    """What one client knows of its org: ``devices`` in register order with their revoked state, ``cap``, ``disabled``, ``rules``.

    ``sent`` is a change that was not answered yet: what would be known if it had happened.
    """

    org: str
    key: str
    devices: dict[str, bool] = field(default_factory=dict)
    limit: int = 1000
    disabled: bool = False
    rules: list[str] = field(default_factory=list)
    sent: Known | None = None
    made: int = 0

    def copy(self, **changed: Any) -> Known:
        values = {name: getattr(self, name) for name in ("org", "key", "limit", "disabled", "made")}
        values |= {"devices": dict(self.devices), "rules": list(self.rules)}
        return Known(**(values | changed))

    def same(self, seen: Known) -> bool:
        return (list(self.devices.items()), self.limit, self.disabled, self.rules) == (
            list(seen.devices.items()),
            seen.limit,
            seen.disabled,
            seen.rules,
        )


class Ended(Exception):  # noqa: N818 -- a test's word
    """The server is gone."""


@dataclass(kw_only=True)
class Life:
    """One life of a server. It is killed when ``allowed`` acknowledgements were read."""

    allowed: int
    kill: Callable[[], None]
    acknowledged: int = 0
    journaled: Counter[tuple[str, str | None]] = field(default_factory=Counter)

    def acknowledge(self, operation: str, device: str | None) -> None:
        # After the kill, what had already been sent to us may still be read: that was acknowledged too.
        self.acknowledged += 1
        self.journaled[operation, device] += 1
        if self.acknowledged == self.allowed:
            self.kill()


async def call(data: httpx.AsyncClient, known: Known, operation: str, device: str) -> None:
    try:
        response = await data.post(
            f"/api/v1/devices/{operation}", json={"deviceId": device}, headers={"x-org-key": known.key}
        )
    except httpx.TransportError as error:
        raise Ended from error
    assert response.status_code == 200, response.text


async def on_the_data_port(data: httpx.AsyncClient, known: Known, life: Life, chance: random.Random) -> Known:
    """One change of a device by a client; returns what is known then."""
    device = chance.choice(list(known.devices)) if known.devices else ""
    operation = chance.choice(["register", "register", "revoke", "unrevoke", "remove"]) if device else "register"
    after = known.copy()
    if operation == "register":
        device = f"{known.org}:device:{known.made}"
        after.devices[device], after.made = False, known.made + 1
        known.made += 1  # a device that may have been registered is not named again
    elif operation == "remove":
        del after.devices[device]
    else:
        after.devices[device] = operation == "revoke"
    known.sent = after
    await call(data, known, operation, device)
    life.acknowledge(operation, device)
    return after


async def on_the_admin_port(admin: AsyncClient, known: Known, life: Life, chance: random.Random) -> Known:
    """One action of an operator; returns what is known then."""
    after = known.copy()
    acts: list[tuple[str, Callable[[], Coroutine[Any, Any, Any]]]] = []
    if chance.random() < 0.3:
        after.limit = chance.randrange(1, 100)
        acts.append(("set-cap", lambda: _of(admin.set_cap(known.org, after.limit))))
    elif chance.random() < 0.3:
        after.disabled = not known.disabled
        switch = admin.disable if after.disabled else admin.enable
        acts.append(("disable" if after.disabled else "enable", lambda: _of(switch(known.org))))
    elif chance.random() < 0.5:
        rule = f"rule-{known.made}"
        after.rules.append(rule)
        known.made, after.made = known.made + 1, known.made + 1
        value = {"id": rule, "fault": {"status": {"status": 503}}, "operation": "usage"}
        acts.append(("fault-add", lambda: _of(admin.add_fault(value))))
    elif known.rules:
        rule = chance.choice(known.rules)
        after.rules.remove(rule)
        acts.append(("fault-remove", lambda: _of(admin.remove_fault(rule))))
    else:
        acts.append(
            (
                "enable" if not known.disabled else "disable",
                lambda: _of((admin.disable if known.disabled else admin.enable)(known.org)),
            )
        )
    known.sent = after
    ((name, act),) = acts
    try:
        await act()
    except ClientError as error:
        raise Ended from error
    life.acknowledge(name, None)
    return after


async def _of(awaitable: Any) -> Any:
    return await awaitable


async def seen(admin: AsyncClient, known: Known, *, rules: bool) -> Known:
    """What the server has of an org now."""
    org = await admin.org(known.org)
    devices = {device.id: device.revoked for device in (await admin.devices(known.org)).devices}
    found = [rule.id for rule in await admin.faults()] if rules else []
    return known.copy(devices=devices, limit=org.limit, disabled=org.disabled, rules=found)


async def live(ready: dict[str, Any], known: list[Known], life: Life, chance: random.Random) -> None:
    """All clients at once, until the server is gone. The last one is the operator."""

    async def go(place: int, change: Callable[[Known, random.Random], Coroutine[Any, Any, Known]]) -> None:
        own = random.Random(chance.random())
        while True:
            try:
                known[place] = await change(known[place], own)
            except Ended:
                return

    async with (
        httpx.AsyncClient(base_url=ready["base_url"], trust_env=False, verify=False, timeout=30) as data,
        AsyncClient(ready["admin_url"]) as admin,
    ):
        clients = [go(place, lambda one, own: on_the_data_port(data, one, life, own)) for place in range(CLIENTS)]
        await asyncio.gather(*clients, go(CLIENTS, lambda one, own: on_the_admin_port(admin, one, life, own)))


async def check(ready: dict[str, Any], known: list[Known]) -> None:
    """What the server has is what is known, with or without the change that was not answered; it is known then."""
    async with (
        httpx.AsyncClient(base_url=ready["base_url"], trust_env=False, verify=False, timeout=30) as data,
        AsyncClient(ready["admin_url"]) as admin,
    ):
        for place, before in enumerate(known):
            now = await seen(admin, before, rules=place == CLIENTS)
            possible = [before] if before.sent is None else [before, before.sent]
            assert any(one.same(now) for one in possible), (before, now)
            now.made = max(one.made for one in possible)
            known[place] = now
            billing = await data.get("/api/v1/billing/summary", headers={"x-org-key": before.key})
            assert billing.status_code == 200, "the key is no longer accepted"


def test_fifty_kills_lose_no_acknowledged_change(tmp_path: Path) -> None:
    arguments = [
        "--port",
        "0",
        "--admin-port",
        "0",
        "--json",
        "--state",
        str(tmp_path / "state"),
        "--journal",
        str(tmp_path / "journal"),
    ]
    chance = random.Random(SEED)
    known: list[Known] = []
    journaled: Counter[tuple[str, str | None]] = Counter()
    acknowledged = uncertain = 0

    async def begin(ready: dict[str, Any]) -> None:
        async with AsyncClient(ready["admin_url"]) as admin:
            for _ in range(CLIENTS + 1):
                made = await admin.create_org(plan="max")
                known.append(Known(org=made.org.id, key=made.key))

    with forks() as server:
        pid, ready = server.start(*arguments)
        asyncio.run(begin(ready))
        for _ in range(KILLS):
            life = Life(allowed=chance.randint(1, MOST_ACKNOWLEDGED), kill=lambda: server.kill(pid))  # noqa: B023 -- of this life
            asyncio.run(live(ready, known, life, chance))
            assert os.WTERMSIG(server.wait(pid)) == signal.SIGKILL
            assert life.acknowledged >= life.allowed
            acknowledged += life.acknowledged
            uncertain += sum(one.sent is not None for one in known)
            journaled += life.journaled
            pid, ready = server.start(*arguments)
            asyncio.run(check(ready, known))
        server.kill(pid)
        server.wait(pid)
    # Clients were cut off in the middle of a change: or this would be a test of quiet servers.
    assert acknowledged > KILLS
    assert uncertain > KILLS
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text(encoding="ascii").splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    assert journaled - Counter((line["operation"], line["device"]) for line in lines) == Counter(), "not in the journal"
