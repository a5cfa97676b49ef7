"""Requests to calls, calls to answers: each as a client would send it, with the whole answer expected."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_control_plane.answers import Answer
from fake_control_plane.api import ENDPOINTS, Call, Request, handle, origin_form, parse
from fake_control_plane.dialects import LEGACY, Dialect
from fake_control_plane.state import ControlPlane

DEVICE = "worker:dev:queue-consumer:01"
KEY = "org_key0001"
NOT_AN_ID = "deviceId is not a string of 1 to 256 characters with something in it."


def numbered(prefix: str) -> Iterator[str]:
    return (f"{prefix}{n:04}" for n in itertools.count(1))


class Api:
    """An org and its client, without a network."""

    def __init__(self, dialect: Dialect | None = None) -> None:
        ids, keys = numbered("id"), numbered("org_key")
        made: dict[str, Any] = {"dialect": dialect} if dialect else {}
        self.plane = ControlPlane(new_id=lambda: next(ids), new_key=lambda: next(keys), **made)
        self.key = self.plane.add_org()

    def send(self, method: str, target: str, body: Any = None, *, key: str | None = KEY, raw: bytes = b"") -> Answer:
        payload = raw if body is None else json.dumps(body).encode()
        headers = (("x-org-key", key),) if key is not None else ()
        return handle(self.plane, parse(Request(method=method, target=target, headers=headers, body=payload)))

    def post(self, path: str, device: str = DEVICE, **options: Any) -> Answer:
        return self.send("POST", f"/api/v1/devices/{path}", {"deviceId": device}, **options)


def plan_fields(**changes: Any) -> dict[str, Any]:
    return {
        "planTier": "free",
        "planState": "active",
        "accessUntil": None,
        "limit": 3,
        "devicesUsed": 1,
        "remaining": 2,
        "overLimit": False,
        "softGraceWindow": None,
        **changes,
    }


def failed(status: int, word: str, message: str, handler: str, **headers: str) -> Answer:
    body = {"status": "error", "error": word, "message": message, "handler": handler}
    return Answer(status=status, body=body, headers=headers)


def test_the_life_of_a_device() -> None:
    api = Api()
    about = {"handler": "devices/register", "deviceId": DEVICE, **plan_fields()}
    deny = {"allowed": False, "code": "DEVICE_REVOKED", "request_id": "id0002"}

    assert api.post("register") == Answer(body={"status": "ok", **about})
    assert api.post("register") == Answer(body={"status": "exists", **about})
    assert api.post("validate") == Answer(body={"allowed": True, "code": "ALLOW", "request_id": "id0001"})
    assert api.post("revoke") == Answer(
        body={"status": "ok", "handler": "devices/revoke", "deviceId": DEVICE, "revoked": True}
    )
    assert api.post("validate") == Answer(body=deny)
    assert api.post("register") == Answer(body={"status": "exists", **about})
    assert api.post("validate") == Answer(body={**deny, "request_id": "id0003"})
    assert api.post("unrevoke") == Answer(
        body={"status": "ok", "handler": "devices/unrevoke", "deviceId": DEVICE, "revoked": False}
    )
    assert api.post("validate").decision == "allow"
    assert api.post("remove") == Answer(body={"status": "ok", "handler": "devices/remove", "deviceId": DEVICE})
    assert api.post("validate").body["code"] == "DEVICE_NOT_REGISTERED"


def test_the_decision_begins_with_allowed() -> None:
    api = Api()
    api.post("register")
    assert api.post("validate").payload().startswith(b'{"allowed": true, ')


def test_list_usage_and_billing() -> None:
    api = Api()
    api.post("register")
    api.post("register", "second")
    api.post("revoke", "second")
    assert api.send("GET", "/api/v1/devices/list") == Answer(
        body={
            "status": "ok",
            "handler": "devices/list",
            "devices": [{"deviceId": DEVICE, "revoked": False}, {"deviceId": "second", "revoked": True}],
        }
    )
    fields = plan_fields(devicesUsed=2, remaining=1)
    assert api.send("GET", "/api/v1/usage") == Answer(body={"status": "ok", "handler": "usage", **fields})
    assert api.send("GET", "/api/v1/billing/summary") == Answer(
        body={"status": "ok", "handler": "billing/summary", **fields}
    )


def test_org_create_needs_no_key_and_gives_one_that_works() -> None:
    api = Api()
    answer = api.send("POST", "/api/v1/org/create", key=None)
    assert answer == Answer(body={"status": "ok", "orgApiKey": "org_key0002", "handler": "org_create"})
    assert api.post("register", key="org_key0002").body["status"] == "ok"
    assert api.post("validate").body["code"] == "DEVICE_NOT_REGISTERED"  # the other org knows nothing of it


@pytest.mark.parametrize(
    ("key", "word", "message"),
    [
        (None, "missing_org_key", "The header x-org-key is missing."),
        ("", "missing_org_key", "The header x-org-key is missing."),
        ("  ", "missing_org_key", "The header x-org-key is missing."),
        ("org_nobodys", "invalid_org_key", "The org key is not valid."),
    ],
)
@pytest.mark.parametrize(("path", "method"), [(path, method) for path, known in ENDPOINTS.items() for method in known])
def test_a_wrong_key_comes_before_a_bad_request(
    key: str | None, word: str, message: str, path: str, method: str
) -> None:
    if path.endswith("org/create"):
        return
    answer = Api().send(method, path, key=key, raw=b"{")
    assert answer == failed(401, word, message, path.removeprefix("/api/v1/"))
    assert answer.decision == "failure"


def test_a_rotated_key_is_refused_at_once() -> None:
    api = Api()
    api.post("register")
    new = api.plane.operator_rotate(api.key)
    assert api.post("validate") == failed(401, "invalid_org_key", "The org key is not valid.", "devices/validate")
    assert api.post("validate", key=new).decision == "allow"


@pytest.mark.parametrize("path", ["register", "validate", "revoke", "unrevoke", "remove"])
@pytest.mark.parametrize(
    ("raw", "word", "message"),
    [
        (b"", "malformed_json", "The body is not JSON."),
        (b"deviceId=x", "malformed_json", "The body is not JSON."),
        (b'{"deviceId": "x"', "malformed_json", "The body is not JSON."),
        (b'{"deviceId": "\xff"}', "malformed_json", "The body is not JSON."),
        (b"[" * 100_000, "malformed_json", "The body is not JSON."),
        (b"[]", "malformed_body", "The body is not a JSON object."),
        (b'"x"', "malformed_body", "The body is not a JSON object."),
        (b"null", "malformed_body", "The body is not a JSON object."),
        (b"{}", "missing_device_id", "deviceId is missing."),
        (b'{"deviceId": null}', "missing_device_id", "deviceId is missing."),
        (b'{"device_id": "x"}', "missing_device_id", "deviceId is missing."),
        (b'{"deviceId": 7}', "invalid_device_id", NOT_AN_ID),
        (b'{"deviceId": ["x"]}', "invalid_device_id", NOT_AN_ID),
        (b'{"deviceId": " "}', "invalid_device_id", NOT_AN_ID),
        (b'{"deviceId": "\\u001e\\u0085\\u00a0"}', "invalid_device_id", NOT_AN_ID),
        (b'{"deviceId": "\\ud800"}', "invalid_device_id", NOT_AN_ID),
        (b'{"deviceId": "' + b"x" * 257 + b'"}', "invalid_device_id", NOT_AN_ID),
    ],
    ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else "",
)
def test_bad_requests(path: str, raw: bytes, word: str, message: str) -> None:
    answer = Api().send("POST", f"/api/v1/devices/{path}", raw=raw)
    assert answer == failed(400, word, message, f"devices/{path}")


@pytest.mark.parametrize("path", ["revoke", "unrevoke", "remove"])
def test_a_device_that_is_not_there(path: str) -> None:
    expected = failed(404, "device_not_found", "The device is not registered in this org.", f"devices/{path}")
    assert Api().post(path) == expected


@pytest.mark.parametrize(
    "target", ["/", "", "*", "/api/v1/devices/validate/", "/api/v1", "/api/v2/usage", "machineid.io:443", "//usage"]
)
@pytest.mark.parametrize("key", [KEY, None])
def test_there_is_no_such_endpoint(target: str, key: str | None) -> None:
    answer = Api().send("GET", target, key=key)
    assert answer == failed(404, "not_found", "There is no such endpoint.", "unknown")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "devices/register", "POST"),
        ("PUT", "devices/validate", "POST, GET"),
        ("HEAD", "usage", "GET"),
        ("OPTIONS", "devices/list", "GET"),
        ("get", "usage", "GET"),
    ],
)
def test_a_method_that_the_endpoint_does_not_have(method: str, path: str, allowed: str) -> None:
    call = parse(Request(method=method, target=f"/api/v1/{path}"))
    assert (call.operation, call.device) == ("unknown", None)
    assert handle(Api().plane, call) == failed(405, "method_not_allowed", f"Expected {allowed}.", path, Allow=allowed)


def test_validate_by_get_speaks_the_legacy_dialect() -> None:
    api = Api()
    target = "/api/v1/devices/validate?deviceId=worker%3Adev%3Aqueue-consumer%3A01"
    assert api.send("GET", target) == Answer(body={"valid": False, "revoked": False})
    api.post("register")
    assert api.send("GET", target) == Answer(body={"valid": True})
    api.post("revoke")
    assert api.send("GET", target) == Answer(body={"valid": False, "revoked": True})
    assert api.send("GET", target + "&deviceId=other") == Answer(body={"valid": False, "revoked": True})
    assert api.send("GET", "/api/v1/devices/validate") == failed(
        400, "missing_device_id", "deviceId is missing.", "devices/validate"
    )
    assert api.send("GET", "/api/v1/devices/validate?deviceId=").body["error"] == "invalid_device_id"


def test_register_at_the_cap_in_both_dialects() -> None:
    at_cap = plan_fields(devicesUsed=3, remaining=0, overLimit=True)
    about = {"handler": "devices/register", "deviceId": "fourth", **at_cap}
    for dialect, expected in [
        (
            None,
            Answer(
                status=403,
                body={
                    "status": "blocked",
                    "error": "device_limit_reached",
                    "message": "The plan's limit of 3 devices is reached; the device was not registered.",
                    **about,
                },
            ),
        ),
        (LEGACY, Answer(body={"status": "limit_reached", **about})),
    ]:
        api = Api(dialect)
        for device in ("first", "second", "third"):
            assert api.post("register", device).body["status"] == "ok"
        assert api.post("register", "fourth") == expected
        assert api.post("validate", "fourth").body["code"] == "DEVICE_NOT_REGISTERED"
        assert api.post("register", "third").body["status"] == "exists"
        assert api.post("validate", "third").decision == "allow"


def call(**fields: Any) -> Call:
    defaults = {"operation": "usage", "device": None, "key": KEY, "key_in_url": False, "method": "GET"}
    return Call(**{**defaults, "path": "/api/v1/usage", **fields})


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (Request(method="GET", target="/api/v1/usage", headers=(("x-org-key", f" {KEY} "),)), call()),
        (Request(method="GET", target="/api/v1/usage"), call(key=None)),
        (
            Request(method="GET", target="https://machineid.io/api/v1/usage?a=b", headers=(("x-org-key", KEY),)),
            call(path="/api/v1/usage?a=b"),
        ),
        (
            Request(method="GET", target=f"/api/v1/usage?x-org-key={KEY}"),
            call(key=None, key_in_url=True, path=f"/api/v1/usage?x-org-key={KEY}"),
        ),
        (
            Request(method="GET", target="/api/v1/usage?k=%6Frg_key0001", headers=(("x-org-key", KEY),)),
            call(key_in_url=True, path="/api/v1/usage?k=%6Frg_key0001"),
        ),
        (
            Request(method="GET", target="/api/v1/usage?k=-secret-", headers=(("x-org-key", "secret"),)),
            call(key="secret", key_in_url=True, path="/api/v1/usage?k=-secret-"),
        ),
        (
            Request(method="GET", target="/api/v1/devices/validate?deviceId=org_worker"),
            call(
                operation="validate", device="org_worker", key=None, path="/api/v1/devices/validate?deviceId=org_worker"
            ),
        ),
        (
            Request(method="POST", target="/api/v1/devices/register", body=b'{"deviceId": "a", "more": [1]}'),
            call(operation="register", device="a", key=None, method="POST", path="/api/v1/devices/register"),
        ),
    ],
)
def test_parse(request_: Request, expected: Call) -> None:
    assert parse(request_) == expected


def test_a_key_in_the_path() -> None:
    parsed = parse(Request(method="GET", target=f"/{KEY}/usage"))
    assert (parsed.operation, parsed.key_in_url) == ("unknown", True)


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        ("/a?b=http://c/d", "/a?b=http://c/d"),
        ("http://host/a?b", "/a?b"),
        ("https://host", "/"),
        ("https://host?a=b", "/?a=b"),
        ("a?b=http://c/d", "a?b=http://c/d"),
        ("*", "*"),
    ],
)
def test_origin_form(target: str, origin: str) -> None:
    assert origin_form(target) == origin


# The same examples at each run, and no deadline: a busy machine must not fail a test.
steady = settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])

words = st.text() | st.sampled_from(
    [*ENDPOINTS, "GET", "POST", "x-org-key", KEY, "deviceId", "?deviceId=", "%", "://["]
)
targets = st.lists(words, max_size=4).map("".join)


@steady
@given(
    method=words,
    target=targets,
    headers=st.lists(st.tuples(words, words), max_size=3),
    body=st.binary() | st.sampled_from([b'{"deviceId": "a"}', b'{"deviceId": 1e999}', b"NaN", b"9" * 5000]),
)
def test_whatever_is_sent_gets_an_answer(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> None:
    api = Api()
    parsed = parse(Request(method=method, target=target, headers=tuple(headers), body=body))
    answer = handle(api.plane, parsed)
    assert isinstance(json.loads(answer.payload()), dict)
    assert (parsed.operation == "unknown") <= (answer.status in {404, 405})
    if answer.status >= 400:
        assert set(answer.body) == {"status", "error", "message", "handler"}
        assert answer.body["status"] == "error"


@steady
@given(st.data())
def test_every_endpoint_answers_every_body(data: st.DataObject) -> None:
    path, methods = data.draw(st.sampled_from([*ENDPOINTS.items()]))
    method = data.draw(st.sampled_from([*methods]))
    values = st.recursive(
        st.none() | st.booleans() | st.text(), lambda deeper: st.lists(deeper, max_size=2), max_leaves=3
    )
    body = data.draw(st.dictionaries(st.sampled_from(["deviceId", "other"]), values) | values)
    answer = Api().send(method, path, body)
    assert answer.status in {200, 400, 404}
    assert ("allowed" in answer.body) <= (path.endswith("validate") and answer.status == 200)
