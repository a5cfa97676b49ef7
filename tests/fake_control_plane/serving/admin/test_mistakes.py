"""What the admin API says to each mistake: its word, what came, what was expected. Nothing is changed by one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from fake_control_plane.serving.admin.application import LARGEST_BODY
from tests.fake_control_plane.serving.servers import Running, with_server

ORGS = "/admin/v1/orgs"

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "word", "part"),
    [
        ("GET", "/admin/v1/nothing", None, 404, "unknown_path", "/admin/v1/nothing"),
        ("GET", "/api/v1/devices/list", None, 404, "unknown_path", "/api/v1/devices/list"),
        ("GET", "/admin/v1/orgs/", None, 404, "unknown_path", "orgs/"),
        ("PATCH", "/admin/v1/orgs", None, 405, "method_not_allowed", "PATCH"),
        ("GET", f"{ORGS}/org-9", None, 404, "unknown_org", "'org-9'"),
        ("GET", f"{ORGS}/org-1/device?id=x", None, 404, "unknown_device", "'x'"),
        ("DELETE", "/admin/v1/faults/x", None, 404, "unknown_rule", "'x'"),
        ("POST", ORGS, b"{", 400, "malformed_json", "JSON"),
        ("POST", ORGS, b"\xff", 400, "malformed_json", "JSON"),
        ("POST", ORGS, b"[" * 100_000, 400, "malformed_json", "JSON"),
        ("POST", ORGS, b"9" * 5000, 400, "malformed_json", "JSON"),
        ("POST", ORGS, b"[]", 400, "malformed_json", "list"),
        ("POST", ORGS, b'{"plan": "gold"}', 422, "invalid_value", "free, pro, scale, max"),
        ("POST", ORGS, b'{"plam": "pro"}', 422, "invalid_value", "did you mean 'plan'?"),
        ("POST", ORGS, b'{"cap": -1}', 422, "invalid_value", "got -1"),
        ("POST", ORGS, b'{"cap": true}', 422, "invalid_value", "got True"),
        ("POST", ORGS, b'{"cap": 1.5}', 422, "invalid_value", "a whole number"),
        ("PUT", f"{ORGS}/org-1/cap", b"{}", 422, "invalid_value", "body cap: is missing"),
        ("PUT", f"{ORGS}/org-1/plan-state", b'{"state": "pro"}', 422, "invalid_value", "got 'pro'"),
        ("PUT", f"{ORGS}/org-1/plan-state", b'{"state": "\\ud800"}', 422, "invalid_value", "state"),
        ("POST", f"{ORGS}/org-1/register", b'{"devices": []}', 422, "invalid_value", "one string or more"),
        ("POST", f"{ORGS}/org-1/register", b'{"devices": "a"}', 422, "invalid_value", "an array"),
        ("POST", f"{ORGS}/org-1/register", b'{"devices": ["\\ud800"]}', 422, "invalid_value", "devices"),
        ("POST", f"{ORGS}/org-1/register", b'{"devices": ["w:prod:x:1"]}', 422, "invalid_value", "--allow-prod"),
        ("POST", f"{ORGS}/org-1/cancel", b'{"access_until": NaN}', 422, "invalid_value", "a number"),
        ("POST", f"{ORGS}/org-1/cancel", b'{"access_until": 1e14}', 422, "invalid_value", "253402300799"),
        ("POST", "/admin/v1/clock/advance", b'{"seconds": 1e14}', 422, "invalid_value", "1000000000"),
        ("POST", "/admin/v1/faults", b'{"line": "statis=503"}', 422, "invalid_value", "'status'"),
        (
            "POST",
            "/admin/v1/faults",
            b'{"fault": {"refuse": {}}, "operation": "list"}',
            422,
            "invalid_value",
            "listener",
        ),
        ("PUT", "/admin/v1/codes", b'{"codes": {"nothing": "X"}}', 422, "invalid_value", "'nothing'"),
        ("PUT", "/admin/v1/codes", b'{"codes": {"allow": 1}}', 422, "invalid_value", "strings"),
        ("GET", f"{ORGS}/org-1/devices?limit=1&limit=2", None, 422, "invalid_value", "given twice"),
        ("GET", f"{ORGS}/org-1/devices?limit=-1", None, 422, "invalid_value", "a whole number"),
        ("GET", f"{ORGS}/org-1/devices?limit=%C2%B2", None, 422, "invalid_value", "a whole number"),
        ("GET", f"{ORGS}/org-1/devices?limit={'9' * 5000}", None, 422, "invalid_value", "a whole number"),
        ("GET", f"{ORGS}/org-1/devices?state=gone", None, 422, "invalid_value", "device-revoked"),
        ("GET", f"{ORGS}?x=1", None, 422, "invalid_value", "'x' is unknown"),
        ("GET", "/admin/v1/journal/stream?since=x", None, 422, "invalid_value", "query since"),
    ],
)
def test_a_mistake_is_named_and_changes_nothing(
    method: str, path: str, body: bytes | None, status: int, word: str, part: str
) -> None:
    async def test(_: Running, http: httpx.AsyncClient) -> None:
        before = (await http.get("/admin/v1/journal")).json()["last"]
        response = await http.request(method, path, content=body, headers=JSON if body is not None else {})
        answer = response.json()
        assert (response.status_code, answer["error"]) == (status, word), answer
        assert part in answer["message"], answer
        assert set(answer) <= {"error", "message", "expected", "remedy"}
        assert len(response.content) < 4000
        assert (await http.get("/admin/v1/journal")).json()["last"] == before

    with_server(test)


def test_allow_names_the_methods_of_a_path() -> None:
    async def test(_: Running, http: httpx.AsyncClient) -> None:
        response = await http.request("PATCH", ORGS)
        assert response.headers["allow"] == "GET, HEAD, POST"
        assert (await http.head(ORGS)).status_code == 200

    with_server(test)


def test_a_body_that_is_too_large_is_not_kept() -> None:
    async def test(_: Running, http: httpx.AsyncClient) -> None:
        async def endless() -> Any:
            for _ in range(LARGEST_BODY // 65536 + 2):
                yield b" " * 65536

        response = await http.post(ORGS, content=endless(), headers=JSON)
        assert (response.status_code, response.json()["error"]) == (413, "too_large")

    with_server(test)
