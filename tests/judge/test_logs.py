from __future__ import annotations

import pytest

from machineid_conformance.judge import logs
from machineid_conformance.trace.events import Output

SAME = [
    (
        "2026-11-21T02:03:04.123Z worker denied 5f1c7a52-6c1e-4a36-9d0b-0d6f6fb0a001",
        "2026-11-22 23:59:59,001 worker denied 00000000-6c1e-4a36-9d0b-ffffffffffff",
    ),
    ("<Connection object at 0x7f3a12>", "<Connection object at 0x55aa00ff>"),
    ("connect to 127.0.0.1:45678 took 0.003 s", "connect to 10.200.3.4:80 took 12 s"),
    ("took 1e-05 s", "took 3.25 s"),
    ("pid 99999", "pid 123456"),
    ("trace deadbee7", "trace 12345678"),
    ("request req_a1B2c3D4e5F6g7", "request req_zz9yxw8vut7s0000"),
    ("writing /tmp/tmpab_cdefg/out", "writing /tmp/tmp01234567/out"),
    ("Sat, 21 Nov 2026 02:03:04 GMT start", "Tue, 01 Dec 2026 12:13:14 GMT start"),
    ("Sat Nov  7 02:03:04 2026 start", "Tue Dec 21 12:13:14 2026 start"),
    ("\x1b[31mdenied\x1b[0m", "denied"),
    ("denied   twice", "denied twice"),
]
DIFFERENT = [
    ("validate: allowed", "validate: timed out"),
    ("Execution denied: DEVICE_REVOKED", "Execution denied: None"),
    ("charged unit 3", "Traceback (most recent call last):"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_differs_without_a_meaning_is_masked(one: str, other: str) -> None:
    assert logs.normalise(one) == logs.normalise(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_what_differs_in_words_stays(one: str, other: str) -> None:
    assert logs.normalise(one) != logs.normalise(other)


REASONS = [
    "validate failed: timed out",
    "validate failed: timeout",
    "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='machineid.io', port=443)",
    "ConnectionRefusedError: [Errno 111] Connection refused",
    '{"event": "validate_failed", "reason": "connection reset by peer"}',
    "ssl.SSLCertVerificationError: certificate verify failed",
    "curl: (28) Operation timed out after 2001 milliseconds",
    "curl: (6) Could not resolve host: machineid.io",
    "curl: (52) Empty reply from server",
    "TypeError: fetch failed",
    "Error: getaddrinfo ENOTFOUND machineid.io",
    "dial tcp: lookup machineid.io: no such host",
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    "http.client.RemoteDisconnected: Remote end closed connection without response",
    "java.net.SocketException: Connection reset",
    "incomplete chunked read",
    "IncompleteRead(44 bytes read, 44 more expected)",
    '{"reason": "connectionReset"}',
    "ECONNRESET",
]
NO_REASONS = [
    "validate failed, failing closed",
    "ERROR validate failed",
    "Error",
    "denied",
    "the issue was not resettable",
    "Traceback (most recent call last):",
]


@pytest.mark.parametrize("text", REASONS)
def test_a_reason_is_named(text: str) -> None:
    assert logs.names_reason(text)


@pytest.mark.parametrize("text", NO_REASONS)
def test_no_reason_is_named(text: str) -> None:
    assert not logs.names_reason(text)


BOUNDARIES = [
    '{"boundary": "startup", "request_id": "r"}',
    '{"boundary": "charge", "request_id": "r"}',
    '{"deny": {"boundary_type": "charge"}}',
    "denied at startup: DEVICE_REVOKED",
    "denied before side-effect charge",
    "denied before side_effect charge",
    "gate=charge request_id=r",
    "tool-call denied",
    "MachineID denied LLM call: DEVICE_REVOKED r",
    "handoff refused",
    "stop consuming, message 3 returned",
    'startup: {"request_id": "r"}',
]
NO_BOUNDARIES = [
    "Execution denied: DEVICE_REVOKED r",
    "worker:dev:tool:01 denied",
    '{"message": "denied", "request_id": "r"}',
    '{"task": 3, "request_id": "r"}',
    '{"boundary": null, "request_id": "r"}',
    '{"boundary": "", "request_id": "r"}',
    "message=denied request_id=r",
    "restarted",
]


@pytest.mark.parametrize("text", BOUNDARIES)
def test_a_boundary_is_named(text: str) -> None:
    assert logs.names_boundary(text, devices=("worker:dev:tool:01",))


@pytest.mark.parametrize("text", NO_BOUNDARIES)
def test_no_boundary_is_named(text: str) -> None:
    assert not logs.names_boundary(text, devices=("worker:dev:tool:01",))


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (
            '{"code": "X", "n": 3, "ok": false, "none": null}',
            (("code", "X"), ("n", "3"), ("ok", "False"), ("none", "")),
        ),
        (
            'INFO:root:{"deny": {"request_id": "r"}, "tags": ["a", "b"]}',
            (("request_id", "r"), ("tags", "a"), ("tags", "b")),
        ),
        ("level=warn code=X request_id=r", (("level", "warn"), ("code", "X"), ("request_id", "r"))),
        ('denied msg="a b" request_id="r"', (("msg", "a b"), ("request_id", "r"))),
        ("Execution denied: X r", None),
        ("execution was denied by the console (code=X, request_id=r)", None),
        ("code=X", None),
        ('["request_id", "r"]', None),
        ('{"request_id": "r"} trailing', None),
        ("{broken", None),
        ("", None),
    ],
)
def test_structured(text: str, fields: tuple[tuple[str, str], ...] | None) -> None:
    assert logs.structured(text) == fields


def out(seq: int, text: str, *, stream: str = "stdout", continues: bool = False, start: int = 1) -> Output:
    return Output(seq=seq, instance=1, start=start, stream=stream, text=text, continues=continues)


def test_records_put_long_lines_together_stream_by_stream() -> None:
    outputs = [
        out(1, "a", continues=True),
        out(2, "x", stream="stderr"),
        out(3, "b", continues=True),
        out(4, "c"),
        out(5, "cut", continues=True),
        out(6, "new", start=2),
    ]
    assert [(record.seq, record.stream, record.text) for record in logs.records(outputs)] == [
        (2, "stderr", "x"),
        (4, "stdout", "abc"),
        (5, "stdout", "cut"),
        (6, "stdout", "new"),
    ]
