from __future__ import annotations

import pytest

from machineid_conformance.judge.api import Observation, Rule
from machineid_conformance.judge.rules.degraded_flapping import Flapping
from machineid_conformance.judge.rules.degraded_fresh_allow import FreshAllow
from machineid_conformance.judge.rules.degraded_no_flags import NoFlags
from machineid_conformance.judge.rules.degraded_no_grace import NoGrace
from machineid_conformance.judge.rules.degraded_no_hammering import NoHammering
from machineid_conformance.judge.rules.degraded_no_work import NoWork
from machineid_conformance.trace.events import FaultArmed, FaultCleared, Watched
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, idle_baseline, target

TWO = target(devices=(DEVICE, OTHER))
FLAG = {"FAIL_OPEN": "1"}
FLAGGED = target(bypass_env=(FLAG,))
OUTAGE_RULES = [NoWork(), NoGrace(), NoFlags(), FreshAllow(), Flapping()]


def outage(*, environment: dict[str, str] | None = None) -> Trace:
    """At the second boundary the control plane goes: one unit was done before."""
    trace = Trace(subject="validate", n=2, environment=environment or {}).spawn().register().allow().effect()
    return trace.add(FaultArmed(fault="refuse", variant=None)).unreachable(fault="refuse")


def back(trace: Trace) -> Trace:
    return trace.add(FaultCleared(fault="refuse", variant=None))


def killed(trace: Trace, reason: str = "idle") -> Trace:
    return trace.exit(signal="SIGTERM", by="harness").end(reason)


def watched(trace: Trace, seconds: float = 20.0) -> Trace:
    return killed(trace.add(Watched(what="outage", seconds=seconds, until="watched")), "watched")


def seen(rule: Rule, trace: Trace) -> str:
    return rule.check(trace.case()).outcome


# -- what they share -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", OUTAGE_RULES, ids=lambda rule: rule.id)
class TestEachOutageRule:
    def check(self, rule: Rule, trace: Trace, **fault_free: bool) -> Observation:
        return rule.check(trace.case(FLAGGED, idle_baseline() if fault_free.get("idle") else None))

    def test_a_target_that_ended_in_the_outage_counts(self, rule: Rule) -> None:
        assert self.check(rule, outage(environment=FLAG).exit(1).end()).outcome == "pass"

    def test_starves_without_a_receipt(self, rule: Rule) -> None:
        trace = Trace(subject="validate", n=1, environment=FLAG).spawn().register().fail(fault=None).exit(1).end()
        assert self.check(rule, trace).outcome == "uncounted"

    def test_starves_without_work_in_the_baseline(self, rule: Rule) -> None:
        observation = self.check(rule, outage(environment=FLAG).exit(1).end(), idle=True)
        assert observation.outcome == "uncounted"
        assert "no work" in (observation.reason or "")


@pytest.mark.parametrize("rule", OUTAGE_RULES, ids=lambda rule: rule.id)
def test_a_late_answer_is_no_outage(rule: Rule) -> None:
    trace = Trace(environment=FLAG).spawn().register().allow().receipt("latency").effect().exit().end()
    assert rule.check(trace.case(FLAGGED)).outcome == "uncounted"


# -- no-work -------------------------------------------------------------------------------------------------------------


def test_no_work() -> None:
    assert seen(NoWork(), killed(outage())) == "pass"
    assert seen(NoWork(), killed(outage().effect())) == "fail"
    assert seen(NoWork(), killed(outage().read())) == "fail"
    assert seen(NoWork(), killed(outage().effect("ignore"))) == "pass"


def test_no_work_says_how_long_it_was_watched() -> None:
    assert NoWork().check(watched(outage()).case()).notes == ("watched for 20.0 s (outage), until watched",)
    (note,) = NoWork().check(outage().wait(5).exit(1).end().case()).notes
    assert note == "watched for 5.4 s, until the run ended (gone)"


def test_no_work_judges_the_outage_and_not_what_follows() -> None:
    assert seen(NoWork(), killed(back(outage()).effect())) == "pass"
    assert seen(NoWork(), killed(back(outage().effect()))) == "fail"


def test_an_allow_of_another_device_does_not_end_an_outage() -> None:
    trace = outage().allow(device=OTHER)
    assert NoWork().check(killed(trace.effect()).case(TWO)).outcome == "fail"
    trace = outage().allow(device=OTHER)
    assert NoWork().check(killed(trace.effect(device=OTHER)).case(TWO)).outcome == "pass"


# -- no-grace ------------------------------------------------------------------------------------------------------------


def test_no_grace_passes_when_watched_or_gone() -> None:
    observation = NoGrace().check(watched(outage()).case())
    assert (observation.outcome, observation.notes) == ("pass", ("watched for 20.0 s (outage), until watched",))
    assert seen(NoGrace(), outage().exit(1).end()) == "pass"


def test_an_end_that_is_noticed_after_the_run_is_an_end() -> None:
    late = outage().gone().end("gone").exit(1, by="harness", gone=False)
    assert seen(NoGrace(), late) == "pass"
    assert seen(FreshAllow(), late) == "pass"


def test_no_grace_fails_on_work_after_a_delay() -> None:
    observation = NoGrace().check(watched(outage().wait(10).effect()).case())
    assert observation.outcome == "fail"
    assert "after a delay" in observation.findings[0].message


def test_work_without_a_delay_is_no_works_business() -> None:
    trace = watched(outage().effect())
    assert (seen(NoGrace(), trace), seen(NoWork(), trace)) == ("pass", "fail")


def test_no_grace_starves_when_nobody_watched() -> None:
    observation = NoGrace().check(killed(outage()).case())
    assert (observation.outcome, observation.reason) == (
        "uncounted",
        "the outage was not watched over a window, and the target had not ended",
    )


def test_no_grace_on_another_device() -> None:
    trace = outage().wait(10).allow(device=OTHER).effect(device=OTHER)
    assert NoGrace().check(watched(trace).case(TWO)).outcome == "pass"
    trace = outage().wait(10).allow(device=OTHER).effect()
    assert NoGrace().check(watched(trace).case(TWO)).outcome == "fail"


# -- no-flags ------------------------------------------------------------------------------------------------------------


def test_no_flags() -> None:
    observation = NoFlags().check(killed(outage(environment=FLAG)).case(FLAGGED))
    assert (observation.outcome, observation.notes) == ("pass", ("tried with FAIL_OPEN=1",))
    observation = NoFlags().check(killed(outage(environment=FLAG).effect()).case(FLAGGED))
    assert observation.outcome == "fail"
    assert "FAIL_OPEN=1" in observation.findings[0].message


def test_no_flags_starves_without_the_flag() -> None:
    assert NoFlags().check(killed(outage().effect()).case(FLAGGED)).outcome == "uncounted"
    assert NoFlags().check(killed(outage(environment={"APP_ENV": "prod"})).case(FLAGGED)).outcome == "uncounted"


def test_no_flags_on_another_device() -> None:
    two = target(devices=(DEVICE, OTHER), bypass_env=(FLAG,))
    trace = outage(environment=FLAG).allow(device=OTHER).effect(device=OTHER)
    assert NoFlags().check(killed(trace).case(two)).outcome == "pass"
    trace = outage(environment=FLAG).allow(device=OTHER).effect()
    assert NoFlags().check(killed(trace).case(two)).outcome == "fail"


def test_no_flags_applies_where_a_flag_is_declared() -> None:
    assert "bypass_env" in (NoFlags().not_applicable(target(), baseline()) or "")
    assert NoFlags().not_applicable(FLAGGED, baseline()) is None


# -- fresh-allow ---------------------------------------------------------------------------------------------------------


def test_fresh_allow() -> None:
    observation = FreshAllow().check(killed(back(outage()).allow().effect(), "horizon").case())
    assert observation.outcome == "pass"
    assert observation.notes == ("it outlived the outage and worked again after a fresh allow",)
    assert FreshAllow().check(killed(back(outage())).case()).notes == ("it outlived the outage",)


def test_that_the_control_plane_answers_is_no_allow() -> None:
    assert seen(FreshAllow(), killed(back(outage()).effect())) == "fail"
    assert seen(FreshAllow(), killed(back(outage()).register().effect())) == "fail"
    assert seen(FreshAllow(), killed(back(outage()).ask("usage").answer(None).effect())) == "fail"


def test_work_in_the_outage_is_no_works_business() -> None:
    assert seen(FreshAllow(), killed(back(outage().effect()))) == "pass"


def test_fresh_allow_starves_when_the_outage_did_not_end() -> None:
    observation = FreshAllow().check(killed(outage()).case())
    assert (observation.outcome, observation.reason) == (
        "uncounted",
        "the outage did not end while the target was watched",
    )


def test_fresh_allow_is_each_devices_own() -> None:
    trace = back(outage()).allow(device=OTHER)
    assert FreshAllow().check(killed(trace.effect()).case(TWO)).outcome == "fail"
    trace = back(outage()).allow(device=OTHER)
    assert FreshAllow().check(killed(trace.effect(device=OTHER)).case(TWO)).outcome == "pass"


# -- flapping ------------------------------------------------------------------------------------------------------------


def flap() -> Trace:
    trace = Trace().spawn().register().error(503, fault="status")
    return back(trace).allow().effect().error(503, fault="status")


def test_flapping() -> None:
    assert seen(Flapping(), killed(back(flap()).allow().effect())) == "pass"
    assert seen(Flapping(), killed(flap().effect())) == "fail"


def test_a_backlog_may_not_share_an_allow() -> None:
    observation = Flapping().check(killed(back(flap()).allow().effect().effect()).case())
    assert observation.outcome == "fail"
    assert "spent" in observation.findings[0].message


def test_what_lacked_a_permit_before_the_flapping_is_placements_business() -> None:
    trace = Trace().spawn().register().allow().effect().effect().error(503, fault="status").exit(1).end()
    assert seen(Flapping(), trace) == "pass"


def test_flapping_on_another_device() -> None:
    trace = killed(back(flap()).allow(device=OTHER).effect(device=OTHER))
    assert Flapping().check(trace.case(TWO)).outcome == "pass"
    trace = killed(back(flap()).allow(device=OTHER).effect())
    assert Flapping().check(trace.case(TWO)).outcome == "fail"


# -- no-hammering --------------------------------------------------------------------------------------------------------


def hammered(count: int, *, instance: int = 1, device: str = DEVICE, pause: float = -0.15) -> Trace:
    """After a deny, ``count`` validates, each 0.05 s (or more) after the one before."""
    trace = Trace().spawn().register().deny()
    for _ in range(count):
        trace.wait(pause).deny(instance=instance, device=device)
    return killed(trace, "asked")


def test_no_hammering() -> None:
    assert seen(NoHammering(), hammered(11)) == "pass"
    observation = NoHammering().check(hammered(12).case())
    assert observation.outcome == "fail"
    assert observation.findings[0].got == "12"
    assert NoHammering().check(hammered(12).case(target(concurrency=2))).outcome == "pass"
    assert seen(NoHammering(), hammered(40, pause=0.0)) == "pass"


def test_failed_connects_are_attempts() -> None:
    trace = Trace().spawn().register()
    for _ in range(13):
        trace.wait(-0.15).unreachable()
    assert seen(NoHammering(), killed(trace)) == "fail"


def test_a_fresh_allow_ends_the_count() -> None:
    trace = Trace().spawn().register()
    for _ in range(20):
        trace.wait(-0.35).deny().allow()
    assert seen(NoHammering(), killed(trace)) == "pass"


def test_many_validates_without_a_refusal_are_work() -> None:
    trace = Trace().spawn().register()
    for _ in range(20):
        trace.wait(-0.15).allow()
    assert seen(NoHammering(), killed(trace)) == "uncounted"


def test_another_instance_was_not_refused() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).deny()
    for _ in range(20):
        trace.wait(-0.15).allow(instance=2, device=OTHER)
    assert NoHammering().check(killed(trace).case(TWO)).outcome == "pass"
    trace = Trace().spawn().spawn(instance=2, device=OTHER).deny()
    for _ in range(20):
        trace.wait(-0.15).deny(instance=2, device=OTHER)
    (found,) = NoHammering().check(killed(trace).case(TWO)).findings
    assert "instance 2" in found.message


def test_a_target_that_ended_on_the_refusal_counts() -> None:
    assert seen(NoHammering(), Trace().spawn().register().deny().exit(1).end()) == "pass"
