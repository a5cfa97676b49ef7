"""stop/*: literal traces that pass, fail, starve, and violate on another device."""

from __future__ import annotations

import pytest

from machineid_conformance.judge.api import Case
from machineid_conformance.judge.latency import figures, latency
from machineid_conformance.judge.registry import rules
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, idle_baseline, target, webhook

RULES = rules()
TWO = target(devices=(DEVICE, OTHER))


def outcome(rule: str, case: Case) -> str:
    return RULES[rule].check(case).outcome


def running() -> Trace:
    """Allowed once and at work."""
    return Trace(subject="validate", n=2).spawn().register().allow().effect()


def revoked() -> Trace:
    """… and revoked before its next validate."""
    return running().operator("revoke", DEVICE)


# -- stop/next-boundary ------------------------------------------------------------------------------------------------


def test_next_boundary_passes_when_nothing_starts_after_the_deny() -> None:
    assert outcome("stop/next-boundary", revoked().deny().exit(1).end().case()) == "pass"


@pytest.mark.parametrize("role", ["side-effect", "read", "task-source", "llm-call", "tool-call"])
def test_next_boundary_fails_on_any_work_after_the_deny(role: str) -> None:
    observation = RULES["stop/next-boundary"].check(revoked().deny().effect(role).exit(1).end().case())  # type: ignore[arg-type]
    assert observation.outcome == "fail"
    (found,) = observation.findings
    assert found.events == (11, 12)
    assert found.got == f"the last decision before it: validate 2 of {DEVICE} (deny, DEVICE_REVOKED)"


def test_next_boundary_lets_an_alert_and_one_release_through_and_lists_the_release() -> None:
    observation = RULES["stop/next-boundary"].check(
        revoked().deny().effect("log").effect("release", path="/nack").exit(1).end().case()
    )
    assert observation.outcome == "pass"
    assert observation.notes == ("released after the refusal: POST api.example/nack (effect 3)",)


def test_next_boundary_allows_work_after_a_fresh_allow() -> None:
    trace = revoked().deny().operator("restore", DEVICE).allow().effect().exit(0).end()
    assert outcome("stop/next-boundary", trace.case()) == "pass"


def test_next_boundary_counts_a_rotated_key_as_refused() -> None:
    trace = running().operator("rotate").error(401, fault=None).effect().end()
    assert outcome("stop/next-boundary", trace.case()) == "fail"


def test_next_boundary_does_not_blame_another_device() -> None:
    trace = Trace(subject="validate", n=2).spawn().allow().allow(device=OTHER).operator("revoke", DEVICE)
    trace.deny().effect(device=OTHER).exit(1).end()
    assert outcome("stop/next-boundary", trace.case(TWO)) == "pass"
    disabled = Trace(subject="validate", n=2).spawn().allow().operator("disable").deny()
    disabled.deny(device=OTHER).effect(device=OTHER).exit(1).end()
    assert outcome("stop/next-boundary", disabled.case(TWO)) == "fail"


def test_next_boundary_starves() -> None:
    assert outcome("stop/next-boundary", revoked().exit(0).end().case()) == "uncounted"
    assert outcome("stop/next-boundary", running().end().case()) == "uncounted"
    assert outcome("stop/next-boundary", revoked().deny().exit(1).end().case(fault_free=idle_baseline())) == "uncounted"


def test_next_boundary_lists_what_was_under_way_with_parallel_workers() -> None:
    trace = Trace(subject="validate", n=2).spawn().allow().allow().operator("revoke", DEVICE).deny().effect().end()
    observation = RULES["stop/next-boundary"].check(trace.case(target(concurrency=2)))
    assert observation.outcome == "pass"
    assert observation.notes == ("permitted before the deny, arrived after it: POST api.example/charge (effect 1)",)


# -- stop/exposure -----------------------------------------------------------------------------------------------------


def test_exposure_passes_up_to_n_effects() -> None:
    trace = (
        Trace(subject="validate", n=1).spawn().allow().operator("revoke", DEVICE).effect().read().deny().exit(1).end()
    )
    assert outcome("stop/exposure", trace.case()) == "pass"


def test_exposure_fails_beyond_n_effects_and_does_not_count_what_was_in_flight() -> None:
    def changed() -> Trace:
        return Trace(subject="effect", n=1).spawn().allow().begin().operator("revoke", DEVICE, held=1).finish()

    assert outcome("stop/exposure", changed().effect().deny().end().case()) == "pass"
    assert outcome("stop/exposure", changed().effect().effect().deny().end().case()) == "fail"
    assert outcome("stop/exposure", changed().effect().effect().deny().end().case(target(concurrency=2))) == "pass"


def test_exposure_fails_when_no_boundary_ever_comes() -> None:
    assert outcome("stop/exposure", revoked().effect().effect().exit(0).end().case()) == "fail"


def test_exposure_at_medium_counts_units() -> None:
    def changed() -> Trace:
        return Trace(subject="effect", n=1).spawn().allow().dequeue().effect().operator("revoke", DEVICE)

    of = target(profile="medium")
    assert outcome("stop/exposure", changed().effect().effect().deny().end().case(of)) == "pass"
    assert outcome("stop/exposure", changed().effect().dequeue().effect().deny().end().case(of)) == "fail"


def test_exposure_does_not_count_another_device() -> None:
    trace = revoked().effect(device=OTHER).effect(device=OTHER).deny().exit(1).end()
    assert outcome("stop/exposure", trace.case(TWO)) == "pass"


def test_exposure_starves_and_does_not_apply_at_low() -> None:
    assert outcome("stop/exposure", revoked().exit(0).end().case()) == "uncounted"
    assert outcome("stop/exposure", revoked().deny().end().case(fault_free=idle_baseline())) == "uncounted"
    assert RULES["stop/exposure"].not_applicable(target(profile="low"), baseline()) is not None


# -- stop/latency ------------------------------------------------------------------------------------------------------


def test_latency_reports_and_becomes_a_must() -> None:
    rule = RULES["stop/latency"]
    assert rule.level_for(target()) == "report"
    assert rule.level_for(target(stop_within=5.0)) == "MUST"
    case = revoked().deny().wait(6.0).exit(1).end().case(target(stop_within=5.0))
    observation = rule.check(case)
    assert observation.outcome == "fail"
    assert observation.findings[0].got == "6.100 s"
    assert outcome("stop/latency", revoked().deny().wait(6.0).exit(1).end().case(target(stop_within=7.0))) == "pass"
    assert outcome("stop/latency", revoked().exit(0).end().case()) == "uncounted"


def test_latency_of_results_json() -> None:
    cases = [revoked().deny().wait(late).exit(1).end().case() for late in (0.0, 1.0)] + [running().end().case()]
    found = latency(cases)
    assert found["runs"] == 2
    assert found["change_to_deny"] == {"min": 0.2, "median": 0.2, "p95": 0.2, "max": 0.2}
    assert found["deny_to_end"] == {"min": 0.1, "median": 0.6, "p95": 1.1, "max": 1.1}
    assert found["change_to_last_effect"] == {}
    assert (found["effects_after_deny"], found["effects_between_change_and_deny"]) == (0, 0)


def test_latency_counts_effects_around_the_deny_of_the_changed_device() -> None:
    found = latency([revoked().effect().effect(device=OTHER).deny().effect().end().case(TWO)])
    assert (found["effects_between_change_and_deny"], found["effects_after_deny"]) == (1, 1)


def test_figures_of_nothing() -> None:
    assert figures([]) == {}


# -- stop/exits, stop/exit-status --------------------------------------------------------------------------------------


def test_exits_passes_when_it_ends_idles_or_denies() -> None:
    assert outcome("stop/exits", revoked().deny().exit(1).end().case()) == "pass"
    assert outcome("stop/exits", revoked().deny().deny().end("asked").case()) == "pass"
    assert (
        outcome("stop/exits", revoked().deny().effect().exit(1).end().case()) == "pass"
    )  # ended: the rest is another rule's
    hook = Trace(subject="validate", n=1).spawn().stimulus().allow().effect().replied(200).operator("revoke", DEVICE)
    assert outcome("stop/exits", hook.stimulus().deny().replied(403).end("stimuli").case(webhook())) == "pass"


def test_exits_fails_when_it_goes_on() -> None:
    observation = RULES["stop/exits"].check(revoked().deny().effect().end("horizon").case())
    assert observation.outcome == "fail"
    assert observation.findings[0].events == (11, 12)
    hook = Trace(subject="validate", n=1).spawn().stimulus().allow().effect().replied(200).operator("revoke", DEVICE)
    assert outcome("stop/exits", hook.stimulus().deny().replied(200).end("stimuli").case(webhook())) == "fail"


def test_exits_is_not_met_by_a_process_that_leaves_a_daemon_at_work() -> None:
    trace = (
        revoked()
        .deny()
        .exit(1, left=("worker",), killed=("worker",), gone=False)
        .effect()
        .gone(killed=("worker",), by="harness")
    )
    assert outcome("stop/exits", trace.end("idle").case()) == "fail"


def test_exits_does_not_blame_another_device() -> None:
    trace = (
        Trace(subject="validate", n=1).spawn().allow().allow(device=OTHER).effect().operator("revoke", DEVICE).deny()
    )
    assert outcome("stop/exits", trace.effect(device=OTHER).end("horizon").case(TWO)) == "pass"


def test_exits_starves() -> None:
    assert outcome("stop/exits", revoked().exit(0).end().case()) == "uncounted"
    assert outcome("stop/exits", revoked().deny().end("idle").case(fault_free=idle_baseline())) == "uncounted"


def test_exit_status() -> None:
    assert outcome("stop/exit-status", revoked().deny().exit(1).end().case()) == "pass"
    assert outcome("stop/exit-status", revoked().deny().exit(0).end().case()) == "fail"
    assert (
        outcome("stop/exit-status", revoked().deny().exit(None, signal="SIGTERM", by="harness").end().case())
        == "uncounted"
    )
    assert outcome("stop/exit-status", running().exit(0).end().case()) == "uncounted"
    idle = revoked().deny().end("idle").case()
    assert RULES["stop/exit-status"].not_shown([idle]) is not None


def test_exit_status_looks_at_the_process_that_was_refused() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).allow().allow(device=OTHER, instance=2)
    trace.operator("revoke", DEVICE).deny().exit(0, instance=2).exit(1).end()
    assert outcome("stop/exit-status", trace.case(TWO)) == "pass"


# -- stop/no-orphans ---------------------------------------------------------------------------------------------------


def test_no_orphans() -> None:
    assert outcome("stop/no-orphans", revoked().deny().exit(1).end().case()) == "pass"
    works = revoked().deny().exit(1, left=("daemon",), gone=False).effect().gone().end()
    assert outcome("stop/no-orphans", works.case()) == "fail"
    left = revoked().deny().exit(1, left=("daemon",), killed=("daemon",)).end()
    assert outcome("stop/no-orphans", left.case()) == "fail"
    assert outcome("stop/no-orphans", revoked().deny().end("idle").case()) == "uncounted"


def test_no_orphans_of_a_target_that_the_harness_ended() -> None:
    killed = revoked().deny().exit(None, signal="SIGTERM", by="harness", killed=("helper",)).end()
    assert outcome("stop/no-orphans", killed.case()) == "pass"


def test_no_orphans_knows_instances_apart() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).allow().allow(device=OTHER, instance=2).exit(0)
    assert outcome("stop/no-orphans", trace.effect(device=OTHER, instance=2).end().case(TWO)) == "pass"


# -- stop/surgical -----------------------------------------------------------------------------------------------------


def pair() -> Trace:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).allow().allow(device=OTHER, instance=2)
    return trace.effect().effect(device=OTHER, instance=2).operator("revoke", DEVICE).deny().exit(1)


def test_surgical() -> None:
    works_on = pair().allow(device=OTHER, instance=2).effect(device=OTHER, instance=2).end()
    assert outcome("stop/surgical", works_on.case(TWO)) == "pass"
    taken_along = pair().exit(1, instance=2).end()
    assert outcome("stop/surgical", taken_along.case(TWO)) == "fail"
    assert outcome("stop/surgical", pair().exit(0, instance=2).end().case(TWO)) == "uncounted"
    no_work = Trace().spawn().spawn(instance=2, device=OTHER).allow().effect().operator("revoke", DEVICE).deny().exit(1)
    assert outcome("stop/surgical", no_work.exit(1, instance=2).end().case(TWO)) == "uncounted"
    assert outcome("stop/surgical", revoked().deny().exit(1).end().case()) == "uncounted"


def test_surgical_is_not_shown_by_the_unit_in_which_the_change_found_the_other() -> None:
    in_the_middle = pair().effect(device=OTHER, instance=2)
    its_last = in_the_middle.allow(device=OTHER, instance=2).exit(1, instance=2).end()
    assert outcome("stop/surgical", its_last.case(TWO)) == "fail"
    goes_on = pair().effect(device=OTHER, instance=2).allow(device=OTHER, instance=2).effect(device=OTHER, instance=2)
    assert outcome("stop/surgical", goes_on.end().case(TWO)) == "pass"


def test_surgical_counts_work_that_began_between_the_change_and_the_next_validate() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).allow().allow(device=OTHER, instance=2).effect()
    trace.operator("revoke", DEVICE).effect(device=OTHER, instance=2).deny().exit(1)
    assert outcome("stop/surgical", trace.allow(device=OTHER, instance=2).exit(1, instance=2).end().case(TWO)) == "fail"


def test_surgical_applies_to_several_processes_or_a_group() -> None:
    assert RULES["stop/surgical"].not_applicable(target(), baseline()) is not None
    assert RULES["stop/surgical"].not_applicable(target(instances=2, devices=(DEVICE, OTHER)), baseline()) is None
