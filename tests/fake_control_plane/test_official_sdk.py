"""Every public method of the official SDK (``machineid-io``), as it is, against a running server: each with the whole answer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
from machineid import MachineID  # type: ignore[import-untyped]  # it has no annotations to be read

from fake_control_plane.client import Client
from tests.fake_control_plane.serving.servers import process

DEVICE = "worker:dev:queue-consumer:01"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
PLAN = {
    "planTier": "free",
    "planState": "active",
    "accessUntil": None,
    "limit": 3,
    "overLimit": False,
    "softGraceWindow": None,
}
METHODS = {"from_env", "register", "validate", "list_devices", "revoke", "unrevoke", "restore", "remove", "usage"}


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with process() as found:
        yield found


@pytest.fixture
def console(server: dict[str, Any]) -> Iterator[Client]:
    with Client(server["admin_url"]) as found:
        yield found


@pytest.fixture
def sdk(server: dict[str, Any], console: Client) -> MachineID:
    """A client of an org of its own."""
    return MachineID(console.create_org().key, base_url=server["base_url"])


def used(count: int) -> dict[str, Any]:
    return {**PLAN, "devicesUsed": count, "remaining": 3 - count}


def without_id(answer: dict[str, Any]) -> dict[str, Any]:
    """A decision without its request id, which must be a fresh UUID."""
    assert UUID.fullmatch(answer.pop("request_id"))
    return answer


def test_these_are_all_of_its_methods() -> None:
    public = {name for name, _ in inspect.getmembers(MachineID, callable) if not name.startswith("_")}
    assert public == METHODS


def test_every_method(sdk: MachineID) -> None:
    about = {"handler": "devices/register", "deviceId": DEVICE, **used(1)}
    assert sdk.list_devices() == {"status": "ok", "handler": "devices/list", "devices": []}
    assert sdk.register(DEVICE) == {"status": "ok", **about}
    assert sdk.register(DEVICE) == {"status": "exists", **about}
    assert without_id(sdk.validate(DEVICE)) == {"allowed": True, "code": "ALLOW"}
    revoked = {"status": "ok", "handler": "devices/revoke", "deviceId": DEVICE, "revoked": True}
    assert sdk.revoke(DEVICE) == revoked
    assert without_id(sdk.validate(DEVICE)) == {"allowed": False, "code": "DEVICE_REVOKED"}
    assert sdk.list_devices()["devices"] == [{"deviceId": DEVICE, "revoked": True}]
    restored = {"status": "ok", "handler": "devices/unrevoke", "deviceId": DEVICE, "revoked": False}
    assert sdk.unrevoke(DEVICE) == restored
    assert sdk.restore(DEVICE) == restored
    assert without_id(sdk.validate(DEVICE)) == {"allowed": True, "code": "ALLOW"}
    assert sdk.usage() == {"status": "ok", "handler": "usage", **used(1)}
    assert sdk.remove(DEVICE) == {"status": "ok", "handler": "devices/remove", "deviceId": DEVICE}
    assert without_id(sdk.validate(DEVICE)) == {"allowed": False, "code": "DEVICE_NOT_REGISTERED"}
    assert sdk.usage() == {"status": "ok", "handler": "usage", **used(0)}


def test_from_env(sdk: MachineID, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINEID_ORG_KEY", sdk.org_key)
    assert MachineID.from_env(base_url=server["base_url"]).usage() == sdk.usage()


def test_an_error_is_json_that_it_returns(server: dict[str, Any]) -> None:
    """It never raises on a status."""
    answer = MachineID("org_nobodys", base_url=server["base_url"]).validate(DEVICE)
    assert answer == {
        "status": "error",
        "error": "invalid_org_key",
        "message": "The org key is not valid.",
        "handler": "devices/validate",
    }


def test_what_is_no_json_it_raises(sdk: MachineID, console: Client) -> None:
    rule = console.add_fault("not-json=html operation=usage")
    try:
        with pytest.raises(RuntimeError, match=r"non-JSON response \(status=200\)"):
            sdk.usage()
    finally:
        console.remove_fault(rule.id)
