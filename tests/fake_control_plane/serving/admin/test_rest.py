"""The admin API over a real socket: what the console can do, and what each mistake is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from tests.fake_control_plane.serving.servers import Running, disk_of, with_server

ORGS = "/admin/v1/orgs"


async def validate(server: Running, device: str, key: str | None = None) -> dict[str, Any]:
    """What a client of the data port gets."""
    async with httpx.AsyncClient(base_url=server.opened.base_url, trust_env=False, verify=False, timeout=30) as data:
        response = await data.post(
            "/api/v1/devices/validate",
            json={"deviceId": device},
            headers={"x-org-key": key or server.opened.key},
        )
        value: dict[str, Any] = response.json() | {"http": response.status_code}
        return value


def test_what_the_console_does_is_in_force_at_the_next_validate() -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        async def do(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
            response = await http.request(method, f"{ORGS}/org-1/{path}", json=body)
            assert response.is_success, response.text
            return response.json()

        async def code(device: str = "b") -> str:
            return str((await validate(server, device))["code"])

        await do("POST", "register", {"devices": ["a", "b"]})
        assert await code() == "ALLOW"
        await do("POST", "revoke", {"devices": ["b"]})
        assert await code() == "DEVICE_REVOKED"
        assert (await do("POST", "disable"))["disabled"] is True
        assert await code() == "ORG_DISABLED"
        await do("POST", "enable")
        assert await code() == "DEVICE_REVOKED"
        await do("POST", "restore", {"devices": ["b"]})
        assert await code() == "ALLOW"
        assert (await do("PUT", "cap", {"cap": 1}))["limit"] == 1
        assert await code() == "DEVICE_LIMIT_EXCEEDED"
        assert await code("a") == "ALLOW"
        assert (await do("PUT", "plan", {"plan": "pro"}))["limit"] == 25
        assert await code() == "ALLOW"
        await do("PUT", "plan-state", {"state": "frozen"})
        assert await code() == "PLAN_FROZEN"
        await do("PUT", "plan-state", {"state": "active"})
        await do("POST", "remove", {"devices": ["b"]})
        assert await code() == "DEVICE_NOT_REGISTERED"

    with_server(test)


def test_a_cancelled_plan_ends_with_its_cycle_on_a_clock_that_is_moved() -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        now = (await http.get("/admin/v1/clock")).json()["now"]
        await http.post(f"{ORGS}/org-1/register", json={"devices": list("abcd")})
        await http.post(f"{ORGS}/org-1/cancel", json={"access_until": now + 3600})
        assert (await validate(server, "d"))["code"] == "ALLOW"
        moved = (await http.post("/admin/v1/clock/advance", json={"seconds": 3600})).json()
        assert moved["moved"] == 3600
        org = (await http.get(f"{ORGS}/org-1")).json()
        assert (org["plan"], org["limit"]) == ("free", 3)
        assert (await validate(server, "d"))["code"] == "DEVICE_LIMIT_EXCEEDED"

    with_server(test, plan="pro")


def test_a_key_is_shown_when_it_is_made_and_never_again() -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        made = (await http.post(ORGS, json={"plan": "pro", "cap": 30})).json()
        assert made["org"]["limit"] == 30
        rotated = (await http.post(f"{ORGS}/org-1/rotate")).json()["key"]
        assert (await validate(server, "a"))["http"] == 401
        assert (await validate(server, "a", rotated))["http"] == 200
        # Clients that mix up key and device id, so that it has every chance to be shown.
        await validate(server, rotated, rotated)
        pages = [ORGS, f"{ORGS}/org-1", f"{ORGS}/org-1/devices", "/admin/v1/journal", "/admin/v1/status", "/metrics"]
        shown = "".join([(await http.get(page)).text for page in pages])
        assert "org-1" in shown
        for key in (made["key"], rotated, server.opened.key):
            assert key.startswith("org_fake_")
            assert key not in shown

    with_server(test)


def test_devices_are_searched_filtered_and_paged() -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        names = [f"worker:dev:q:{number:03}" for number in range(40)] + ["Tool:dev:x:1"]
        await http.post(f"{ORGS}/org-1/register", json={"devices": names})
        await http.post(f"{ORGS}/org-1/revoke", json={"devices": names[10:15]})
        await validate(server, names[10])

        async def devices(**query: str) -> tuple[list[str], int, int]:
            page = (await http.get(f"{ORGS}/org-1/devices", params=query)).json()
            return [device["id"] for device in page["devices"]], page["matching"], page["total"]

        assert await devices() == (names, 41, 41)
        assert await devices(offset="38", limit="2") == (names[38:40], 41, 41)
        assert await devices(search="TOOL") == (["Tool:dev:x:1"], 1, 41)
        assert await devices(state="device-revoked", limit="2") == (names[10:12], 5, 41)
        assert await devices(state="deny", search="011") == ([names[11]], 1, 41)
        assert await devices(state="allow", offset="36") == ([], 36, 41)
        one = (await http.get(f"{ORGS}/org-1/device", params={"id": names[10]})).json()
        assert (one["calls"], one["last"], one["now"]) == (1, "device-revoked", "device-revoked")

    with_server(test, plan="max")


def test_an_action_on_many_devices_is_done_to_all_or_to_none() -> None:
    async def test(_: Running, http: httpx.AsyncClient) -> None:
        await http.post(f"{ORGS}/org-1/register", json={"devices": ["a", "b"]})
        for action in ("revoke", "restore", "remove"):
            refused = await http.post(f"{ORGS}/org-1/{action}", json={"devices": ["a", "nobody", "b"]})
            assert refused.status_code == 404
            assert refused.json()["error"] == "unknown_device"
            assert "'nobody'" in refused.json()["message"]
        refused = await http.post(f"{ORGS}/org-1/register", json={"devices": ["c", "d"]})
        assert (refused.status_code, refused.json()["error"]) == (409, "conflict")
        devices = (await http.get(f"{ORGS}/org-1/devices")).json()["devices"]
        assert [(device["id"], device["revoked"]) for device in devices] == [("a", False), ("b", False)]

    with_server(test)


def test_faults_as_a_line_and_as_json() -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        await http.post(f"{ORGS}/org-1/register", json={"devices": ["a"]})
        line = "status=503 operation=validate first=2"
        added = await http.post("/admin/v1/faults", json={"line": line})
        assert added.status_code == 201
        assert added.json()["line"] == line
        assert [(await validate(server, "a"))["http"] for _ in range(3)] == [503, 503, 200]
        rule = (await http.get("/admin/v1/faults/fault-1")).json()
        assert (rule["seen"], rule["hits"]) == (3, 2)
        again = {name: rule[name] for name in ("fault", "operation", "trigger")}
        second = (await http.post("/admin/v1/faults", json={"id": "mine", **again})).json()
        assert (second["id"], second["line"].split()[0]) == ("mine", "status=503")
        rules = (await http.get("/admin/v1/faults")).json()["rules"]
        assert [rule["id"] for rule in rules] == ["fault-1", "mine"]
        assert (await http.delete("/admin/v1/faults/mine")).json()["id"] == "mine"
        assert (await http.delete("/admin/v1/faults")).json() == {"removed": ["fault-1"]}
        assert (await validate(server, "a"))["http"] == 200
        kinds = (await http.get("/admin/v1/fault-kinds")).json()["kinds"]
        assert {"status", "reset", "refuse"} <= {kind["name"] for kind in kinds}

    with_server(test)


def test_dialect_and_codes() -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        said = (await http.put("/admin/v1/codes", json={"codes": {"device-not-registered": "UNKNOWN"}})).json()
        assert said["codes"]["device-not-registered"] == {"code": "UNKNOWN", "assumed": True, "overridden": True}
        assert said["codes"]["allow"] == {"code": "ALLOW", "assumed": False, "overridden": False}
        assert (await validate(server, "a"))["code"] == "UNKNOWN"
        assert (await http.put("/admin/v1/dialect", json={"dialect": "legacy"})).json()["dialect"] == "legacy"
        assert (await http.get("/admin/v1/dialect")).json()["codes"]["device-not-registered"]["code"] == "UNKNOWN"
        await http.put("/admin/v1/codes", json={"codes": {}})
        assert (await validate(server, "a"))["code"] == "DEVICE_NOT_REGISTERED"

    with_server(test)


def test_health_says_what_is_wrong(tmp_path: Path) -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        well = await http.get("/healthz")
        assert (well.status_code, well.json()) == (200, {"healthy": True, "problems": []})
        journal = tmp_path / "journal"
        with disk_of(journal.stat().st_size + 10):
            assert (await validate(server, "a"))["http"] == 200  # it goes on
            unwell = await http.get("/healthz")
            assert unwell.status_code == 503
            assert str(journal) in unwell.json()["problems"][0]
            assert "fake_control_plane_healthy 0.0" in (await http.get("/metrics")).text
            assert (await http.get("/admin/v1/status")).json()["healthy"] is False
        await validate(server, "b")
        assert (await http.get("/healthz")).json() == {"healthy": True, "problems": []}
        devices = [json.loads(line)["device"] for line in journal.read_text(encoding="ascii").splitlines()]
        assert devices == [None, "a", "b"]

    with_server(test, journal=tmp_path / "journal")


def test_a_change_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    async def test(server: Running, http: httpx.AsyncClient) -> None:
        with disk_of(100):
            refused = await http.post(f"{ORGS}/org-1/register", json={"devices": ["a"]})
            assert (refused.status_code, refused.json()["error"]) == (503, "not_stored")
            assert "Make room" in refused.json()["message"]
            assert "state" in (await http.get("/healthz")).json()["problems"][0]
        assert (await http.post(f"{ORGS}/org-1/disable")).status_code == 200
        assert (await http.get("/healthz")).status_code == 200

    with_server(test, state=tmp_path / "state")

    async def after(_: Running, http: httpx.AsyncClient) -> None:
        devices = (await http.get(f"{ORGS}/org-1/devices")).json()["devices"]
        assert [device["id"] for device in devices] == ["a"]  # the next change wrote this one too
        assert (await http.get(f"{ORGS}/org-1")).json()["disabled"] is True

    with_server(after, state=tmp_path / "state")
