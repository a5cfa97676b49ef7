"""What is public of the MachineID API, and what is assumed beside it, against a running server: one row a fact.

A *public* fact is what the official SDK, the starter templates and the documents say; an *assumed* one is what they leave open and
the fake chose. Where public sources disagree a row says which dialect it is of, and must not hold in the other. Each row is
played on an org of its own, through the data port and the console.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from fake_control_plane.client import Client
from tests.fake_control_plane.serving.servers import process
from tests.fake_control_plane.world import DEVICE, FACTS, World, assumed, public


@pytest.fixture(scope="module", params=["current", "legacy"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[], World]]]:
    with ExitStack() as stack:
        found = stack.enter_context(process("--dialect", request.param))
        console = stack.enter_context(Client(found["admin_url"]))
        data = stack.enter_context(httpx.Client(base_url=found["base_url"], trust_env=False))
        yield request.param, lambda: World(found, console, data)


@public("org/create answers status ok, an orgApiKey that begins with org_, handler org_create")
def _(w: World) -> None:
    body = w.create().json()
    assert body.pop("orgApiKey").startswith("org_")
    assert body == {"status": "ok", "handler": "org_create"}


@public("the key goes in x-org-key, for GET too")
def _(w: World) -> None:
    assert w.read("usage").status_code == 200


@public("a key in the URL is none")
def _(w: World) -> None:
    assert w.read(f"usage?x-org-key={w.key}", **{"x-org-key": ""}).status_code == 401


@public("register of a new device answers ok")
def _(w: World) -> None:
    assert w.register() == "ok"


@public("register of an active device answers exists")
def _(w: World) -> None:
    w.register()
    assert w.register() == "exists"


@public("register has the documented fields")
def _(w: World) -> None:
    fields = (
        "status handler deviceId planTier planState accessUntil limit devicesUsed remaining overLimit softGraceWindow"
    )
    assert set(w.ask("register").json()) == set(fields.split())


@public("register does not restore (the current SDK)", only="current")
def _(w: World) -> None:
    w.register()
    w.ask("revoke")
    assert (w.register(), w.code()) == ("exists", "DEVICE_REVOKED")


@public("register restores a revoked device (older docs)", only="legacy")
def _(w: World) -> None:
    w.register()
    w.ask("revoke")
    assert (w.register(), w.code()) == ("restored", "ALLOW")


@public("at the cap register is 403, blocked, device_limit_reached (current docs)", only="current")
def _(w: World) -> None:
    w.full()
    answer = w.ask("register", "d")
    body = answer.json()
    assert (answer.status_code, body["status"], body.get("error")) == (403, "blocked", "device_limit_reached")


@public("at the cap register is limit_reached, overLimit (pricing and API pages)", only="legacy")
def _(w: World) -> None:
    w.full()
    body = w.ask("register", "d").json()
    assert (body["status"], body["overLimit"]) == ("limit_reached", True)


@public("at the cap existing devices keep validating, and new ones are blocked")
def _(w: World) -> None:
    w.full()
    w.register("d")
    assert [w.code(device) for device in "abcd"] == ["ALLOW", "ALLOW", "ALLOW", "DEVICE_NOT_REGISTERED"]


@public("validate answers allowed, code and request_id")
def _(w: World) -> None:
    assert set(w.ask("validate").json()) == {"allowed", "code", "request_id"}


@public("request_id is a UUID, another at each validate")
def _(w: World) -> None:
    first, second = (w.ask("validate").json()["request_id"] for _ in range(2))
    assert str(uuid.UUID(first)) == first != second


@public("an active device is allowed with ALLOW")
def _(w: World) -> None:
    w.register()
    assert w.code() == "ALLOW"


@public("a revoked device is denied with DEVICE_REVOKED")
def _(w: World) -> None:
    w.register()
    w.ask("revoke")
    assert w.code() == "DEVICE_REVOKED"


@public("a frozen plan denies with PLAN_FROZEN")
def _(w: World) -> None:
    w.register()
    w.console.set_plan_state(w.org, "frozen")
    assert w.code() == "PLAN_FROZEN"


@public("a plan that is not active denies with PLAN_NOT_ACTIVE")
def _(w: World) -> None:
    w.register()
    w.console.set_plan_state(w.org, "past_due")
    assert w.code() == "PLAN_NOT_ACTIVE"


@public("validate by GET: valid true, or valid false and revoked true (legacy docs)")
def _(w: World) -> None:
    w.register()
    assert w.read(f"devices/validate?deviceId={DEVICE}").json() == {"valid": True}
    w.ask("revoke")
    assert w.read(f"devices/validate?deviceId={DEVICE}").json() == {"valid": False, "revoked": True}


@public("list has all devices of the org with their revoked state")
def _(w: World) -> None:
    w.full()
    w.ask("revoke", "b")
    assert [device["revoked"] for device in w.read("devices/list").json()["devices"]] == [False, True, False]


@public("unrevoke lifts a revoke at the next validate")
def _(w: World) -> None:
    w.register()
    w.ask("revoke")
    w.ask("unrevoke")
    assert w.code() == "ALLOW"


@public("remove gives the place back")
def _(w: World) -> None:
    w.full()
    w.ask("remove", "a")
    assert w.register("d") == "ok"


@public("usage has plan tier, limit and devicesUsed")
def _(w: World) -> None:
    w.full()
    assert w.usage("planTier", "limit", "devicesUsed") == ("free", 3, 3)


@public("billing/summary is there")
def _(w: World) -> None:
    assert w.read("billing/summary").status_code == 200


@public("the plans: free 3, pro 25, scale 250, max 1000")
def _(w: World) -> None:
    assert [w.console.set_plan(w.org, plan).limit for plan in ("free", "pro", "scale", "max")] == [3, 25, 250, 1000]


@public("custom limits above the plans")
def _(w: World) -> None:
    w.console.set_cap(w.org, 1200)
    assert w.usage("limit") == (1200,)


@public("caps change at once on upgrade")
def _(w: World) -> None:
    w.full()
    w.console.set_plan(w.org, "pro")
    assert w.register("d") == "ok"


@public("caps change at once on downgrade")
def _(w: World) -> None:
    w.console.set_plan(w.org, "pro")
    w.console.register(w.org, list("abcd"))
    w.console.set_plan(w.org, "free")
    assert (w.usage("limit", "overLimit"), w.register("e") in ("blocked", "limit_reached")) == ((3, True), True)


@public("a cancelled plan stays active to the end of its cycle, accessUntil")
def _(w: World) -> None:
    w.cancelled(ends_in=3600)
    assert w.usage("planTier", "planState", "limit") == ("pro", "active", 25)
    assert w.usage("accessUntil") != (None,)
    assert w.code("d") == "ALLOW"


@public("at accessUntil the org is re-capped to 3")
def _(w: World) -> None:
    w.cancelled(ends_in=3600)
    w.console.advance_clock(3601)
    assert w.usage("planTier", "limit", "overLimit") == ("free", 3, True)


@public("org-wide disable denies every validate and leaves each device's own state")
def _(w: World) -> None:
    w.full()
    w.ask("revoke", "b")
    w.console.disable(w.org)
    assert [w.ask("validate", device).json()["allowed"] for device in "abc"] == [False] * 3
    w.console.enable(w.org)
    assert [w.code(device) for device in "abc"] == ["ALLOW", "DEVICE_REVOKED", "ALLOW"]


@public("revoke, restore and remove of the console, single and bulk, hold at the next validate")
def _(w: World) -> None:
    w.full()
    w.console.revoke(w.org, ["a", "b"])
    w.console.restore(w.org, ["b"])
    w.console.remove(w.org, ["c"])
    assert [w.code(device) for device in "abc"] == ["DEVICE_REVOKED", "ALLOW", "DEVICE_NOT_REGISTERED"]


@public("the console rotates the key")
def _(w: World) -> None:
    w.register()
    assert w.ask("validate", key=w.console.rotate_key(w.org).key).json()["allowed"] is True


@assumed("a denied validate is HTTP 200")
def _(w: World) -> None:
    assert w.ask("validate").status_code == 200


@assumed("an unknown device is denied with DEVICE_NOT_REGISTERED")
def _(w: World) -> None:
    assert w.code() == "DEVICE_NOT_REGISTERED"


@assumed("org-wide disable denies with ORG_DISABLED")
def _(w: World) -> None:
    w.register()
    w.console.disable(w.org)
    assert w.code() == "ORG_DISABLED"


@assumed("over a lowered cap the devices registered last are denied with DEVICE_LIMIT_EXCEEDED")
def _(w: World) -> None:
    w.full()
    w.console.set_cap(w.org, 2)
    assert [w.code(device) for device in "abc"] == ["ALLOW", "ALLOW", "DEVICE_LIMIT_EXCEEDED"]


@assumed("register is changed neither by org disable nor by the plan's state")
def _(w: World) -> None:
    w.console.disable(w.org)
    w.console.set_plan_state(w.org, "frozen")
    assert w.register() == "ok"


@assumed("a refused register leaves the device unregistered")
def _(w: World) -> None:
    w.full()
    w.register("d")
    assert w.code("d") == "DEVICE_NOT_REGISTERED"


@assumed("after a rotation the old key gets 401 with a JSON body that has no allowed")
def _(w: World) -> None:
    w.register()
    w.console.rotate_key(w.org)
    answer = w.ask("validate")
    assert (answer.status_code, answer.json()["status"], "allowed" in answer.json()) == (401, "error", False)


@assumed("an org starts empty")
def _(w: World) -> None:
    assert w.read("devices/list").json()["devices"] == []


@assumed("a revoked device keeps its place of the cap")
def _(w: World) -> None:
    w.full()
    w.ask("revoke", "a")
    w.register("d")
    assert w.code("d") == "DEVICE_NOT_REGISTERED"


@assumed("revoke, unrevoke and remove of an unknown device are 404")
def _(w: World) -> None:
    assert [w.ask(what).status_code for what in ("revoke", "unrevoke", "remove")] == [404] * 3


@assumed("an endpoint's other methods are 405 with Allow")
def _(w: World) -> None:
    answer = w.read("devices/revoke")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact(fact: str, server: tuple[str, Callable[[], World]]) -> None:
    dialect, world = server
    row, only = FACTS[fact]
    if only in (None, dialect):
        row(world())
    else:
        with pytest.raises(AssertionError):
            row(world())


def test_every_code_can_be_overridden() -> None:
    """Documented and assumed ones alike, on a server that runs."""
    codes = {
        "allow": "A",
        "org-disabled": "B",
        "plan-frozen": "C",
        "plan-not-active": "D",
        "device-not-registered": "E",
        "device-revoked": "F",
        "device-limit-exceeded": "G",
    }
    with (
        process() as found,
        Client(found["admin_url"]) as console,
        httpx.Client(base_url=found["base_url"], trust_env=False) as data,
    ):
        console.set_codes(codes)
        w = World(found, console, data)

        def code(device: str) -> str:
            return str(w.ask("validate", device).json()["code"])

        w.full()
        console.revoke(w.org, ["b"])
        console.set_cap(w.org, 2)
        said = [code(device) for device in "abcd"]
        for state in ("past_due", "frozen"):
            console.set_plan_state(w.org, state)
            said.append(code("a"))
        console.disable(w.org)
        said.append(code("a"))
        assert "".join(said) == "AFGEDCB"
