"""What a client is told when the server refuses, is not there, or is something else."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fake_control_plane.client import (
    AsyncClient,
    Client,
    Clock,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    Unauthorized,
    UnexpectedAnswer,
    Unreachable,
)
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


def test_each_error_has_its_kind_and_the_servers_words(client: Client, org: str) -> None:
    with pytest.raises(NotFound, match="'nobody'") as unknown:
        client.revoke(org, ["nobody"])
    assert (unknown.value.word, unknown.value.status) == ("unknown_device", 404)
    with pytest.raises(NotFound, match="no org has the id 'org-0'"):
        client.org("org-0")
    client.set_cap(org, 0)
    with pytest.raises(Conflict, match="a limit of 0"):
        client.register(org, ["a"])
    with pytest.raises(Invalid) as invalid:
        client.set_plan(org, "gold")
    assert invalid.value.expected == "one of free, pro, scale, max"
    assert isinstance(invalid.value, Refused)


def test_a_token() -> None:
    async def go() -> None:
        async with running(token="secret-token") as server:
            assert len(await server.client.orgs()) == 1
            async with AsyncClient(server.opened.admin_url) as stranger:
                with pytest.raises(Unauthorized, match="no token"):
                    await stranger.orgs()
                with pytest.raises(Unauthorized):
                    async with stranger.follow():
                        raise AssertionError("it was opened")
                assert (await stranger.health()).healthy

    asyncio.run(go())


def test_another_name_of_this_machine_is_refused(server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a page of evil.example whose name leads here would be."""
    port = int(server["admin_url"].rpartition(":")[2])
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _, *rest, **more: real("127.0.0.1", *rest, **more))
    with Client(f"http://evil.example:{port}") as client, pytest.raises(Forbidden, match=r"evil\.example") as refused:
        client.orgs()
    assert refused.value.word == "wrong_host"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    "url",
    [f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid", "ftp://127.0.0.1", "http://[", "127.0.0.1:1"],
    ids=[
        "refused",
        "no such name",
        "another scheme",
        "no address",
        "no scheme",
    ],  # the free port is another in each worker
)
def test_nobody_there(url: str) -> None:
    with pytest.raises(Unreachable, match="fake-control-plane serve"), Client(url) as client:
        client.orgs()
    with pytest.raises(Unreachable), Client(url) as client, client.follow():
        raise AssertionError("it was opened")


class _Answers(http.server.BaseHTTPRequestHandler):
    answer = b""
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def somebody_else(status: int, answer: bytes) -> Iterator[str]:
    handler = type("_", (_Answers,), {"status": status, "answer": answer})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{other.server_port}"
        finally:
            other.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b"hello"),
        (200, b"[]"),
        (200, b'{"orgs": [{"id": "org-1"}]}'),
        (404, b"not found"),
        (500, b'{"detail": 1}'),
    ],
)
def test_somebody_else_there(status: int, answer: bytes) -> None:
    with somebody_else(status, answer) as url, Client(url) as client, pytest.raises(UnexpectedAnswer):
        client.orgs()


def test_the_data_port_is_not_the_admin_port(server: dict[str, Any]) -> None:
    with Client(server["base_url"]) as client, pytest.raises(UnexpectedAnswer, match="that is the data port"):
        client.orgs()


def test_a_server_that_says_more_than_we_know() -> None:
    with somebody_else(200, b'{"now": 1.5, "moved": 0, "zone": "UTC"}') as url, Client(url) as client:
        assert client.clock() == Clock(now=1.5, moved=0)


def test_a_proxy_of_the_environment_does_not_get_between(
    server: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with Client(server["admin_url"]) as client:
        assert client.health().healthy
