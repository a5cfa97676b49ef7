"""Faults on real sockets: what a plain client reads, what ``requests`` makes of it, and what the receipt says."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

import pytest
import requests

from fake_control_plane.faults.bodies import html
from tests.fake_control_plane.faulty_server import DEVICE, WAIT, FaultyServer, serving

BODY = json.dumps({"deviceId": DEVICE}).encode()


def request_bytes(server: FaultyServer, *, method: str = "POST") -> bytes:
    head = (
        f"{method} /api/v1/devices/validate HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nx-org-key: {server.key}\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    return head.encode() + BODY


def connected(server: FaultyServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=WAIT)


def read_all(sock: socket.socket) -> tuple[bytes, str]:
    """Everything up to the end of the connection, and how it ended: ``fin`` or ``reset``."""
    data = b""
    try:
        while piece := sock.recv(65536):
            data += piece
    except ConnectionResetError:
        return data, "reset"
    return data, "fin"


def ask(server: FaultyServer) -> tuple[bytes, str]:
    with connected(server) as sock:
        sock.sendall(request_bytes(server))
        return read_all(sock)


def validate(server: FaultyServer, **options: Any) -> requests.Response:
    return requests.post(
        f"http://127.0.0.1:{server.port}/api/v1/devices/validate",
        json={"deviceId": DEVICE},
        headers={"x-org-key": server.key},
        timeout=WAIT,
        **options,
    )


def decision(server: FaultyServer) -> bool:
    allowed = validate(server).json()["allowed"]
    assert isinstance(allowed, bool)
    return allowed


# What is read, how the connection ends, and what requests says of it.
BROKEN = [
    ("reset=before", "reset", requests.ConnectionError),
    ("reset=in-head", "reset", requests.ConnectionError),
    ("reset=after-head", "reset", requests.exceptions.ChunkedEncodingError),
    ("reset=middle", "reset", requests.exceptions.ChunkedEncodingError),
    ("half-close=before", "fin", requests.ConnectionError),
    ("half-close=middle", "fin", requests.exceptions.ChunkedEncodingError),
    ("empty-reply", "fin", requests.ConnectionError),
    ("garbage=512", "fin", requests.ConnectionError),
    ("content-length=too-long", "fin", requests.exceptions.ChunkedEncodingError),
    ("content-length=too-short", "fin", requests.JSONDecodeError),
    ("broken-chunks=no-end", "fin", requests.exceptions.ChunkedEncodingError),
    ("broken-chunks=bad-size", "fin", requests.exceptions.ChunkedEncodingError),
    ("broken-chunks=short-chunk", "fin", requests.exceptions.ChunkedEncodingError),
    ("status=103", "fin", None),
    ("truncated=length", "fin", requests.exceptions.ChunkedEncodingError),
    ("slow-body=0.001 total=0.3", "fin", requests.exceptions.ChunkedEncodingError),
    ("hang=0.1", "fin", requests.ConnectionError),
]


@pytest.mark.parametrize(("rule", "end", "error"), BROKEN, ids=[rule for rule, _, _ in BROKEN])
def test_an_answer_that_breaks(rule: str, end: str, error: type[Exception] | None) -> None:
    with serving(rule) as server:
        data, how = ask(server)
        receipt = server.receipt()
        assert (how, receipt.delivered) == (end, True)
        assert receipt.ending == ("answered" if rule.endswith("too-short") else {"fin": "cut-off"}.get(end, end))

        whole = data.partition(b"\r\n\r\n")[2]
        assert receipt.answer is None or receipt.answer.decision == "failure"
        if error is not None:
            with pytest.raises(error):
                validate(server).json()
            assert server.receipt().delivered
        if rule.startswith(("content-length", "broken-chunks", "truncated")):
            assert b'"allowed": true' in whole  # which nobody who reads HTTP and JSON takes for an allow


def test_how_much_of_the_answer_stands_before_the_reset() -> None:
    with serving("reset=in-head nth=1", "reset=after-head nth=2", "reset=middle nth=3") as server:
        in_head, after_head, middle = (ask(server)[0] for _ in range(3))
        assert in_head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\n\r\n" not in in_head
        assert after_head.endswith(b"\r\n\r\n")
        assert after_head.startswith(in_head)
        assert middle.startswith(after_head)
        assert b'"allowed": true' in middle


def test_half_close_still_reads_what_the_client_sends() -> None:
    """The other direction is open: what goes through it brings no reset, and the receipt comes when the client closes too."""
    with serving("half-close=before") as server, connected(server) as sock:
        sock.sendall(request_bytes(server))
        assert read_all(sock) == (b"", "fin")
        sock.sendall(bytes(1 << 17))
        sock.shutdown(socket.SHUT_WR)
        receipt = server.receipt()
        assert (receipt.delivered, receipt.ending) == (True, "cut-off")
        assert "FIN sent before any byte of the answer" in receipt.evidence
        assert receipt.evidence.endswith("it closed (fin)")


@pytest.mark.parametrize(
    "rule",
    [
        "reset=before",
        "half-close=before",
        "half-close=middle",
        "empty-reply",
        "garbage",
        "content-length=too-long",
        "broken-chunks=no-end",
        "status=503",
        "content-type",
        "duplicate-field=true",
        "redirect=302 to=loop",
        "latency=0.001 + status=503",
    ],
)
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_that_left_before_has_not_seen_it(rule: str, how: str) -> None:
    with serving(rule) as server:
        server.may_answer.clear()
        sock = connected(server)
        sock.sendall(request_bytes(server))
        server.arrived.get(timeout=WAIT)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        server.may_answer.set()
        receipt = server.receipt()
        assert receipt.ending == "gave-up"
        assert receipt.delivered is rule.startswith("latency")  # for a late answer it would not wait
        assert {"fin": "FIN", "reset": "RST"}[how] in receipt.evidence


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("duplicate-field=true", True),
        ("duplicate-field=false", False),
        ("contradictory-code=true", True),
        ("contradictory-code=false", False),
        ("mistyped-field=code value=42", True),
        ("mistyped-field=allowed value='\"true\"'", "true"),
        ("content-type=text/html", True),
        ("not-boolean=1", 1),
    ],
)
def test_an_answer_that_is_whole_and_odd(rule: str, expected: object) -> None:
    with serving(rule) as server:
        response = validate(server)
        body = response.json()
        assert body["allowed"] == expected
        assert type(body["allowed"]) is type(expected)
        assert response.headers["Connection"] == "close"
        receipt = server.receipt()
        assert (receipt.delivered, receipt.ending) == (True, "answered")
        assert receipt.answer is not None
        assert receipt.answer.payload() == response.content
        assert receipt.answer.decision == {"True": "allow", "False": "deny"}.get(str(expected), "failure")


def test_fail_the_first_two_then_allow_is_one_line() -> None:
    with serving("status=503 operation=validate first=2") as server:
        assert [validate(server).status_code for _ in range(4)] == [503, 503, 200, 200]
        assert decision(server) is True
        assert [server.receipt().delivered for _ in range(5)] == [True] * 5
        assert server.rules.describe("fault-1").items() >= {"seen": 5, "hits": 2}.items()


def test_a_revoke_that_arrives_two_decisions_late() -> None:
    with serving("stale=2 operation=validate") as server:
        before = [decision(server) for _ in range(3)]
        server.plane.operator_revoke(server.key, DEVICE)
        after = [decision(server) for _ in range(4)]
        assert (before, after) == ([True] * 3, [True, True, False, False])
        assert [server.receipt().delivered for _ in range(7)] == [False] + [True] * 6


def test_a_replayed_answer_has_the_bytes_and_the_request_id_of_the_one_before() -> None:
    with serving("replay=1 nth=3") as server:
        one, two, again, four = (validate(server) for _ in range(4))
        assert again.content == two.content
        assert len({response.json()["request_id"] for response in (one, two, again, four)}) == 3


def test_a_redirect_loop_goes_on_until_the_client_gives_up() -> None:
    with serving("redirect=307 to=loop") as server:
        with pytest.raises(requests.TooManyRedirects):
            validate(server)
        assert all(server.receipt().delivered for _ in range(31))  # requests follows 30 of them
        assert server.rules.describe("fault-1")["hits"] == 31


def test_a_redirect_that_loops_twice_ends_at_the_truth() -> None:
    with serving("redirect=307 to=loop first=2") as server:
        response = validate(server)
        assert (len(response.history), response.json()["allowed"]) == (2, True)


def test_a_late_error_that_drips_is_one_line() -> None:
    with serving("latency=0.05 + status=503 body=html + slow-body=0.001 total=0.5 first=1") as server:
        began = time.monotonic()
        data, how = ask(server)
        waited = time.monotonic() - began
        receipt = server.receipt()
        assert data.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        page = data.partition(b"\r\n\r\n")[2]  # as much of it as dripped out in that time
        assert html(503).startswith(page)
        assert len(page) < len(html(503))
        assert (how, receipt.ending, receipt.delivered) == ("fin", "cut-off", True)
        assert waited >= 0.5
        assert decision(server) is True


def test_latency_is_real_time_on_a_real_socket() -> None:
    with serving("latency=0.05 ramp=0.05 most=0.1") as server:
        for least in (0.05, 0.1, 0.1):
            began = time.monotonic()
            assert decision(server) is True
            assert time.monotonic() - began >= least
            receipt = server.receipt()
            assert (receipt.delivered, receipt.ending) == (True, "answered")
            assert receipt.waited >= least


def test_other_calls_are_left_alone() -> None:
    with serving("reset=before operation=validate device=worker:*") as server:
        url, headers = f"http://127.0.0.1:{server.port}/api/v1/devices", {"x-org-key": server.key}
        assert requests.get(f"{url}/list", headers=headers, timeout=WAIT).status_code == 200
        other = requests.post(f"{url}/validate", json={"deviceId": "other"}, headers=headers, timeout=WAIT)
        assert other.json()["allowed"] is False
        with pytest.raises(requests.ConnectionError):
            validate(server)
