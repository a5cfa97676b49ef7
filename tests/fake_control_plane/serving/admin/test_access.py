"""Who may use the admin port: by header on a server of the loopback, by token beyond it."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from fake_control_plane.serving.admin.access import Access, AccessError, is_loopback, new_token
from tests.fake_control_plane.serving.servers import running

DISABLE = "/admin/v1/orgs/org-1/disable"
TOKEN = "a-token-of-the-test"


def with_http(test: Callable[[httpx.AsyncClient], Awaitable[None]], **settings: Any) -> None:
    async def go() -> None:
        async with (
            running(**settings) as server,
            httpx.AsyncClient(base_url=server.opened.admin_url, trust_env=False, verify=False, timeout=30) as http,
        ):
            await test(http)

    asyncio.run(go())


async def disabled(http: httpx.AsyncClient, **headers: str) -> bool:
    return bool((await http.get("/admin/v1/orgs/org-1", headers=headers)).json()["disabled"])


# -- without a token: the loopback, and no web page -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8081",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "localhost@evil.example",
        "[::1",
        "localhost:x",
    ],
)
def test_a_name_that_is_not_the_loopbacks_is_refused(host: str) -> None:
    """DNS rebinding: the page's own name leads to 127.0.0.1, so that its requests are of the same origin."""

    async def test(http: httpx.AsyncClient) -> None:
        for method, path in (("GET", "/admin/v1/orgs"), ("POST", DISABLE), ("GET", "/healthz"), ("GET", "/")):
            refused = await http.request(method, path, headers={"host": host})
            assert (refused.status_code, refused.json()["error"]) == (403, "wrong_host")
        assert not await disabled(http)

    with_http(test)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "fake.localhost"]
)
def test_names_of_the_loopback_are_answered(host: str) -> None:
    async def test(http: httpx.AsyncClient) -> None:
        assert (await http.get("/admin/v1/orgs", headers={"host": host})).status_code == 200

    with_http(test)


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"origin": "http://evil.example"}, "cross_origin"),
        ({"origin": "null"}, "cross_origin"),
        ({"origin": "http://127.0.0.1:1"}, "cross_origin"),
        ({"sec-fetch-site": "cross-site"}, "cross_origin"),
        ({"sec-fetch-site": "same-site"}, "cross_origin"),
        # What a form, or fetch without a preflight, can send (Fetch standard, CORS-safelisted request-header).
        ({"content-type": "application/x-www-form-urlencoded"}, "not_json"),
        ({"content-type": "text/plain;charset=UTF-8"}, "not_json"),
        ({"content-type": "multipart/form-data; boundary=x"}, "not_json"),
        ({"content-type": "text/plain; application/json"}, "not_json"),
    ],
)
def test_a_web_page_cannot_change_anything(headers: dict[str, str], word: str) -> None:
    async def test(http: httpx.AsyncClient) -> None:
        refused = await http.post(DISABLE, headers=headers)
        assert refused.json()["error"] == word
        assert refused.status_code in (403, 415)
        refused = await http.post("/admin/v1/orgs", headers=headers, content=b"{}")
        assert refused.json()["error"] == word
        assert not await disabled(http)
        assert len((await http.get("/admin/v1/orgs")).json()["orgs"]) == 1

    with_http(test)


def test_a_body_without_a_type_is_refused() -> None:
    async def test(http: httpx.AsyncClient) -> None:
        refused = await http.post("/admin/v1/orgs", content=b"{}")
        assert (refused.status_code, refused.json()["error"]) == (415, "not_json")

    with_http(test)


def test_the_dashboards_own_requests_are_answered() -> None:
    async def test(http: httpx.AsyncClient) -> None:
        own = {
            "origin": str(http.base_url).rstrip("/"),
            "sec-fetch-site": "same-origin",
            "content-type": "application/json",
        }
        assert (await http.post(DISABLE, headers=own)).status_code == 200
        assert await disabled(http)

    with_http(test)


def test_no_page_may_read_frame_or_keep_an_answer() -> None:
    async def test(http: httpx.AsyncClient) -> None:
        for path in ("/admin/v1/orgs", "/nothing", "/metrics"):
            headers = (await http.get(path, headers={"origin": "http://evil.example"})).headers
            assert "access-control-allow-origin" not in headers
            assert headers["x-frame-options"] == "DENY"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert headers["cache-control"] == "no-store"

    with_http(test)


# -- with a token -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xe9",
    ],
)
def test_without_the_token_nothing_is_told_or_done(authorization: str | None) -> None:
    async def test(http: httpx.AsyncClient) -> None:
        given = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
        for method, path in (
            ("GET", "/admin/v1/orgs"),
            ("POST", DISABLE),
            ("GET", "/metrics"),
            ("GET", "/openapi.json"),
            ("GET", "/admin/v1/journal/stream"),
            ("GET", "/admin/v1/nothing"),
            ("PATCH", "/admin/v1/orgs"),
            ("GET", "/dashboardx"),
        ):
            refused = await http.request(method, path, headers=given)  # type: ignore[arg-type]  # httpx takes bytes too
            assert (refused.status_code, refused.json()["error"]) == (401, "token_required"), path
            assert refused.headers["www-authenticate"].startswith("Bearer")
        health = await http.get("/healthz", headers=given)  # type: ignore[arg-type]
        assert health.json() == {"healthy": True, "problems": []}
        assert not await disabled(http, authorization=f"Bearer {TOKEN}")

    with_http(test, token=TOKEN)


def test_health_names_no_problem_to_strangers() -> None:
    async def test(http: httpx.AsyncClient) -> None:
        await http.post(DISABLE, headers={"authorization": f"Bearer {TOKEN}"})  # and the journal cannot take it
        stranger = await http.get("/healthz")
        assert (stranger.status_code, stranger.json()) == (503, {"healthy": False, "problems": []})
        owner = await http.get("/healthz", headers={"authorization": f"bearer {TOKEN}"})
        assert "/dev/full" in owner.json()["problems"][0]

    with_http(test, token=TOKEN, journal=Path("/dev/full"))


def test_with_the_token_any_name_will_do_and_a_page_still_cannot_change_anything() -> None:
    async def test(http: httpx.AsyncClient) -> None:
        given = {"authorization": f"Bearer {TOKEN}", "host": "fake.staging.example"}
        assert (await http.get("/admin/v1/orgs", headers=given)).status_code == 200
        refused = await http.post(DISABLE, headers={**given, "origin": "http://evil.example"})
        assert refused.json()["error"] == "cross_origin"
        assert (await http.post(DISABLE, headers={**given, "origin": "http://fake.staging.example"})).status_code == 200

    with_http(test, token=TOKEN)


def test_beyond_loopback_there_must_be_a_token() -> None:
    for host in ("0.0.0.0", "::", "10.0.0.1", "fake.example"):
        with pytest.raises(AccessError, match="needs a token"):
            Access.to(host, token=None)
        assert Access.to(host, token="x").token == "x"
    assert Access.to("127.0.0.1", token=None).token is None
    with pytest.raises(AccessError, match="--admin-host"):
        with_http(lambda _: asyncio.sleep(0), admin_host="0.0.0.0")


def test_what_loopback_is() -> None:
    assert all(map(is_loopback, ["localhost", "a.localhost", "Localhost.", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]))
    assert not any(
        map(is_loopback, ["", "localhost.evil.example", "127.0.0.1.evil", "::", "0.0.0.0", "2130706433", "[::1"])
    )


def test_a_token_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("of an earlier server", encoding="ascii")
    path.chmod(0o644)
    token = new_token(path)
    assert path.read_text(encoding="ascii").strip() == token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(token) >= 43  # 256 bits
    assert new_token(path) != token
