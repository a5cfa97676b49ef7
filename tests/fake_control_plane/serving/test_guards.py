"""What keeps a fake that was left behind from being a kill switch that always allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fake_control_plane.api import ENDPOINTS, Request
from fake_control_plane.faults.redirect import REDIRECT_HOST
from fake_control_plane.org import OrgSettings
from fake_control_plane.serving.guards import EXPIRED, Guards
from fake_control_plane.serving.identifiers import OrgKeys
from fake_control_plane.serving.parts import Saved, SavedOrg
from fake_control_plane.serving.server import BEYOND_LOOPBACK, Settings
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.standing import Standing

DEVICE = "worker:dev:queue:01"


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fast_path(service: Service, key: str, device: str) -> object:
    return service.validate(Standing(key, device))


def asking(key: str, path: str, method: str = "POST", device: str = DEVICE) -> Request:
    target = path if method == "POST" else f"{path}?deviceId={device}"
    body = json.dumps({"deviceId": device}).encode() if method == "POST" else b""
    return Request(method=method, target=target, headers=(("x-org-key", key),), body=body)


def answer(service: Service, request: Request) -> tuple[int, Mapping[str, Any]]:
    served = service.call(request)
    service.settle(served)
    return served.answer.status, served.answer.body


def test_when_it_has_expired_every_call_is_denied_for_good() -> None:
    time = Time()
    service = Service(guards=Guards(expires_at=1060.0, clock=time))
    org = service.add_org()
    service.register(org.id, [DEVICE])
    service.add_fault("late-allow")  # which dangles an allow
    validate = "/api/v1/devices/validate"
    time.now = 1059.9
    assert service.guards.remaining == pytest.approx(0.1)
    service.clear_faults()
    standing = Standing(org.key, DEVICE)
    assert service.validate(standing) is not None
    assert service.validate(standing) is not None
    rule = service.add_fault("late-allow")
    time.now = 1060.0
    service.move_clock(-1e6)  # the clock that can be moved is another
    service.remove_fault(rule.id)
    assert service.validate(standing) is None  # the fast path takes nothing any more
    assert fast_path(service, org.key, DEVICE) is None
    rule = service.add_fault("late-allow")
    assert service.validate(standing) is None
    status, body = answer(service, asking(org.key, validate))
    assert (status, body["allowed"], body["code"]) == (200, False, EXPIRED)
    assert len(body["request_id"]) == 36
    assert answer(service, asking(org.key, validate, "GET")) == (200, {"valid": False, "revoked": False})
    for path, methods in ENDPOINTS.items():
        for method, operation in methods.items():
            if operation != "validate":
                status, body = answer(service, asking(org.key, path, method))
                assert (status, body["error"]) == (403, "fake_expired"), path
                assert "allowed" not in body
    assert service.fault(rule.id)["hits"] == 0
    assert len(service.orgs()) == 1
    assert service.connect() is None


@pytest.mark.parametrize(
    ("host", "expires", "life"),
    [
        ("127.0.0.1", None, None),
        ("localhost", None, None),
        ("::1", None, None),
        ("127.0.0.1", 60.0, 60.0),
        ("0.0.0.0", None, BEYOND_LOOPBACK),
        ("::", None, BEYOND_LOOPBACK),
        ("192.0.2.1", None, BEYOND_LOOPBACK),
        ("staging.example", None, BEYOND_LOOPBACK),
        ("0.0.0.0", 86400.0, 86400.0),
    ],
)
def test_beyond_loopback_it_always_expires(host: str, expires: float | None, life: float | None) -> None:
    assert Settings(host=host, expires=expires).life == life


def test_only_keys_that_it_minted_itself_are_accepted() -> None:
    service = Service()
    org = service.add_org()
    service.register(org.id, [DEVICE])
    assert org.key.startswith("org_fake_")
    for stranger in ("org_0123456789abcdef", OrgKeys()(), org.key + "x", org.key.upper(), ""):
        assert fast_path(service, stranger, DEVICE) is None
        assert answer(service, asking(stranger, "/api/v1/devices/validate"))[0] == 401
    rotated = service.rotate(org.id)
    assert answer(service, asking(org.key, "/api/v1/devices/validate"))[0] == 401
    assert answer(service, asking(rotated, "/api/v1/devices/validate"))[0] == 200


class Stored:
    """A store that was written by somebody else."""

    def __init__(self, saved: Saved) -> None:
        self.saved = saved

    def load(self) -> Saved:
        return self.saved

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name}: nothing is to be stored")


def test_a_real_key_is_not_accepted_from_a_file_either() -> None:
    saved = Saved(orgs=[SavedOrg(id="org-1", key="org_0123456789abcdef", settings=OrgSettings())])
    with pytest.raises(ValueError, match="org-1 was not minted by a fake") as raised:
        Service(store=Stored(saved))
    assert "0123456789abcdef" not in str(raised.value)


@pytest.mark.parametrize("host", ["fake", REDIRECT_HOST])
def test_the_allow_behind_a_redirect_is_for_its_own_orgs_and_while_the_rule_lasts(host: str) -> None:
    service = Service()
    org = service.add_org()

    def followed(key: str) -> tuple[int, object]:
        request = asking(key, "/api/v1/devices/validate?continue=1")
        status, body = answer(service, replace(request, host=host))
        return status, body.get("allowed")

    assert followed(org.key) == (200, False)
    assert followed("org_0123456789abcdef") == (401, None)
    rule = service.add_fault("redirect=302 to=itself operation=register")
    assert followed(org.key) == (200, True)
    assert service.journal.since(0).entries[-1].rule == rule.id
    assert followed("org_0123456789abcdef") == (401, None)
    service.clear_faults()
    assert followed(org.key) == (200, False)


PRODUCTION = ("worker:prod:queue:07", "worker:PROD:queue:07")


@pytest.mark.parametrize("device", PRODUCTION)
@pytest.mark.parametrize("operation", ["register", "validate", "revoke", "unrevoke", "remove"])
def test_a_device_of_production_is_refused_and_told_why(device: str, operation: str) -> None:
    service = Service()
    org = service.add_org()
    rule = service.add_fault("late-allow")
    status, body = answer(service, asking(org.key, f"/api/v1/devices/{operation}", device=device))
    assert (status, body["status"], body["error"]) == (422, "error", "production_device")
    assert "--allow-prod" in body["message"]
    assert "allowed" not in body
    assert fast_path(service, org.key, device) is None
    assert service.fault(rule.id)["seen"] == 0
    with pytest.raises(ValueError, match="--allow-prod"):
        service.register(org.id, ["fine", device])
    assert service.devices(org.id) == ()


def test_a_device_of_production_where_it_is_allowed() -> None:
    service = Service(guards=Guards(allow_prod=True))
    org = service.add_org()
    assert service.register(org.id, PRODUCTION) == PRODUCTION
    decided = fast_path(service, org.key, PRODUCTION[0])
    assert isinstance(decided, tuple)
    assert decided[0] == "allow"
