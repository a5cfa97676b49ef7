"""In process, a client meets what it meets on a socket: for every fault the same answer, or the same exception."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import requests
import responses
import respx

from fake_control_plane import faults
from fake_control_plane.faults.api import ListenerFault
from fake_control_plane.in_process import InProcessControlPlane, over_httpx, over_requests
from tests.fake_control_plane.running import Running, running

DEVICE = "worker:prod:queue-consumer:07"
PATH = "/api/v1/devices/validate"
PATIENCE = 1.0
"""The clients' read timeout in seconds: on the socket it is waited for. What follows is far below it, or far above."""

PLAIN = (
    "broken-chunks=no-end",
    "broken-chunks=bad-size",
    "broken-chunks=short-chunk",
    "content-length=too-long",
    "content-length=too-short",
    "content-type=text/html",
    "contradiction=403",
    "contradictory-code=false",
    "duplicate-field=false",
    "empty-reply",
    "garbage=512",
    "half-close=before",
    "half-close=middle",
    "hang",
    "hang=0.02",
    "late-allow",
    "latency=0.02",
    "latency=30",
    "latency=0.02 + status=503 + slow-body=0.0001",
    "mistyped-field=request_id value=42",
    "no-decision=missing",
    "not-boolean='\"false\"'",
    "not-json=html",
    "not-json=empty",
    "not-json=no-content",
    "redirect=302 to=loop",
    "redirect=302 to=itself",
    "redirect=307 to=itself",
    "refuse",
    "replay=1",
    "reset=before",
    "reset=in-head",
    "reset=after-head",
    "reset=middle",
    "slow-body=0.0001 total=10",
    "slow-body=0.02 total=0.2",
    "slow-body=20",
    "stale=2",
    "status=401",
    "status=429 retry_after=3",
    "status=503 body=html",
    "status=503 body=empty",
    "truncated=length",
    "truncated=json",
)
TLS = (
    "certificate=untrusted",
    "certificate=expired",
    "certificate=wrong-name",
    "handshake-cut",
    "handshake-hang",
    "handshake-hang=0.2",
)
NOT_ON_A_LOOPBACK = {"no-name": "the name of a loopback address needs no resolver"}

Outcome = tuple[object, ...]
Ask = Callable[[str, str, str | bool], Outcome]
"""Asks for a decision: URL, org key, whom to trust."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_every_fault_is_among_them() -> None:
    named = {part.strip().split("=")[0].split()[0] for line in (*PLAIN, *TLS) for part in line.split(" + ")}
    assert named == set(faults.names()) - set(NOT_ON_A_LOOPBACK)
    of_listener = {name for name, kind in faults.kinds().items() if issubclass(kind, ListenerFault)}
    assert of_listener == {"certificate", "handshake-cut", "handshake-hang", "no-name", "refuse"}


def seen(response: httpx.Response | requests.Response) -> Outcome:
    """What a client can act on."""
    names = ("content-type", "retry-after", "location", "x-machineid-fake")
    headers = {name: response.headers[name] for name in names if name in response.headers}
    return (response.status_code, headers, _ID.sub("an id", response.text), len(response.history))


def by_requests(url: str, key: str, trust: str | bool) -> Outcome:
    try:
        return seen(
            requests.post(url, json={"deviceId": DEVICE}, headers={"x-org-key": key}, timeout=PATIENCE, verify=trust)
        )
    except requests.RequestException as error:
        return (type(error),)


@functools.cache  # reading the machine's authorities takes longer than the rest of a test
def trusting(trust: str | bool) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=trust if isinstance(trust, str) else None)


def httpx_options(key: str, trust: str | bool) -> dict[str, object]:
    return {
        "headers": {"x-org-key": key},
        "timeout": PATIENCE,
        "verify": trusting(trust),
        "follow_redirects": True,
        "trust_env": False,
    }


def by_httpx(url: str, key: str, trust: str | bool) -> Outcome:
    try:
        with httpx.Client(**httpx_options(key, trust)) as client:  # type: ignore[arg-type]
            return seen(client.post(url, json={"deviceId": DEVICE}))
    except httpx.HTTPError as error:
        return (type(error),)


def by_httpx_async(url: str, key: str, trust: str | bool) -> Outcome:
    async def ask() -> Outcome:
        async with httpx.AsyncClient(**httpx_options(key, trust)) as client:  # type: ignore[arg-type]
            return seen(await client.post(url, json={"deviceId": DEVICE}))

    try:
        return asyncio.run(ask())
    except httpx.HTTPError as error:
        return (type(error),)


CLIENTS: tuple[Ask, ...] = (by_requests, by_httpx, by_httpx_async)


def on_a_socket(server: Running, line: str, ask: Ask, trust: str | bool) -> list[Outcome]:
    """Two allows, then a revoke and the fault, on a device that is new each time: some faults look back."""
    url = server.base_url + PATH

    def begin(service: object) -> None:
        server.service.clear_faults()
        if DEVICE in {device.id for device in server.service.devices(server.org_id)}:
            server.service.remove(server.org_id, [DEVICE])
        server.service.register(server.org_id, [DEVICE])

    def strike(service: object) -> None:
        server.service.revoke(server.org_id, [DEVICE])
        server.service.add_fault(line)

    server.do(begin)
    before = [ask(url, server.key, trust) for _ in range(2)]
    server.do(strike)
    outcome = ask(url, server.key, trust)
    server.do(lambda service: service.clear_faults())
    return [*before, outcome, ask(url, server.key, trust)]


def in_process(base_url: str, line: str, ask: Ask) -> list[Outcome]:
    """The same, without a socket."""
    control_plane = InProcessControlPlane(base_url=base_url)
    control_plane.register(DEVICE)
    with (
        respx.mock(assert_all_called=False) as router,
        responses.RequestsMock(assert_all_requests_are_fired=False) as mock,
    ):
        over_httpx.mount(control_plane, router)
        over_requests.mount(control_plane, mock)
        url = base_url + PATH
        before = [ask(url, control_plane.org_key, True) for _ in range(2)]
        control_plane.revoke(DEVICE)
        control_plane.fault(line)
        outcome = ask(url, control_plane.org_key, True)
        control_plane.clear_faults()
        return [*before, outcome, ask(url, control_plane.org_key, True)]


@pytest.fixture(scope="module")
def plain() -> Iterator[Running]:
    with running() as server:
        yield server


@pytest.fixture(scope="module")
def secure() -> Iterator[Running]:
    with running(tls=True) as server:
        yield server


@pytest.fixture(scope="module")
def trust(secure: Running, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert secure.certificates is not None
    return secure.certificates.write(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("line", PLAIN)
def test_a_fault_is_the_same(line: str, ask: Ask, plain: Running) -> None:
    expected = on_a_socket(plain, line, ask, trust=True)
    assert in_process(plain.base_url, line, ask) == expected
    allow, again, _, deny = expected
    assert (allow[0], again, deny[0]) == (200, allow, 200)
    assert '"allowed": true' in str(allow)
    assert '"allowed": false' in str(deny)


@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("line", TLS)
def test_a_fault_of_tls_is_the_same(line: str, ask: Ask, secure: Running, trust: Path) -> None:
    assert in_process(secure.base_url, line, ask) == on_a_socket(secure, line, ask, str(trust))


@pytest.mark.parametrize(
    ("ask", "expected"),
    [(by_requests, requests.ConnectionError), (by_httpx, httpx.ConnectError), (by_httpx_async, httpx.ConnectError)],
    ids=lambda value: value.__name__,
)
def test_a_name_that_does_not_resolve(ask: Ask, expected: type[Exception]) -> None:
    assert in_process("https://machineid.io", "no-name", ask)[2] == (expected,)


@pytest.mark.parametrize("ask", CLIENTS, ids=lambda ask: ask.__name__)
def test_where_a_redirect_to_another_host_leads_an_allow_waits(ask: Ask) -> None:
    """On a socket that host would have to be ours as well: in process it is."""
    status, _, body, hops = in_process("https://machineid.io", "redirect=307 to=other-host", ask)[2]
    assert (status, hops) == (200, 1)
    assert '"allowed": true' in str(body)
