"""startup/*: literal traces that pass, fail, starve, and violate on another device."""

from __future__ import annotations

from machineid_conformance.config.model import EffectRule, Match
from machineid_conformance.judge.api import Case
from machineid_conformance.judge.registry import rules
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, idle_baseline, target, webhook

RULES = rules()
TWO = target(devices=(DEVICE, OTHER))


def outcome(rule: str, case: Case) -> str:
    return RULES[rule].check(case).outcome


def test_gate_passes_when_work_waits_for_the_first_allow() -> None:
    assert outcome("startup/gate", Trace().spawn().register().allow().effect().exit(0).end().case()) == "pass"


def test_gate_fails_on_a_read_before_the_first_allow() -> None:
    observation = RULES["startup/gate"].check(Trace().spawn().register().read().allow().effect().end().case())
    assert observation.outcome == "fail"
    (found,) = observation.findings
    assert found.message == "GET api.example/item (effect 1) started while no allow has been answered for its device"
    assert found.events == (5,)
    assert found.got == "no decision before it"


def test_gate_fails_on_work_of_another_device() -> None:
    assert outcome("startup/gate", Trace().spawn().allow().effect(device=OTHER).end().case(TWO)) == "fail"


def test_gate_applies_anew_after_a_restart() -> None:
    trace = Trace().spawn().allow().effect().exit(0).spawn().effect().allow().end()
    assert outcome("startup/gate", trace.case()) == "fail"


def test_gate_does_not_judge_what_followed_the_fault() -> None:
    trace = Trace().spawn().operator("revoke", DEVICE).effect().deny().end()
    assert outcome("startup/gate", trace.case()) == "uncounted"


def test_gate_leaves_a_handed_over_device_to_the_handoff_rule() -> None:
    of = target(devices=(DEVICE, OTHER), effects=(EffectRule(match=Match(host="agent.*"), role="handoff"),))
    assert outcome("startup/gate", Trace().spawn().allow().effect(device=OTHER).end().case(of)) == "pass"
    assert outcome("placement/handoff", Trace().spawn().allow().effect(device=OTHER).end().case(of)) == "fail"


def test_denied_passes_when_nothing_starts_and_the_process_ends() -> None:
    trace = Trace("startup/denied").operator("revoke", DEVICE).spawn().register().deny().exit(1).end()
    assert outcome("startup/denied", trace.case()) == "pass"


def test_denied_passes_when_the_target_idles() -> None:
    trace = Trace("startup/denied").operator("revoke", DEVICE).spawn().deny().deny().end("idle")
    assert outcome("startup/denied", trace.case()) == "pass"


def test_denied_fails_on_work_after_the_deny_and_without_asking() -> None:
    asked = Trace("startup/denied").operator("revoke", DEVICE).spawn().deny().effect().exit(0).end()
    assert outcome("startup/denied", asked.case()) == "fail"
    never = Trace("startup/denied").operator("revoke", DEVICE).spawn().effect().exit(0).end()
    assert outcome("startup/denied", never.case()) == "fail"


def test_denied_fails_on_work_of_another_device_that_was_never_allowed() -> None:
    trace = Trace("startup/denied").operator("disable").spawn().deny().effect(device=OTHER).exit(0).end()
    assert outcome("startup/denied", trace.case(TWO)) == "fail"


def test_denied_fails_on_a_webhook_that_answers_as_if_allowed() -> None:
    trace = Trace("startup/denied").operator("revoke", DEVICE).spawn().stimulus().deny().replied(200).end("stimuli")
    assert outcome("startup/denied", trace.case(webhook())) == "fail"
    trace = Trace("startup/denied").operator("revoke", DEVICE).spawn().stimulus().deny().replied(403).end("stimuli")
    assert outcome("startup/denied", trace.case(webhook())) == "pass"


def test_denied_starves_without_a_refusal_and_without_work_in_the_baseline() -> None:
    never = Trace("startup/denied").operator("revoke", DEVICE).spawn().register().exit(1).end()
    observation = RULES["startup/denied"].check(never.case())
    assert observation.outcome == "uncounted"
    assert observation.reason == "the target did not ask again after the change, so nothing refused it"
    idle = Trace("startup/denied").operator("revoke", DEVICE).spawn().deny().exit(1).end()
    assert outcome("startup/denied", idle.case(fault_free=idle_baseline())) == "uncounted"


def test_unreachable_passes_fails_and_starves() -> None:
    assert outcome("startup/unreachable", Trace().spawn().unreachable().exit(1).end().case()) == "pass"
    assert outcome("startup/unreachable", Trace().spawn().unreachable().effect().exit(0).end().case()) == "fail"
    withheld = Trace().spawn().allow().effect().exit(0).end()
    observation = RULES["startup/unreachable"].check(withheld.case())
    assert (observation.outcome, observation.reason) == (
        "uncounted",
        "the trace holds no receipt that the fault was delivered",
    )


def test_unreachable_refuses_every_device() -> None:
    trace = Trace().spawn().unreachable().effect(device=OTHER).exit(0).end()
    assert outcome("startup/unreachable", trace.case(TWO)) == "fail"


def test_cap_passes_fails_and_starves() -> None:
    def start() -> Trace:
        return Trace("startup/cap").operator("cap", argument="0").spawn()

    assert outcome("startup/cap", start().register(status=403).exit(1).end().case()) == "pass"
    assert (
        outcome("startup/cap", start().register(status=403).deny(code="DEVICE_NOT_REGISTERED").end("idle").case())
        == "pass"
    )
    assert outcome("startup/cap", start().register(status=403).effect().exit(0).end().case()) == "fail"
    assert outcome("startup/cap", start().register(status=403).effect(device=OTHER).end().case(TWO)) == "fail"
    assert outcome("startup/cap", start().register().allow().effect().exit(0).end().case()) == "uncounted"
    assert outcome("startup/cap", start().exit(1).end().case()) == "uncounted"
    assert (
        outcome("startup/cap", start().register(status=403).exit(1).end().case(fault_free=idle_baseline()))
        == "uncounted"
    )


def test_cap_fails_on_a_webhook_that_answers_as_if_registered() -> None:
    trace = (
        Trace("startup/cap").operator("cap", argument="0").spawn().register(status=403).stimulus().replied(200).end()
    )
    assert outcome("startup/cap", trace.case(webhook())) == "fail"


def test_cap_applies_to_a_target_that_registers() -> None:
    assert RULES["startup/cap"].not_applicable(target(), baseline()) is None
    assert "register call" in (RULES["startup/cap"].not_applicable(target(), baseline(registers=False)) or "")
    assert RULES["startup/cap"].not_applicable(target(preregistered=True), baseline()) is not None
