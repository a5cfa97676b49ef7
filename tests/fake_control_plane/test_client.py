"""``Client`` and ``AsyncClient`` against servers on real sockets: results, errors, the live journal."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fake_control_plane.client import (
    AsyncClient,
    Began,
    Client,
    Clock,
    Conflict,
    Device,
    Entry,
    Health,
    Invalid,
    Missed,
    NotFound,
    Org,
    UnexpectedAnswer,
    Unreachable,
)
from fake_control_plane.client.events import EventReader
from tests.fake_control_plane.serving.servers import process, running


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with process() as ready:
        yield ready


@pytest.fixture
def client(server: dict[str, Any]) -> Iterator[Client]:
    with Client(server["admin_url"]) as client:
        yield client


@pytest.fixture
def org(client: Client) -> str:
    """An org of the test's own."""
    return client.create_org(plan="pro").org.id


def test_the_console(client: Client, org: str) -> None:
    assert client.org(org) == Org(
        id=org, plan="pro", plan_state="active", limit=25, used=0, access_until=None, disabled=False
    )
    assert client.register(org, ["a", "b", "a"]).registered == ("a", "b")
    assert client.register(org, ["b", "c"]).registered == ("c",)
    assert client.revoke(org, "b").used == 3  # one device may be given as it is
    assert client.device(org, "b") == Device(
        id="b", revoked=True, now="device-revoked", calls=0, last=None, last_at=None
    )
    assert [device.id for device in client.devices(org, state="allow").devices] == ["a", "c"]
    client.restore(org, ["b"])
    assert client.remove(org, ["a", "c"]).used == 1
    assert client.disable(org).disabled
    assert not client.enable(org).disabled
    assert client.set_cap(org, 7).limit == 7
    assert client.set_plan(org, "scale").limit == 250
    assert client.set_plan_state(org, "frozen").plan_state == "frozen"
    assert client.cancel_plan(org, access_until=4e9).access_until == 4e9
    assert org in [one.id for one in client.orgs()]


def test_ids_that_urls_do_not_like(client: Client, org: str) -> None:
    names = ["..", ".", "a/b", "a%2Fb", "?x=1#y", "é 😀", "+", "a&id=b"]
    client.register(org, names)
    assert [client.device(org, name).id for name in names] == names
    assert [device.id for device in client.devices(org, search="a&").devices] == ["a&id=b"]


def test_a_key_is_not_in_what_is_printed(client: Client, org: str) -> None:
    rotated = client.rotate_key(org)
    assert rotated.key.startswith("org_fake_")
    assert rotated.key not in repr(rotated)


def test_faults(client: Client, org: str) -> None:
    rule = client.add_fault(f"status=503 operation=validate org={org} first=2")
    same = client.add_fault(
        {"fault": {"status": {"status": 503}}, "operation": "validate", "org": org, "trigger": {"first": 2}}
    )
    assert (same.line, same.hits) == (rule.line, 0)
    assert client.fault(rule.id) == rule
    assert [one.id for one in client.faults()] == [rule.id, same.id]
    assert client.remove_fault(rule.id) == rule
    assert client.clear_faults() == (same.id,)
    assert "status" in [kind.name for kind in client.fault_kinds()]


def test_the_server(client: Client, server: dict[str, Any]) -> None:
    before = client.clock()
    after = client.advance_clock(60)
    assert isinstance(after, Clock)
    assert after.moved == before.moved + 60
    assert client.set_dialect("legacy").dialect == "legacy"
    assert client.set_codes({"allow": "YES"}).codes["allow"].code == "YES"
    assert client.set_codes({}).codes["allow"].overridden is False
    assert client.set_dialect("current").dialect == "current"
    assert client.dialect().codes["org-disabled"].assumed
    assert client.health() == Health(healthy=True, problems=())
    assert client.status()["base_url"] == server["base_url"]
    assert "fake_control_plane_healthy 1.0" in client.metrics()
    assert client.openapi()["openapi"] == "3.1.0"
    assert "/api/v1/devices/validate" in client.control_plane_openapi()["paths"]


# -- the journal ---------------------------------------------------------------------------------------------------------------


def test_the_journal_by_pages_and_as_it_grows(client: Client, org: str) -> None:
    client.register(org, ["a"])
    client.revoke(org, ["a"])
    page = client.journal(org=org)
    assert [(entry.operation, entry.device) for entry in page.entries] == [
        ("org-create", None),
        ("register", "a"),
        ("revoke", "a"),
    ]
    with client.follow(since=page.entries[0].number, org=org) as events:
        began, *entries = [next(events) for _ in range(3)]
        assert isinstance(began, Began)
        assert entries == list(page.entries[1:])
        client.restore(org, ["a"])
        entry = next(events)
        assert isinstance(entry, Entry)
        assert entry.operation == "restore"
        last = events.last_id
    client.remove(org, ["a"])
    with client.follow(last_event_id=last, org=org) as events:
        assert [type(next(events)), getattr(next(events), "operation", None)] == [Began, "remove"]


def test_a_stream_that_is_refused(client: Client) -> None:
    with pytest.raises(Invalid, match="Last-Event-ID"), client.follow(last_event_id="x"):
        raise AssertionError("it was opened")


def test_events_are_read_as_the_standard_says() -> None:
    reader = EventReader()
    lines = [
        ": a comment",
        "",
        "event: missed",
        "data: {",
        'data: "missed": 3}',
        "",
        "event: of-tomorrow",
        "data: {}",
        "",
    ]
    assert [event for line in lines if (event := reader.line(line))] == [Missed(missed=3)]
    assert reader.last_id is None
    for line in ("id:x-1", "event:missed", 'data:{"missed":1,"more":2}'):
        assert reader.line(line) is None
    assert reader.line("") == Missed(missed=1)
    assert reader.last_id == "x-1"
    reader.line("event: missed")
    reader.line("data: what?")
    with pytest.raises(UnexpectedAnswer, match="not JSON"):
        reader.line("")


# -- sync and async ----------------------------------------------------------------------------------------------------------------


def test_both_clients_are_of_one_description() -> None:
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_") or name in ("ask", "stream", "close"):
            continue
        other = getattr(AsyncClient, name)
        assert inspect.signature(method) == inspect.signature(other), name
        assert method.__doc__ == other.__doc__, name


def test_the_async_client() -> None:
    async def go() -> None:
        async with running(plan="pro") as server:
            client = server.client
            made = await client.create_org()
            async with client.follow() as events:
                assert isinstance(await anext(events), Began)
                await asyncio.gather(*(client.register(made.org.id, [name]) for name in "abc"))
                got = [await anext(events) for _ in range(3)]
                assert {getattr(entry, "device", None) for entry in got} == {"a", "b", "c"}
                assert events.last_id is not None
            with pytest.raises(Conflict):
                await client.register(made.org.id, ["d"])
            with pytest.raises(NotFound):
                await client.org("org-9")
        with pytest.raises(Unreachable):
            async with AsyncClient(server.opened.admin_url) as late:
                await late.orgs()

    asyncio.run(go())


def test_what_the_console_does_reaches_a_client_of_the_data_port(client: Client, server: dict[str, Any]) -> None:
    made = client.create_org()
    client.register(made.org.id, ["a"])

    def code() -> str:
        answer = httpx.post(
            f"{server['base_url']}/api/v1/devices/validate",
            json={"deviceId": "a"},
            headers={"x-org-key": made.key},
            trust_env=False,
        )
        return str(answer.json()["code"])

    assert code() == "ALLOW"
    client.revoke(made.org.id, ["a"])
    assert code() == "DEVICE_REVOKED"
    entries = client.journal(org=made.org.id, kind="call").entries
    assert [(entry.decision, entry.status, entry.ending) for entry in entries] == [
        ("allow", 200, "answered"),
        ("deny", 200, "answered"),
    ]
    assert all(entry.waited is not None and 0 <= entry.waited < 30 for entry in entries)
