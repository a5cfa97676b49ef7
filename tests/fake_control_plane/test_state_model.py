"""Random lives of two orgs, against a model that knows nothing but what was done, in order.

The model has no state of its own: each question is answered by reading the whole log again, so that it shares no
structure with what it checks.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fake_control_plane.answers import Answer
from fake_control_plane.dialects import CURRENT, LEGACY, Dialect
from fake_control_plane.state import ControlPlane

CAPS = {"free": 3, "pro": 25, "scale": 250, "max": 1000}
DEVICES = ("a", "b", "c", "d", "e")

orgs = st.sampled_from([0, 1])
devices = st.sampled_from(DEVICES)
calls = st.sampled_from(["register", "validate", "revoke", "unrevoke", "remove"])


@dataclass(frozen=True)
class Deed:
    """One line of the log. ``at``: the time when it was done."""

    org: int
    what: str
    value: Any
    at: float


class Log:
    """What was done, and what follows from it at a time."""

    def __init__(self) -> None:
        self.deeds: list[Deed] = []

    def of(self, org: int, *whats: str) -> list[Deed]:
        return [deed for deed in self.deeds if deed.org == org and deed.what in whats]

    def latest(self, org: int, *whats: str, default: Any) -> Any:
        found = self.of(org, *whats)
        return found[-1].value if found else default

    def devices(self, org: int) -> list[str]:
        """Registered devices: each stands where it last came in after it was last out."""
        order: list[str] = []
        for deed in self.of(org, "in", "out"):
            if deed.what == "out":
                order = [device for device in order if device != deed.value]
            elif deed.value not in order:
                order = [*order, deed.value]
        return order

    def revoked(self, org: int, device: str) -> bool:
        about = [deed.what for deed in self.of(org, "out", "revoke", "restore") if deed.value == device]
        return about[-1:] == ["revoke"]

    def plan(self, org: int, now: float) -> tuple[str, int]:
        """The plan and its cap."""
        plan, cap, end = "free", None, None
        for deed in self.of(org, "plan", "cap", "cancel"):
            if end is not None and deed.at >= end and deed.what != "cancel":
                plan, cap, end = "free", None, None
            if deed.what == "plan":
                plan, cap, end = deed.value, None, None
            elif deed.what == "cap":
                cap = deed.value
            else:
                end = deed.value
        if end is not None and now >= end:
            return "free", 3
        return plan, CAPS[plan] if cap is None else cap

    def code(self, org: int, device: str, now: float) -> str:
        state = self.latest(org, "state", default="active")
        known = self.devices(org)
        if self.latest(org, "switch", default="on") == "off":
            return "ORG_DISABLED"
        if state == "frozen":
            return "PLAN_FROZEN"
        if state != "active":
            return "PLAN_NOT_ACTIVE"
        if device not in known:
            return "DEVICE_NOT_REGISTERED"
        if self.revoked(org, device):
            return "DEVICE_REVOKED"
        if known.index(device) + 1 > self.plan(org, now)[1]:
            return "DEVICE_LIMIT_EXCEEDED"
        return "ALLOW"


class Lives(RuleBasedStateMachine):
    dialect: Dialect = CURRENT

    @initialize()
    def begin(self) -> None:
        self.now = 1000.0
        self.ids = itertools.count(1)
        self.keys = itertools.count(1)
        self.plane = ControlPlane(
            new_id=lambda: f"id-{next(self.ids)}",
            new_key=lambda: f"org_{next(self.keys)}",
            now=lambda: self.now,
            dialect=self.dialect,
        )
        self.key = [self.plane.add_org(), self.plane.create_org().body["orgApiKey"]]
        self.old_keys: list[str] = []
        self.request_ids: list[str] = []
        self.log = Log()

    def did(self, org: int, what: str, value: Any = None) -> None:
        self.log.deeds.append(Deed(org, what, value, self.now))

    # -- clients -------------------------------------------------------------------------------------------------------

    @rule(org=orgs, device=devices)
    def register(self, org: int, device: str) -> None:
        known = self.log.devices(org)
        full = len(known) >= self.log.plan(org, self.now)[1]
        expected = "exists"
        if device in known:
            if self.dialect is LEGACY and self.log.revoked(org, device):
                expected = "restored"
                self.did(org, "restore", device)
        elif full:
            expected = "limit_reached" if self.dialect is LEGACY else "blocked"
        else:
            expected = "ok"
            self.did(org, "in", device)
        answer = self.plane.register(self.key[org], device)
        assert answer.body["status"] == expected
        assert answer.status == (403 if expected == "blocked" else 200)
        assert answer.body["deviceId"] == device
        assert answer.body["devicesUsed"] == len(self.log.devices(org))
        assert "allowed" not in answer.body

    @rule(org=orgs, device=devices, action=st.sampled_from(["revoke", "unrevoke", "remove"]))
    def change_as_client(self, org: int, device: str, action: str) -> None:
        answer: Answer = getattr(self.plane, action)(self.key[org], device)
        if device in self.log.devices(org):
            assert (answer.status, answer.body["status"]) == (200, "ok")
            self.did(org, {"revoke": "revoke", "unrevoke": "restore", "remove": "out"}[action], device)
        else:
            assert (answer.status, answer.body["error"]) == (404, "device_not_found")

    @precondition(lambda self: self.old_keys)
    @rule(
        data=st.data(), device=devices, call=st.sampled_from(["register", "validate", "revoke", "unrevoke", "remove"])
    )
    def call_with_an_old_key(self, data: st.DataObject, device: str, call: str) -> None:
        answer: Answer = getattr(self.plane, call)(data.draw(st.sampled_from(self.old_keys)), device)
        assert (answer.status, answer.body["error"], answer.decision) == (401, "invalid_org_key", "failure")
        assert "allowed" not in answer.body

    # -- the operator --------------------------------------------------------------------------------------------------

    @rule(org=orgs, device=devices, action=st.sampled_from(["revoke", "restore", "remove"]))
    def change_as_operator(self, org: int, device: str, action: str) -> None:
        there: bool = getattr(self.plane, f"operator_{action}")(self.key[org], device)
        assert there == (device in self.log.devices(org))
        if there:
            self.did(org, "out" if action == "remove" else action, device)

    @rule(org=orgs, on=st.booleans())
    def switch(self, org: int, on: bool) -> None:
        (self.plane.operator_enable if on else self.plane.operator_disable)(self.key[org])
        self.did(org, "switch", "on" if on else "off")

    @rule(org=orgs, state=st.sampled_from(["active", "active", "frozen", "past_due"]))
    def set_plan_state(self, org: int, state: str) -> None:
        self.plane.operator_set_plan_state(self.key[org], state)
        self.did(org, "state", state)

    @rule(org=orgs, plan=st.sampled_from(list(CAPS)))
    def set_plan(self, org: int, plan: str) -> None:
        self.plane.operator_set_plan(self.key[org], plan)
        self.did(org, "plan", plan)

    @rule(org=orgs, cap=st.integers(0, 6))
    def set_cap(self, org: int, cap: int) -> None:
        self.plane.operator_set_cap(self.key[org], cap)
        self.did(org, "cap", cap)

    @rule(org=orgs, later=st.sampled_from([0.0, 10.0, 100.0]))
    def cancel(self, org: int, later: float) -> None:
        # Over already: the plan that is cancelled is the free one, which the model would not know.
        if self.log.plan(org, self.now)[0] == "free":
            return
        self.plane.operator_cancel_plan(self.key[org], access_until=self.now + later)
        self.did(org, "cancel", self.now + later)

    @rule(seconds=st.sampled_from([1.0, 10.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(org=orgs)
    def rotate(self, org: int) -> None:
        self.old_keys.append(self.key[org])
        self.key[org] = self.plane.operator_rotate(self.key[org])
        assert self.key[org] not in self.old_keys

    # -- what must hold after each -------------------------------------------------------------------------------------

    @invariant()
    def decisions_follow_from_what_was_done(self) -> None:
        for org, device in itertools.product((0, 1), DEVICES):
            expected = self.log.code(org, device, self.now)
            answer = self.plane.validate(self.key[org], device)
            assert (answer.status, set(answer.body)) == (200, {"allowed", "code", "request_id"})
            assert (answer.body["code"], answer.body["allowed"]) == (expected, expected == "ALLOW")
            self.request_ids.append(answer.body["request_id"])
            legacy = self.plane.validate_legacy(self.key[org], device).body
            if expected == "ALLOW":
                assert legacy == {"valid": True}
            else:
                assert legacy == {"valid": False, "revoked": expected == "DEVICE_REVOKED"}
        assert len(set(self.request_ids)) == len(self.request_ids)

    @invariant()
    def list_and_usage_agree_with_what_was_done(self) -> None:
        for org in (0, 1):
            known = self.log.devices(org)
            listed = self.plane.list(self.key[org]).body["devices"]
            assert listed == [{"deviceId": device, "revoked": self.log.revoked(org, device)} for device in known]
            plan, cap = self.log.plan(org, self.now)
            usage = self.plane.usage(self.key[org]).body
            billing = self.plane.billing_summary(self.key[org]).body
            assert {**usage, "handler": ""} == {**billing, "handler": ""}
            assert (usage["planTier"], usage["limit"], usage["devicesUsed"]) == (plan, cap, len(known))
            assert usage["remaining"] == (cap - len(known) if cap > len(known) else 0)
            assert usage["overLimit"] is (len(known) > cap)


class LegacyLives(Lives):
    dialect = LEGACY


@pytest.mark.parametrize("machine", [Lives, LegacyLives])
def test_the_state_agrees_with_the_log(machine: type[Lives]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            derandomize=True,  # the same lives at each run
            deadline=None,  # a busy machine must not fail a test
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
