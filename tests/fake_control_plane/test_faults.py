"""Each fault on an exchange in memory: what the client gets, byte by byte, and what the receipt says of it."""

from __future__ import annotations

import importlib
import json
import pkgutil
from typing import Any

import pytest

from fake_control_plane import faults
from fake_control_plane.faults.api import AnswerFault, Fault, ListenerFault, Receipt, describe
from fake_control_plane.faults.redirect import REDIRECT_HOST, is_followed
from fake_control_plane.faults.stages import StagedFault
from tests.fake_control_plane.virtual_client import ALLOW, DENY, Client, How, deliver

NOT_BOOLEANS: list[Any] = ["false", "true", 0, 1, "deny", [], {}, None, 0.5]
WHOLE: list[tuple[str, dict[str, Any], int, bytes | None, Any]] = [
    ("not-json", {"body": "empty"}, 200, b"", None),
    ("not-json", {"body": "no-content"}, 204, b"", None),
    ("no-decision", {"body": "missing"}, 200, None, {"code": "ALLOW", "request_id": ALLOW.body["request_id"]}),
    ("no-decision", {"body": "null"}, 200, None, {**ALLOW.body, "allowed": None}),
    ("no-decision", {"body": "array"}, 200, None, [ALLOW.body]),
    ("no-decision", {"body": "string"}, 200, None, "ALLOW"),
    ("contradiction", {"status": 403}, 403, None, ALLOW.body),
    ("contradiction", {"status": 500}, 500, None, ALLOW.body),
    *[("not-boolean", {"value": value}, 200, None, {**ALLOW.body, "allowed": value}) for value in NOT_BOOLEANS],
    *[
        ("status", {"status": status, "body": "empty"}, status, b"", None)
        for status in (400, 401, 403, 404, 429, 500, 502, 503, 504)
    ],
]


def case_id(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | str | int) else ""


@pytest.mark.parametrize(("name", "parameters", "status", "raw", "value"), WHOLE, ids=case_id)
def test_one_whole_response_that_allows_nothing(
    name: str, parameters: dict[str, Any], status: int, raw: bytes | None, value: Any
) -> None:
    client = Client()
    receipt = deliver(name, parameters, client)

    got, headers, body = client.response()
    assert got == status
    assert body == raw if raw is not None else json.loads(body) == value
    assert int(headers.get("Content-Length", 0)) == len(body)  # a 204 has none (RFC 9110, 8.6)
    assert client.ended is None  # the connection may be used again
    assert (receipt.delivered, receipt.ending) == (True, "answered")
    assert receipt.answer is not None
    assert (receipt.answer.status, receipt.answer.payload()) == (status, body)
    assert receipt.answer.decision == "failure"
    assert receipt.evidence == f"HTTP {status} with {len(body)} body bytes accepted"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503, 504, 599])
def test_an_error_status_with_a_page_and_with_a_json_error(status: int) -> None:
    page = Client()
    deliver("status", {"status": status, "body": "html"}, page)
    got, headers, body = page.response()
    assert (got, headers["Content-Type"]) == (status, "text/html")
    assert str(status).encode() in body

    error = Client()
    receipt = deliver("status", {"status": status}, error)
    got, headers, body = error.response()
    assert (got, headers["Content-Type"]) == (status, "application/json")
    assert set(json.loads(body)) == {"status", "error", "message", "handler"}
    assert json.loads(body)["handler"] == "devices/validate"
    assert receipt.delivered


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"status": 429}, "1"),
        ({"status": 429, "retry_after": 30}, "30"),
        ({"status": 429, "retry_after": "none"}, None),
        ({"status": 503}, None),
        ({"status": 503, "retry_after": 0}, "0"),
    ],
)
@pytest.mark.parametrize("body", ["html", "empty", "json"])
def test_retry_after(parameters: dict[str, Any], expected: str | None, body: str) -> None:
    client = Client()
    deliver("status", {**parameters, "body": body}, client)
    assert client.response()[1].get("Retry-After") == expected


def test_not_json_html_is_a_200() -> None:
    client = Client()
    receipt = deliver("not-json", {"body": "html"}, client)
    status, headers, body = client.response()
    assert (status, headers["Content-Type"]) == (200, "text/html")
    assert body.startswith(b"<html>")
    assert receipt.delivered


def test_truncated_json_is_whole_http_with_half_an_allow() -> None:
    client = Client()
    receipt = deliver("truncated", {"how": "json"}, client)
    _, headers, body = client.response()
    assert int(headers["Content-Length"]) == len(body)
    assert ALLOW.payload().startswith(body)
    assert b'"allowed": true' in body
    assert receipt.ending == "answered"
    assert receipt.answer is not None
    assert receipt.answer.decision == "failure"
    assert receipt.answer.body is None  # no code and no request id of an allow that nobody got whole


def test_truncated_length_is_fewer_bytes_than_promised_and_a_close() -> None:
    client = Client()
    receipt = deliver("truncated", {"how": "length"}, client)
    _, headers, body = client.response()
    size = len(ALLOW.payload())
    assert int(headers["Content-Length"]) == size
    assert (len(body), b'"allowed": true' in body) == (size // 2, True)
    assert client.ended == "closed"
    assert receipt == Receipt(
        delivered=True, evidence=f"closed after {size // 2} of {size} body bytes", ending="cut-off"
    )


def test_reset_before_the_answer() -> None:
    client = Client()
    receipt = deliver("reset", {"when": "before"}, client)
    assert (bytes(client.sent), client.ended) == (b"", "reset")
    assert receipt == Receipt(delivered=True, evidence="RST sent before any byte of the answer", ending="reset")


def test_reset_in_the_middle_of_an_allow() -> None:
    client = Client()
    receipt = deliver("reset", {"when": "middle"}, client)
    _, headers, body = client.response()
    size = len(ALLOW.payload())
    assert (int(headers["Content-Length"]), len(body)) == (size, size // 2)
    assert client.ended == "reset"
    assert receipt == Receipt(
        delivered=True, evidence=f"RST sent after {size // 2} of {size} body bytes", ending="reset"
    )


def test_reset_of_a_client_that_left_on_the_first_bytes_is_not_delivered() -> None:
    client = Client(leaves_after=1, how="reset")
    receipt = deliver("reset", {"when": "middle"}, client)
    assert (receipt.delivered, receipt.ending, client.ended) == (False, "gave-up", None)


@pytest.mark.parametrize("how", ["fin", "reset", "tls-alert"])
def test_hang_until_the_client_gives_up(how: How) -> None:
    client = Client(leaves=2.5, how=how)
    receipt = deliver("hang", {}, client)
    words = {"fin": "FIN", "reset": "RST", "tls-alert": "TLS alert"}[how]
    assert receipt == Receipt(
        delivered=True,
        evidence=f"{words} received 2.500 s after the request, waiting for the first byte",
        ending="gave-up",
        waited=2.5,
    )
    assert bytes(client.sent) == b""


@pytest.mark.parametrize(("parameters", "seconds"), [({}, 60.0), ({"seconds": 5}, 5.0)])
def test_hang_is_cut_off(parameters: dict[str, Any], seconds: float) -> None:
    client = Client()
    receipt = deliver("hang", parameters, client)
    assert (receipt.delivered, receipt.ending, receipt.waited, receipt.answer) == (True, "cut-off", seconds, None)
    assert (bytes(client.sent), client.ended) == (b"", "closed")


@pytest.mark.parametrize(("accepts", "word"), [(True, "accepted by the socket"), (False, "refused by the closed")])
def test_late_allow_is_sent_to_a_client_that_gave_up(accepts: bool, word: str) -> None:
    client = Client(leaves=3.0, accepts_after_leaving=accepts)
    receipt = deliver("late-allow", {}, client)
    assert (receipt.delivered, receipt.ending, receipt.waited, receipt.answer) == (True, "gave-up", 3.0, None)
    assert word in receipt.evidence
    assert bytes(client.sent) == (client.render(ALLOW) if accepts else b"")
    assert client.ended == "closed"


def test_late_allow_to_a_client_that_still_waits_is_an_allow_and_no_delivery() -> None:
    client = Client()
    receipt = deliver("late-allow", {}, client)
    assert (receipt.delivered, receipt.ending, receipt.waited, receipt.answer) == (False, "answered", 60.0, ALLOW)
    assert bytes(client.sent) == client.render(ALLOW)


def test_slow_body_drips_and_is_cut_off() -> None:
    client = Client()
    receipt = deliver("slow-body", {}, client)
    _, _, body = client.response()
    assert client.arrivals == [0.0, *[0.5 * n for n in range(1, 60)]]
    assert body == ALLOW.payload()[:59]
    assert (receipt.delivered, receipt.ending, receipt.waited, receipt.answer) == (True, "cut-off", 30.0, None)
    assert client.ended == "closed"


def test_slow_body_is_silent_before_its_last_byte() -> None:
    client = Client()
    receipt = deliver("slow-body", {"interval": 0.1, "total": 30}, client)
    assert client.response()[2] == ALLOW.payload()[:-1]
    assert (receipt.ending, receipt.waited) == ("cut-off", 30.0)


@pytest.mark.parametrize(("leaves", "bytes_got"), [(2.25, 4), (0.25, 0)])
def test_slow_body_tells_when_the_client_gave_up(leaves: float, bytes_got: int) -> None:
    client = Client(leaves=leaves)
    receipt = deliver("slow-body", {}, client)
    assert (receipt.delivered, receipt.ending, receipt.waited) == (True, "gave-up", leaves)
    assert f"{bytes_got} of {len(ALLOW.payload())} body bytes sent" in receipt.evidence


def test_slow_body_in_the_silence_tells_when_the_client_gave_up() -> None:
    client = Client(leaves=20.0)
    receipt = deliver("slow-body", {"interval": 0.1}, client)
    assert (receipt.ending, receipt.waited) == ("gave-up", 20.0)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    ("to", "scheme", "host", "target", "location"),
    [
        ("other-host", "https", "machineid.io", "/api/v1/usage", f"https://{REDIRECT_HOST}/api/v1/usage"),
        ("other-host", "http", "127.0.0.1:80", "/api/v1/usage?a=b", f"http://{REDIRECT_HOST}/api/v1/usage?a=b"),
        ("itself", "https", "machineid.io", "/api/v1/usage", "https://machineid.io/api/v1/usage?continue=1"),
        ("itself", "http", "127.0.0.1:80", "/api/v1/u?a=b", "http://127.0.0.1:80/api/v1/u?a=b&continue=1"),
    ],
)
def test_redirect(status: int, to: str, scheme: str, host: str, target: str, location: str) -> None:
    client = Client(scheme=scheme, host=host, target=target)
    receipt = deliver("redirect", {"status": status, "to": to}, client)
    got, headers, _ = client.response()
    assert (got, headers["Location"]) == (status, location)
    assert (receipt.delivered, receipt.ending) == (True, "answered")

    _, _, authority_and_target = location.partition("://")
    authority, _, rest = authority_and_target.partition("/")
    assert is_followed(authority, "/" + rest)
    assert is_followed(authority, location)
    assert not is_followed(host, target)


@pytest.mark.parametrize(
    ("host", "target", "followed"),
    [
        (REDIRECT_HOST.upper() + ".:443", "/anything", True),
        ("machineid.io", "/api/v1/devices/validate?continue=12", False),
        ("machineid.io", "/api/v1/devices/validate?discontinue=1", False),
        ("machineid.io", "/continue=1", False),
        ("shop.example", "/checkout?continue=1", False),
        ("not-" + REDIRECT_HOST, "/", False),
    ],
)
def test_only_what_followed_the_redirect_is_taken_for_it(host: str, target: str, followed: bool) -> None:
    assert is_followed(host, target) is followed


def test_latency_is_the_truth_late() -> None:
    client = Client()
    receipt = deliver("latency", {"seconds": 0.2}, client)
    assert (bytes(client.sent), client.arrivals) == (client.render(DENY), [0.2])
    assert (receipt.delivered, receipt.ending, receipt.answer, receipt.waited) == (True, "answered", DENY, 0.2)


def test_latency_that_the_client_would_not_wait_for() -> None:
    receipt = deliver("latency", {"seconds": 10}, Client(leaves=1.0))
    assert (receipt.delivered, receipt.ending, receipt.waited, receipt.answer) == (True, "gave-up", 1.0, None)


AT_ONCE: dict[str, dict[str, Any]] = {
    "reset": {"when": "before"},
    "slow-body": {},
    "status": {"status": 500},
    "not-json": {"body": "html"},
    "truncated": {"how": "length"},
    "no-decision": {"body": "missing"},
    "contradiction": {"status": 500},
    "redirect": {"status": 302, "to": "itself"},
    "not-boolean": {"value": "true"},
    "broken-chunks": {"how": "no-end"},
    "content-length": {"how": "too-long"},
    "content-type": {},
    "contradictory-code": {"allowed": True},
    "duplicate-field": {"last": True},
    "empty-reply": {},
    "garbage": {},
    "half-close": {"when": "before"},
    "mistyped-field": {"field": "code", "value": 42},
    "replay": {},
    "stale": {},
}
WAITING: dict[str, dict[str, Any]] = {"hang": {}, "late-allow": {}, "latency": {"seconds": 1}}
LISTENER: dict[str, dict[str, Any]] = {
    "refuse": {},
    "no-name": {},
    "certificate": {"kind": "expired"},
    "handshake-cut": {},
    "handshake-hang": {"seconds": 30.0},
}


@pytest.mark.parametrize("name", AT_ONCE)
@pytest.mark.parametrize("how", ["fin", "reset", "tls-alert"])
def test_a_client_that_was_gone_before_has_not_seen_the_fault(name: str, how: How) -> None:
    client = Client(leaves=0.0, how=how, earlier=[ALLOW])
    receipt = deliver(name, AT_ONCE[name], client)
    assert (receipt.delivered, receipt.ending, receipt.answer) == (False, "gave-up", None)
    assert receipt.evidence.startswith("not delivered: ")
    assert bytes(client.sent) == b""


@pytest.mark.parametrize("how", ["length", "json"])
def test_truncated_for_a_client_that_was_gone(how: str) -> None:
    assert not deliver("truncated", {"how": how}, Client(leaves=0.0)).delivered


def test_reset_in_the_middle_for_a_client_that_was_gone() -> None:
    assert not deliver("reset", {"when": "middle"}, Client(leaves=0.0)).delivered


@pytest.mark.parametrize(
    ("name", "parameters", "ending"),
    [
        ("truncated", {"how": "length"}, "cut-off"),
        ("reset", {"when": "middle"}, "reset"),
        ("slow-body", {}, "cut-off"),
    ],
)
def test_an_answer_to_head_is_not_cut_in_its_head(name: str, parameters: dict[str, Any], ending: str) -> None:
    client = Client(head_only=True)
    receipt = deliver(name, parameters, client)
    assert bytes(client.sent) == client.render(ALLOW)
    assert (receipt.ending, receipt.answer) == (ending, None)


@pytest.mark.parametrize(
    ("name", "parameters", "layer", "certificate"),
    [
        ("refuse", {}, "tcp", None),
        ("no-name", {}, "dns", None),
        ("certificate", {"kind": "untrusted"}, "tls", "untrusted"),
        ("certificate", {"kind": "expired"}, "tls", "expired"),
        ("certificate", {"kind": "wrong-name"}, "tls", "wrong-name"),
        ("handshake-cut", {}, "tls", "cut"),
        ("handshake-hang", {"seconds": 30.0}, "tls", "none"),
    ],
)
def test_listener_faults_say_what_their_owner_has_to_do(
    name: str, parameters: dict[str, Any], layer: str, certificate: str | None
) -> None:
    fault = faults.make(name, parameters)
    assert isinstance(fault, ListenerFault)
    assert (fault.layer, fault.certificate) == (layer, certificate)
    assert describe(fault) == {"name": name, **parameters}


def test_every_file_of_the_folder_is_found_and_tested_here() -> None:
    assert set(faults.names()) == {*AT_ONCE, *WAITING, *LISTENER}
    files = {module.name for module in pkgutil.iter_modules(faults.__path__)}
    assert files - {name.replace("-", "_") for name in faults.names()} == {
        "api",
        "bodies",
        "parameters",
        "receipts",
        "stages",
    }


@pytest.mark.parametrize("name", faults.names())
def test_every_fault_is_described_and_cites_its_source(name: str) -> None:
    parameters = {**AT_ONCE, **WAITING, **LISTENER}[name]
    fault = faults.make(name, parameters)
    assert describe(fault).items() >= {"name": name, **parameters}.items()
    assert set(describe(fault)) == {"name", *fault.parameters}
    assert fault == faults.make(name, parameters)
    assert fault.summary
    source = importlib.import_module(type(fault).__module__).__doc__
    assert source is not None
    assert "requirements.md" in source or "RFC" in source


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        (
            "rest",
            {},
            r"^fault 'rest' is unknown \(nearest known: 'reset'\); expected one of broken-chunks, .*truncated$",
        ),
        ("zzz", {}, r"^fault 'zzz' is unknown; expected one of "),
        (
            "refuse",
            {"port": 1},
            r"^fault 'refuse': parameter 'port' is unknown; expected none: this fault has no param",
        ),
        (
            "slow-body",
            {"intervall": 1},
            r"parameter 'intervall' is unknown \(nearest known: 'interval'\); expected interval, total$",
        ),
        ("reset", {}, r"^fault 'reset': parameter 'when' is missing; expected before or middle"),
        (
            "reset",
            {"when": "befor"},
            r"parameter 'when': got 'befor' \(nearest known: 'before'\); expected before or mi",
        ),
        ("reset", {"when": None}, r"parameter 'when': got None; expected before or middle"),
        ("hang", {"seconds": 0}, r"parameter 'seconds': got 0; expected target seconds above 0"),
        ("hang", {"seconds": float("inf")}, r"parameter 'seconds': got inf; expected"),
        ("hang", {"seconds": float("nan")}, r"parameter 'seconds': got nan; expected"),
        ("hang", {"seconds": True}, r"parameter 'seconds': got True; expected"),
        ("latency", {"seconds": "1s"}, r"parameter 'seconds': got '1s'; expected"),
        ("slow-body", {"total": -1}, r"parameter 'total': got -1; expected"),
        ("status", {"status": 99}, r"parameter 'status': got 99; expected a whole number from 100 to 599"),
        ("status", {"status": 600}, r"parameter 'status': got 600; expected a whole number from 100 to 599"),
        ("status", {"status": "500"}, r"parameter 'status': got '500'; expected"),
        ("status", {"status": 500, "body": "HTML"}, r"parameter 'body': got 'HTML'.*; expected html, empty or json"),
        ("status", {"status": 429, "retry_after": -1}, r"parameter 'retry_after': got -1; expected whole seconds"),
        ("status", {"status": 429, "retry_after": True}, r"parameter 'retry_after': got True; expected"),
        ("contradiction", {"status": True}, r"parameter 'status': got True; expected"),
        ("redirect", {"status": 303, "to": "itself"}, r"parameter 'status': got 303; expected 301, 302, 307 or 308"),
        ("redirect", {"status": 302.0, "to": "itself"}, r"parameter 'status': got 302.0; expected"),
        (
            "redirect",
            {"status": 302, "to": "it-self"},
            r"got 'it-self' \(nearest known: 'itself'\); expected other-host",
        ),
        ("not-boolean", {"value": True}, r"got True; expected any JSON value but true \(an allow\) and false"),
        ("not-boolean", {"value": {1, 2}}, r"got {1, 2}; expected any JSON value"),
        ("not-boolean", {"value": float("nan")}, r"got nan; expected any JSON value"),
        ("certificate", {"kind": "cut"}, r"parameter 'kind': got 'cut'; expected untrusted"),
        (
            "latency",
            {"seconds": 1, "jitter": -0.1},
            r"parameter 'jitter': got -0.1; expected target seconds, 0 or more",
        ),
        ("latency", {"seconds": 1, "jitter": 1.5}, r"parameter 'jitter': got 1.5; expected .* not more than seconds"),
        ("latency", {"seconds": 1, "jitter": False}, r"parameter 'jitter': got False; expected"),
        ("latency", {"seconds": 1, "jitter_seed": 0.5}, r"parameter 'jitter_seed': got 0.5; expected a whole number"),
        ("latency", {"seconds": 1, "ramp": float("nan")}, r"parameter 'ramp': got nan; expected"),
        ("latency", {"seconds": 5, "ramp": 1, "most": 4}, r"parameter 'most': got 4; expected .* seconds or more"),
        ("reset", {"when": "after_head"}, r"got 'after_head' \(nearest known: 'after-head'\); expected"),
        ("garbage", {"size": 0}, r"parameter 'size': got 0; expected how many bytes, a whole number from 1 to 1048576"),
        ("content-type", {"type": "a\r\nSet-Cookie: b"}, r"parameter 'type': got 'a\\r\\nSet-Cookie: b'; expected"),
        ("content-type", {"type": "text/html\n"}, r"parameter 'type': got 'text/html\\n'; expected"),
        ("duplicate-field", {"last": 1}, r"parameter 'last': got 1; expected true or false"),
        (
            "mistyped-field",
            {"field": "allowed", "value": True},
            r"parameter 'value': got True; expected any JSON value, but",
        ),
        ("mistyped-field", {"field": "", "value": 1}, r"parameter 'field': got ''; expected the name of a field"),
        ("stale", {"decisions": 0}, r"parameter 'decisions': got 0; expected how many decisions late"),
        ("replay", {"back": 1001}, r"parameter 'back': got 1001; expected which one"),
    ],
)
def test_what_is_not_exact_is_refused(name: str, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        faults.make(name, parameters)


@pytest.mark.parametrize("name", faults.names())
def test_every_fault_says_what_the_manual_and_the_rules_need(name: str) -> None:
    kind = faults.kinds()[name]
    assert kind.summary
    assert kind.receipt
    assert kind.example.startswith(name)
    assert issubclass(kind, StagedFault | ListenerFault)
    assert set(kind.bounds) <= set(kind.parameters)


def test_two_files_with_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    hang = importlib.import_module("fake_control_plane.faults.hang")
    monkeypatch.setattr(hang.Hang, "name", "refuse")
    faults.kinds.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"^fault 'refuse' is in two files: .*\.hang and .*\.refuse$"):
            faults.kinds()
    finally:
        faults.kinds.cache_clear()


def test_a_fault_that_only_has_a_base_is_no_fault() -> None:
    assert not any(kind in (Fault, AnswerFault, ListenerFault, StagedFault) for kind in faults.kinds().values())
