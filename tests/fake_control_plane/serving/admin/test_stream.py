"""The journal as server-sent events, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from fake_control_plane.client import AsyncClient, Began, Entry, Missed
from fake_control_plane.serving.admin import journal
from tests.fake_control_plane.serving.servers import Running, running

STREAM = "/admin/v1/journal/stream"


def with_server(test: Callable[[Running], Awaitable[None]], **settings: Any) -> None:
    async def go() -> None:
        async with running(**settings) as server:
            await test(server)

    asyncio.run(go())


def record(server: Running, count: int, operation: str = "validate", device: str = "a") -> None:
    """Entries as calls make them."""
    for _ in range(count):
        server.server.service.journal.record(1.0, "call", "org-1", operation, device, 200, "allow", "ALLOW")


async def take(events: Any, count: int) -> list[Any]:
    return [await anext(events) for _ in range(count)]


def test_entries_come_as_they_are_made_and_each_once() -> None:
    async def test(server: Running) -> None:
        async with server.client.follow() as events:
            assert isinstance(await anext(events), Began)
            for _ in range(20):
                await server.client.disable("org-1")
                await server.client.enable("org-1")
            got = await take(events, 40)
            assert [entry.operation for entry in got] == ["disable", "enable"] * 20
            assert [entry.number for entry in got] == list(range(2, 42))  # 1 made the org

    with_server(test)


def test_a_client_that_comes_back_misses_nothing() -> None:
    async def test(server: Running) -> None:
        async with server.client.follow(since=0) as events:
            record(server, 5)
            await take(events, 4)
            last = events.last_id
        record(server, 5)
        async with server.client.follow(last_event_id=last) as events:
            began, *entries = await take(events, 9)
            assert began == Began(journal=server.server.service.journal.name, after=3)
            assert [entry.number for entry in entries] == list(range(4, 12))

    with_server(test)


def test_what_the_memory_no_longer_has_is_said() -> None:
    async def test(server: Running) -> None:
        record(server, 10_100)
        async with server.client.follow(since=50) as events:
            began, missed, entry = await take(events, 3)
            assert began.after == 50
            assert missed == Missed(missed=51)
            assert entry.number == 102

    with_server(test)


def test_a_number_of_another_server_hides_nothing() -> None:
    async def test(server: Running) -> None:
        record(server, 3)
        for begin in ({"last_event_id": "0badc0de-2"}, {"last_event_id": "0badc0de-4711"}):
            async with server.client.follow(**begin) as events:  # type: ignore[arg-type]
                assert [getattr(event, "number", None) for event in await take(events, 5)] == [None, 1, 2, 3, 4]

    with_server(test)


def test_filters() -> None:
    async def test(server: Running) -> None:
        async with server.client.follow(device="b*", operation="validate") as events:
            await anext(events)
            record(server, 3, device="a")
            record(server, 1, operation="register", device="b1")
            record(server, 1, device="b2")
            entry = await anext(events)
            assert isinstance(entry, Entry)
            assert (entry.device, entry.number) == ("b2", 6)

    with_server(test)


@asynccontextmanager
async def raw(server: Running, **headers: str) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[str]]]:
    async with (
        httpx.AsyncClient(base_url=server.opened.admin_url, trust_env=False, verify=False, timeout=30) as http,
        http.stream("GET", f"{STREAM}?since=0", headers=headers) as response,
    ):
        yield response, response.aiter_lines()


def test_the_form_of_an_event() -> None:
    async def test(server: Running) -> None:
        async with raw(server) as (response, lines):
            assert response.headers["content-type"].startswith("text/event-stream")
            name = server.server.service.journal.name
            got = [await anext(lines) for _ in range(7)]
            assert got[:4] == ["event: began", f'data: {{"journal":"{name}","after":0}}', "", f"id: {name}-1"]
            assert got[4] == "event: entry"
            assert json.loads(got[5].removeprefix("data: "))["operation"] == "org-create"
            assert got[6] == ""

    with_server(test)


def test_the_head_of_a_stream_has_an_end() -> None:
    async def test(server: Running) -> None:
        async with httpx.AsyncClient(
            base_url=server.opened.admin_url, trust_env=False, verify=False, timeout=30
        ) as http:
            head = await http.head(STREAM)
            assert head.headers["content-type"].startswith("text/event-stream")
            assert (await http.get("/healthz")).status_code == 200

    with_server(test)


def test_a_silent_stream_says_that_it_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "HEARTBEAT", 0.01)

    async def test(server: Running) -> None:
        async with raw(server) as (_, lines):
            async for line in lines:
                if line.startswith(":"):
                    return
        raise AssertionError("the stream ended")

    with_server(test)


def test_a_follower_that_goes_leaves_nothing_behind() -> None:
    async def test(server: Running) -> None:
        async with AsyncClient(server.opened.admin_url) as client, client.follow() as events:
            await anext(events)
            answering = [task for task in asyncio.all_tasks() if "run_asgi" in repr(task.get_coro())]
            assert answering
        _, going_on = await asyncio.wait(answering, timeout=30)
        assert not going_on
        assert server.server.service.journal._waiting == []

    with_server(test)


def test_a_server_that_ends_ends_its_streams() -> None:
    async def go() -> None:
        async with running() as server:
            following = server.client.follow()
            events = await following.__aenter__()
            await anext(events)
            ended = asyncio.create_task(_rest(events))
            await server.server.close()
            assert await ended == []
            await following.__aexit__(None, None, None)

    asyncio.run(go())


async def _rest(events: Any) -> list[Any]:
    return [event async for event in events]


def test_a_slow_follower_holds_nobody_up_and_is_told_what_it_missed() -> None:
    """It does not read: the kernel's and the server's buffers fill, and then entries are dropped for it, and counted."""

    async def test(server: Running) -> None:
        async with server.client.follow() as events:
            await anext(events)
            for _ in range(16):
                record(server, 1000, device="d" * 1500)
                # Each request lets the server send what it can; nobody takes it.
                for _ in range(4):
                    await server.client.clock()
            last = server.server.service.journal.last
            got = missed = 0
            while got + missed < last - 1:
                event = await anext(events)
                if isinstance(event, Missed):
                    missed += event.missed
                else:
                    got += 1
            assert got + missed == last - 1
            assert missed > 0

    with_server(test)


def test_a_page_goes_on_where_the_last_one_ended() -> None:
    async def test(server: Running) -> None:
        record(server, 25, device="a")
        record(server, 25, device="b")
        seen: list[int] = []
        since = 0
        while True:
            page = await server.client.journal(since=since, limit=10, device="b")
            seen += [entry.number for entry in page.entries]
            assert len(page.entries) <= 10
            if page.last == since:
                break
            since = page.last
        assert seen == list(range(27, 52))
        record(server, 10_000)
        page = await server.client.journal(since=10, limit=1)
        assert (page.missed, page.entries[0].number, page.last) == (41, 52, 52)

    with_server(test)
