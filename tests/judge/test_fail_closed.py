from __future__ import annotations

from typing import Any

import pytest

from machineid_conformance.judge.api import Case, Rule
from machineid_conformance.judge.rules import fail_closed_classes
from machineid_conformance.judge.rules.fail_closed_classes import CLASSES
from machineid_conformance.trace.events import FaultDelivered, FaultWithheld, RedirectFollowed
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, boundary, idle_baseline, target, webhook

RULES = {rule.id: rule for rule in fail_closed_classes.RULES}
TWO = target(devices=(DEVICE, OTHER))
STATUSES = {"server-error": 503, "client-error": 429, "contradiction": 500, "redirect": 307}
DECISIONS = {"not-json", "no-decision", "not-boolean"}
LISTENERS = {"refused": "refused", "dns": "dns", "tls": "tls"}
ENDINGS = {"reset": "reset", "hang": "gave-up", "late-allow": "gave-up", "slow-body": "gave-up", "truncated": "cut-off"}


def begun(n: int = 1) -> Trace:
    """A run pinned to the n-th validate: n - 1 allows, each with its side effect."""
    trace = Trace(subject="validate", n=n).spawn().register()
    for _ in range(n - 1):
        trace.allow().effect()
    return trace


def strike(trace: Trace, name: str, fault: str) -> Trace:
    """The failure of a class, with its receipt."""
    if name in LISTENERS:
        return trace.unreachable(LISTENERS[name], fault=fault)
    if name in ENDINGS:
        return trace.fail(ENDINGS[name], fault=fault)
    return trace.error(STATUSES.get(name, 200), fault=fault)


EACH = [(row.id, fault) for row in CLASSES for fault in sorted(row.faults)]


@pytest.mark.parametrize(("name", "fault"), EACH)
@pytest.mark.parametrize("n", [1, 2])
class TestEachClass:
    def rule(self, name: str) -> Rule:
        return RULES[f"fail-closed/{name}"]

    def test_passes_when_the_target_ends(self, name: str, fault: str, n: int) -> None:
        trace = strike(begun(n), name, fault).exit(1).end()
        assert self.rule(name).check(trace.case()).outcome == "pass"

    def test_passes_when_the_target_blocks(self, name: str, fault: str, n: int) -> None:
        trace = strike(strike(begun(n), name, fault), name, fault).exit(signal="SIGTERM", by="harness").end("asked")
        assert self.rule(name).check(trace.case()).outcome == "pass"

    def test_fails_on_work_after_it(self, name: str, fault: str, n: int) -> None:
        trace = strike(begun(n), name, fault).effect().exit().end()
        observation = self.rule(name).check(trace.case())
        assert observation.outcome == "fail"
        assert trace.view.effects[-1].began == observation.findings[0].events[-1]

    def test_fails_on_a_dequeue_after_it(self, name: str, fault: str, n: int) -> None:
        trace = strike(begun(n), name, fault).dequeue(holds=False).exit().end()
        assert self.rule(name).check(trace.case()).outcome == "fail"

    def test_a_log_after_it_is_no_work(self, name: str, fault: str, n: int) -> None:
        trace = strike(begun(n), name, fault).effect("log", host="alerts.example").exit(1).end()
        assert self.rule(name).check(trace.case()).outcome == "pass"

    def test_work_after_a_fresh_allow_is_permitted(self, name: str, fault: str, n: int) -> None:
        trace = strike(begun(n), name, fault).allow().effect().exit().end()
        assert self.rule(name).check(trace.case()).outcome == "pass"

    def test_starves_without_a_receipt(self, name: str, fault: str, n: int) -> None:
        trace = begun(n).fail(fault=None).effect().exit().end()
        observation = self.rule(name).check(trace.case())
        assert observation.outcome == "uncounted"
        assert "not delivered" in (observation.reason or "")

    def test_starves_when_the_fault_was_withheld(self, name: str, fault: str, n: int) -> None:
        trace = begun(n).add(FaultWithheld(fault=fault, variant=None, why="the client was gone")).exit().end()
        observation = self.rule(name).check(trace.case())
        assert observation.outcome == "uncounted"
        assert "the client was gone" in (observation.reason or "")

    def test_starves_without_work_in_the_baseline(self, name: str, fault: str, n: int) -> None:
        trace = strike(begun(n), name, fault).exit(1).end()
        observation = self.rule(name).check(trace.case(fault_free=idle_baseline()))
        assert observation.outcome == "uncounted"
        assert "no work" in (observation.reason or "")

    def test_starves_when_another_fault_was_delivered(self, name: str, fault: str, n: int) -> None:
        trace = begun(n).fail(fault="latency").exit(1).end()
        assert "latency" in (self.rule(name).check(trace.case()).reason or "")


@pytest.mark.parametrize(("name", "fault"), [each for each in EACH if each[0] not in LISTENERS])
def test_the_allow_of_another_device_permits_nothing(name: str, fault: str) -> None:
    trace = strike(begun(), name, fault).allow(device=OTHER)
    rule = RULES[f"fail-closed/{name}"]
    assert rule.check(trace.effect(device=OTHER).case(TWO)).outcome == "pass"
    assert rule.check(trace.effect().exit().end().case(TWO)).outcome == "fail"


def test_a_failed_connect_refuses_every_device() -> None:
    trace = Trace(subject="validate", n=3).spawn().register().allow().register(device=OTHER).allow(device=OTHER)
    trace.unreachable(fault="refuse").effect(device=OTHER).exit().end()
    assert RULES["fail-closed/refused"].check(trace.case(TWO)).outcome == "fail"


def test_work_of_another_device_before_the_failure_is_no_violation_of_it() -> None:
    trace = begun().effect(device=OTHER)  # startup/gate's business
    assert RULES["fail-closed/reset"].check(trace.fail().exit(1).end().case(TWO)).outcome == "pass"


def test_work_that_started_while_the_call_hung_was_not_awaited() -> None:
    for trace in (begun(), begun(2)):
        trace.ask().effect().lose("gave-up", waited=2.0).receipt("hang").exit(1).end()
        assert RULES["fail-closed/hang"].check(trace.case()).outcome == "fail"


def test_an_effect_that_had_started_before_is_no_violation() -> None:
    trace = begun().allow().begin().fail().finish().exit(1).end()
    assert RULES["fail-closed/reset"].check(trace.case()).outcome == "pass"


def test_at_two_workers_one_permitted_effect_may_still_arrive() -> None:
    two = target(concurrency=2)
    trace = begun().allow().ask().lose("reset").receipt("reset").effect()
    assert RULES["fail-closed/reset"].check(trace.case(two)).outcome == "pass"
    assert RULES["fail-closed/reset"].check(trace.effect().case(two)).outcome == "fail"


def test_an_allow_behind_a_bad_certificate_is_no_permit() -> None:
    trace = begun().unreachable("tls", fault="certificate")
    trace.add(RedirectFollowed(connection=1, instance=1, method="POST", host="machineid.io"))
    rule = RULES["fail-closed/tls"]
    assert rule.check(trace.case()).outcome == "pass"
    assert rule.check(trace.effect().exit().end().case()).outcome == "fail"


def test_an_allow_of_the_very_call_under_fault_is_no_permit() -> None:
    trace = begun().allow().receipt("redirect").effect().exit().end()
    assert RULES["fail-closed/redirect"].check(trace.case()).outcome == "fail"


def followed(host: str, *secrets: str) -> Trace:
    trace = begun().error(302, fault="redirect")
    return trace.add(RedirectFollowed(connection=9, instance=1, method="GET", host=host, secrets=secrets)).exit(1).end()


def test_a_redirect_that_is_followed_without_work_is_noted() -> None:
    observation = RULES["fail-closed/redirect"].check(followed("mirror.example").case())
    assert (observation.outcome, observation.notes) == ("pass", ("followed a redirect to mirror.example",))


def test_a_redirect_that_takes_the_key_elsewhere_fails() -> None:
    observation = RULES["fail-closed/redirect"].check(followed("mirror.example", "header x-org-key").case())
    assert observation.outcome == "fail"
    assert "mirror.example" in observation.findings[0].message
    assert RULES["fail-closed/redirect"].check(followed("machineid.io", "header x-org-key").case()).outcome == "pass"


def test_a_hang_that_is_cut_off_was_never_given_up() -> None:
    trace = begun().fail("cut-off", fault="hang", waited=60.0).exit(1).end()
    observation = RULES["fail-closed/hang"].check(trace.case())
    assert observation.outcome == "fail"
    assert "60 s" in observation.findings[0].message
    early = begun().fail("cut-off", fault="hang", waited=5.0).exit(1).end()
    assert RULES["fail-closed/hang"].check(early.case()).outcome == "uncounted"
    drip = begun().fail("cut-off", fault="slow-body", waited=30.0).exit(1).end()
    assert RULES["fail-closed/slow-body"].check(drip.case()).outcome == "pass"


def test_a_status_belongs_to_one_of_two_classes() -> None:
    trace = begun().error(404, fault="status").effect().exit().end()
    assert RULES["fail-closed/client-error"].check(trace.case()).outcome == "fail"
    assert RULES["fail-closed/server-error"].check(trace.case()).outcome == "uncounted"


def test_a_fault_that_struck_a_register_only_does_not_count() -> None:
    trace = Trace(subject="validate", n=1).spawn().ask("register").answer(None, status=503)
    receipt = FaultDelivered(
        fault="status", variant=None, call=1, connection=1, operation="register", device=DEVICE, evidence="seen"
    )
    trace.add(receipt).exit(1).end()
    assert "another kind" in (RULES["fail-closed/server-error"].check(trace.case()).reason or "")


def test_a_webhook_is_stopped_when_it_answers_the_denied_status() -> None:
    for status, outcome in ((403, "pass"), (200, "fail")):
        trace = begun(2).stimulus().fail().replied(status).exit(signal="SIGTERM", by="harness").end("stimuli")
        assert RULES["fail-closed/reset"].check(trace.case(webhook())).outcome == outcome


# -- what is enough ------------------------------------------------------------------------------------------------------


def counted(n: int | None, **fault_free: Any) -> Case:
    return Trace(subject="validate", n=n).case(fault_free=baseline(**fault_free))


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_a_class_needs_startup_and_a_later_boundary(rule: Rule) -> None:
    one = {"boundaries": (boundary(1, "startup"), boundary(2, work_after=False))}
    assert rule.starved([counted(1), counted(3)]) is None
    assert "startup" in (rule.starved([counted(3)]) or "")
    assert "later" in (rule.starved([counted(1)]) or "")
    assert rule.starved([counted(1, **one)]) is None


def test_dns_does_not_apply_in_proxy_isolation() -> None:
    rule = RULES["fail-closed/dns"]
    assert "namespace" in (rule.not_applicable(target(isolation="proxy"), baseline()) or "")
    assert rule.not_applicable(target(), baseline()) is None


def test_tls_does_not_apply_to_a_target_without_it() -> None:
    rule = RULES["fail-closed/tls"]
    assert "https" in (rule.not_applicable(target(), baseline(uses_https=False)) or "")
    assert rule.not_applicable(target(), baseline()) is None


def test_the_levels_are_those_of_the_table() -> None:
    should = {name for name, rule in RULES.items() if rule.level == "SHOULD"}
    assert should == {"fail-closed/contradiction", "fail-closed/redirect", "fail-closed/not-boolean"}
    assert len(RULES) == 15
