"""The faults that spoil how an allow leaves: byte by byte, with a virtual clock."""

from __future__ import annotations

import http.client
import io
import json
from typing import Any, cast

import pytest

from fake_control_plane.faults.api import Receipt
from tests.fake_control_plane.virtual_client import ALLOW, Client, deliver

SIZE = len(ALLOW.payload())
HEAD = len(Client().render(ALLOW)) - SIZE


@pytest.mark.parametrize(("when", "sent"), [("in-head", HEAD // 2), ("after-head", HEAD)])
def test_reset_in_and_after_the_head(when: str, sent: int) -> None:
    client = Client()
    receipt = deliver("reset", {"when": when}, client)
    assert bytes(client.sent) == client.render(ALLOW)[:sent]
    assert client.ended == "reset"
    assert receipt == Receipt(
        delivered=True, evidence=f"RST sent after {sent} of {HEAD} head bytes", ending="reset", waited=0.0
    )


@pytest.mark.parametrize(("when", "sent"), [("before", 0), ("middle", HEAD + SIZE // 2)])
def test_half_close_reads_on_until_the_client_closes(when: str, sent: int) -> None:
    client = Client(leaves=2.0)
    receipt = deliver("half-close", {"when": when}, client)
    assert bytes(client.sent) == client.render(ALLOW)[:sent]
    where = "before any byte of the answer" if when == "before" else f"after {SIZE // 2} of {SIZE} body bytes"
    assert receipt == Receipt(
        delivered=True,
        evidence=f"FIN sent {where}; 2.000 s after the request it closed (fin)",
        ending="cut-off",
        waited=2.0,
    )


def test_half_close_ends_when_the_client_never_closes() -> None:
    client = Client()
    receipt = deliver("half-close", {"when": "before", "seconds": 9}, client)
    assert (receipt.delivered, receipt.ending, receipt.waited, client.ended) == (True, "cut-off", 9.0, "closed")
    assert receipt.evidence.endswith("9.000 s after the request it had not closed")
    assert client.endings == ["half-closed", "closed"]


def test_half_close_of_a_client_that_left_on_the_first_bytes_is_not_delivered() -> None:
    receipt = deliver("half-close", {"when": "middle"}, Client(leaves_after=1))
    assert (receipt.delivered, receipt.ending) == (False, "gave-up")


def test_empty_reply_is_a_close_and_nothing_else() -> None:
    client = Client()
    receipt = deliver("empty-reply", {}, client)
    assert (bytes(client.sent), client.ended) == (b"", "closed")
    assert receipt == Receipt(delivered=True, evidence="closed before any byte of the answer", ending="cut-off")


@pytest.mark.parametrize("size", [1, 512, 70_000])
def test_garbage_is_no_http_and_always_the_same(size: int) -> None:
    client, again = Client(), Client()
    receipt = deliver("garbage", {"size": size}, client)
    deliver("garbage", {"size": size}, again)
    assert client.sent == again.sent
    assert len(client.sent) == size
    assert not any(byte in b"HTTP" for byte in client.sent[:4])
    assert (receipt.delivered, receipt.ending, receipt.answer, client.ended) == (True, "cut-off", None, "closed")


def test_a_content_length_that_is_too_long_leaves_the_message_incomplete() -> None:
    client = Client()
    receipt = deliver("content-length", {"how": "too-long"}, client)
    _, headers, body = client.response()
    assert (int(headers["Content-Length"]), body) == (SIZE + 1, ALLOW.payload())
    assert (receipt.delivered, receipt.ending, receipt.answer, client.ended) == (True, "cut-off", None, "closed")


def test_a_content_length_that_is_too_short_is_a_whole_response_with_half_an_allow() -> None:
    client = Client()
    receipt = deliver("content-length", {"how": "too-short"}, client)
    _, headers, body = client.response()
    assert (int(headers["Content-Length"]), body) == (SIZE // 2, ALLOW.payload())
    assert (receipt.delivered, receipt.ending, client.ended) == (True, "answered", "closed")
    assert receipt.answer is not None
    assert receipt.answer.payload() == ALLOW.payload()[: SIZE // 2]
    assert receipt.answer.decision == "failure"
    assert receipt.answer.body is None  # no code and no request id of an allow that nobody got


class _Received:
    """What http.client reads from, in the place of a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


@pytest.mark.parametrize(
    ("how", "coded"),
    [
        ("no-end", b"%x\r\n%b\r\n" % (SIZE, ALLOW.payload())),
        ("bad-size", b"%x\r\n%b\r\nsize?\r\n" % (SIZE, ALLOW.payload())),
        ("short-chunk", b"%x\r\n%b" % (SIZE, ALLOW.payload()[: SIZE // 2])),
    ],
)
def test_broken_chunks_hold_an_allow_and_break_the_coding(how: str, coded: bytes) -> None:
    client = Client()
    receipt = deliver("broken-chunks", {"how": how}, client)
    _, headers, body = client.response()
    assert headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in headers
    assert body == coded
    assert (receipt.delivered, receipt.ending, receipt.answer, client.ended) == (True, "cut-off", None, "closed")

    response = http.client.HTTPResponse(cast("Any", _Received(bytes(client.sent))))
    response.begin()
    with pytest.raises(http.client.IncompleteRead):
        response.read()


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("half-close", {"when": "middle"}),
        ("content-length", {"how": "too-long"}),
        ("content-length", {"how": "too-short"}),
        ("broken-chunks", {"how": "no-end"}),
        ("reset", {"when": "after-head"}),
    ],
)
def test_an_answer_to_head_has_no_body_however_it_is_spoiled(name: str, parameters: dict[str, Any]) -> None:
    client = Client(head_only=True)
    receipt = deliver(name, parameters, client)
    status, _, body = client.response()
    assert (status, body) == (200, b"")
    assert (receipt.delivered, receipt.answer) == (True, None)


def test_what_a_lenient_reader_could_take_for_an_allow_is_there() -> None:
    """Else a runtime that does not look would pass for the wrong reason."""
    for name, parameters in (
        ("content-length", {"how": "too-long"}),
        ("content-length", {"how": "too-short"}),
        ("half-close", {"when": "middle"}),
        ("broken-chunks", {"how": "short-chunk"}),
    ):
        client = Client()
        deliver(name, parameters, client)
        assert json.dumps({"allowed": True})[1:-1].encode() in client.sent
