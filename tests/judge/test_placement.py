"""placement/*: literal traces that pass, fail, starve, and violate on another device."""

from __future__ import annotations

from typing import Any

import pytest

from machineid_conformance.config.model import EffectRule, Match, Profile, Target
from machineid_conformance.judge.api import Case
from machineid_conformance.judge.registry import rules
from machineid_conformance.trace.events import Role
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, idle_baseline, target

RULES = rules()


def declaring(*roles: Role, **changes: Any) -> Target:
    return target(effects=tuple(EffectRule(match=Match(host="*"), role=role) for role in roles), **changes)


QUEUE = declaring("task-source")
TWO = declaring("task-source", "tool-call", devices=(DEVICE, OTHER))


def outcome(rule: str, case: Case) -> str:
    return RULES[rule].check(case).outcome


def test_in_run() -> None:
    def loop(gap: int) -> Trace:
        trace = Trace().spawn().allow()
        for number in range(12):
            if number % gap == 0:
                trace.allow()
            trace.effect()
        return trace.operator("revoke", DEVICE, why="horizon").deny().exit(1).end("horizon")

    assert outcome("placement/in-run", loop(1).case()) == "pass"
    assert outcome("placement/in-run", loop(10).case()) == "pass"
    observation = RULES["placement/in-run"].check(loop(12).case())
    assert observation.outcome == "fail"
    assert observation.findings[0].message.startswith("11 effects without a validate")
    assert outcome("placement/in-run", Trace().spawn().allow().effect().exit(0).end().case()) == "uncounted"


def test_in_run_sees_a_loop_whose_horizon_is_nearer_than_max_gap() -> None:
    trace = Trace().spawn().allow()
    for _ in range(8):
        trace.effect()
    assert outcome("placement/in-run", trace.end("horizon").case()) == "fail"


def test_in_run_applies_to_a_target_that_goes_on() -> None:
    rule = RULES["placement/in-run"]
    assert rule.not_applicable(target(), baseline()) is None
    assert rule.not_applicable(target(), baseline(reaches_horizon=False, effect_labels=("charge",) * 11)) is None
    assert rule.not_applicable(target(), baseline(reaches_horizon=False)) is not None


def test_in_run_counts_each_instance_by_itself() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).allow().allow(device=OTHER, instance=2)
    for _ in range(11):
        trace.allow(device=OTHER, instance=2).effect()
    assert outcome("placement/in-run", trace.end().case(TWO)) == "fail"


@pytest.mark.parametrize("profile", ["medium", "high"])
def test_task(profile: Any) -> None:
    of = declaring("task-source", profile=profile)
    good = Trace().spawn().allow().dequeue().allow().effect().dequeue().allow().effect().end()
    assert outcome("placement/task", good.case(of)) == "pass"
    bad = Trace().spawn().allow().dequeue().allow().effect().dequeue().effect().end()
    assert outcome("placement/task", bad.case(of)) == "fail"
    assert outcome("placement/task", Trace().spawn().allow().effect().end().case(of)) == "uncounted"
    other = Trace().spawn().allow().allow(device=OTHER).dequeue().allow().effect().effect(device=OTHER)
    other.dequeue().allow().effect().effect(device=OTHER).end()
    two = declaring("task-source", profile=profile, devices=(DEVICE, OTHER))
    assert outcome("placement/task", other.case(two)) == "fail"


def test_task_at_medium_takes_a_validate_from_before_the_dequeue() -> None:
    good = Trace().spawn().allow().dequeue().effect().effect().allow().dequeue().effect().end()
    assert outcome("placement/task", good.case(declaring("task-source", profile="medium"))) == "pass"


def test_task_leaves_a_second_side_effect_to_its_own_rule() -> None:
    trace = Trace().spawn().allow().dequeue().allow().effect().effect().end()
    assert outcome("placement/task", trace.case(QUEUE)) == "pass"
    assert outcome("placement/side-effect", trace.case(QUEUE)) == "fail"


def test_task_applies_where_units_are_declared() -> None:
    assert RULES["placement/task"].not_applicable(target(), baseline()) is not None
    assert RULES["placement/task"].not_applicable(QUEUE, baseline()) is None
    assert RULES["placement/task"].not_applicable(declaring("task-source", profile="low"), baseline()) is not None


@pytest.mark.parametrize(
    ("rule", "role"), [("side-effect", "side-effect"), ("tool-call", "tool-call"), ("llm-call", "llm-call")]
)
def test_own_permits(rule: str, role: Any) -> None:
    name = f"placement/{rule}"
    assert outcome(name, Trace().spawn().allow().effect(role).allow().effect(role).end().case()) == "pass"
    assert outcome(name, Trace().spawn().allow().effect(role).effect(role).end().case()) == "fail"
    assert outcome(name, Trace().spawn().allow().read().end().case()) == "uncounted"
    other = (
        Trace().spawn().allow().allow(device=OTHER).effect(role).effect(role, device=OTHER).effect(role, device=OTHER)
    )
    assert outcome(name, other.end().case(TWO)) == "fail"
    undisturbed = Trace().spawn().allow().effect(role).operator("revoke", DEVICE).effect(role).deny().end()
    assert outcome(name, undisturbed.case()) == "pass"


def test_own_permits_apply_by_profile_and_by_what_was_seen() -> None:
    seen = baseline(roles=frozenset({"side-effect", "llm-call"}))
    for rule in ("placement/side-effect", "placement/llm-call"):
        assert RULES[rule].not_applicable(target(), seen) is None
        assert "profile is medium" in (RULES[rule].not_applicable(target(profile="medium"), seen) or "")
        assert RULES[rule].not_applicable(target(), baseline()) is not None
    assert RULES["placement/tool-call"].not_applicable(target(), seen) is not None
    assert RULES["placement/tool-call"].not_applicable(declaring("tool-call", profile="medium"), seen) is None
    assert RULES["placement/tool-call"].not_applicable(declaring("tool-call", profile="low"), seen) is not None


def test_handoff() -> None:
    of = declaring("handoff", devices=(DEVICE, OTHER))
    good = Trace().spawn().allow().allow(device=OTHER).effect("handoff", device=OTHER).end()
    assert outcome("placement/handoff", good.case(of)) == "pass"
    unasked = Trace().spawn().allow().effect("handoff", device=OTHER).end()
    assert outcome("placement/handoff", unasked.case(of)) == "fail"
    assert outcome("placement/handoff", Trace().spawn().allow().effect().end().case(of)) == "uncounted"
    one = declaring("handoff")
    assert outcome("placement/handoff", Trace().spawn().allow().effect().effect("handoff").end().case(one)) == "fail"
    assert RULES["placement/handoff"].not_applicable(target(), baseline()) is not None


def test_a_refused_handoff_transfers_nothing() -> None:
    of = declaring("handoff", devices=(DEVICE, OTHER))

    def refused() -> Trace:
        return Trace("placement/handoff").spawn().allow().operator("revoke", OTHER).deny(device=OTHER)

    assert outcome("placement/handoff", refused().exit(1).end().case(of)) == "pass"
    assert outcome("placement/handoff", refused().effect("handoff", device=OTHER).end().case(of)) == "fail"
    assert outcome("placement/handoff", refused().effect(device=OTHER).end().case(of)) == "fail"


def test_awaited() -> None:
    good = Trace("placement/awaited").spawn().allow().effect().ask().wait(1.0).answer().effect().end()
    assert outcome("placement/awaited", good.case()) == "pass"
    bad = Trace("placement/awaited").spawn().allow().ask().effect().answer("allow", call=2).end()
    assert outcome("placement/awaited", bad.case()) == "fail"
    first = Trace("placement/awaited").spawn().ask().effect().answer("allow", call=1).end()
    assert outcome("placement/awaited", first.case()) == "fail"
    other = Trace("placement/awaited").spawn().allow().allow(device=OTHER).ask(device=OTHER).effect(device=OTHER)
    assert outcome("placement/awaited", other.answer("allow", call=3).end().case(TWO)) == "fail"
    assert outcome("placement/awaited", Trace("placement/awaited").spawn().end().case()) == "uncounted"
    assert outcome("placement/awaited", good.case(fault_free=idle_baseline())) == "uncounted"


def test_latency_below_the_deadline_disturbs_nothing() -> None:
    trace = (
        Trace("placement/awaited").spawn().allow().receipt("latency").effect().ask().effect().answer("allow", call=2)
    )
    assert outcome("placement/awaited", trace.receipt("latency").end().case()) == "fail"


def test_resume() -> None:
    def paused() -> Trace:
        trace = Trace("placement/resume").spawn().allow().effect().allow().signal("SIGSTOP")
        return trace.operator("revoke", DEVICE).signal("SIGCONT")

    assert outcome("placement/resume", paused().effect().deny().exit(1).end().case()) == "pass"
    assert outcome("placement/resume", paused().effect().effect().deny().exit(1).end().case()) == "fail"
    other = paused().effect(device=OTHER).effect(device=OTHER).deny().exit(1).end()
    assert outcome("placement/resume", other.case(TWO)) == "pass"
    assert outcome("placement/resume", paused().exit(0).end().case()) == "uncounted"
    assert outcome("placement/resume", Trace().spawn().allow().effect().end().case()) == "uncounted"
    assert RULES["placement/resume"].not_applicable(target(), baseline(reaches_horizon=False)) is not None


def test_resume_asks_for_the_permit_and_not_only_for_the_number() -> None:
    def paused(*, profile: Profile, concurrency: int = 1, spare: int = 0) -> tuple[Trace, Target]:
        """Stopped with one effect done under each allow, and ``spare`` allows unspent."""
        trace = Trace("placement/resume").spawn()
        for _ in range(concurrency):
            trace.allow().effect()
        for _ in range(spare):
            trace.allow()
        trace.signal("SIGSTOP").operator("revoke", DEVICE).signal("SIGCONT")
        return trace, target(profile=profile, concurrency=concurrency)

    def after(effects: int, *, profile: Profile, concurrency: int = 1, spare: int = 0) -> str:
        trace, judged = paused(profile=profile, concurrency=concurrency, spare=spare)
        for _ in range(effects):
            trace.effect()
        return outcome("placement/resume", trace.deny().exit(1).end().case(judged))

    assert after(0, profile="high") == "pass"
    assert after(1, profile="high") == "fail"
    assert after(1, profile="high", spare=1) == "pass"
    assert after(2, profile="high", concurrency=4, spare=2) == "pass"
    assert after(3, profile="high", concurrency=4, spare=2) == "fail"
    assert after(2, profile="medium") == "pass"  # the rest of a unit that has its permit
    assert after(10, profile="low") == "pass"  # max_gap
    assert after(11, profile="low") == "fail"


def test_coverage_draws_the_map_of_a_fault_free_run() -> None:
    rule = RULES["placement/coverage"]
    trace = Trace(baseline=True).spawn().allow().effect().effect().end()
    observation = rule.check(trace.case())
    assert observation.outcome == "pass"
    assert observation.notes == (
        "1 of 2 effects covered (50 %)",
        "longest stretch without a boundary: 2 effects, 0.4 s",
        f"POST api.example/charge (effect 1): covered by validate 1 of {DEVICE} (allow, ALLOW)",
        "POST api.example/charge (effect 2): no-permit",
    )
    assert rule.check(Trace().spawn().allow().effect().end().case()).outcome == "uncounted"
    assert rule.check(Trace(baseline=True).spawn().allow().end().case()).outcome == "uncounted"


def test_coverage_says_what_high_would_find() -> None:
    seen = baseline(roles=frozenset({"side-effect"}))
    case = Trace(baseline=True).spawn().allow().effect().effect().end().case(target(profile="medium"), seen)
    (observation,) = RULES["placement/coverage"].conclude([case], [])
    (note,) = observation.notes
    assert note.startswith(
        "at high, placement/side-effect would fail: POST api.example/charge (effect 2) started while"
    )
    high = Trace(baseline=True).spawn().allow().effect().effect().end().case()
    assert RULES["placement/coverage"].conclude([high], []) == ()
