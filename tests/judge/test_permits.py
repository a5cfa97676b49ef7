"""How permission is counted: literal traces, and schedules that Hypothesis makes up."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machineid_conformance.config.model import Profile
from machineid_conformance.judge.permits import Charge, charge
from machineid_conformance.trace.events import ConnectionOpened
from tests.judge._traces import DEVICE, OTHER, Trace


def charges(
    trace: Trace, profile: Profile = "high", n: int = 1, devices: tuple[str, ...] = (DEVICE,)
) -> tuple[Charge, ...]:
    return charge(trace.view, devices=devices, profile=profile, concurrency=n)


def violations(
    trace: Trace, profile: Profile = "high", n: int = 1, devices: tuple[str, ...] = (DEVICE,)
) -> list[str | None]:
    return [item.violation for item in charges(trace, profile, n, devices)]


def test_each_side_effect_spends_its_own_permit_at_high() -> None:
    trace = Trace().spawn().allow().effect().effect()
    assert violations(trace) == [None, "no-permit"]
    assert violations(trace, "medium") == [None, None]
    assert violations(trace, "low") == [None, None]


def test_no_allow_yet_is_not_the_same_as_a_refusal() -> None:
    assert violations(Trace().spawn().read().deny().read()) == ["no-allow-yet", "after-refusal"]


def test_reads_and_dequeues_spend_nothing_but_need_an_allow() -> None:
    trace = Trace().spawn().allow().read().read().dequeue(holds=False).effect()
    assert violations(trace) == [None, None, None, None]


def test_the_start_of_a_unit_lapses_an_unspent_permit_at_high() -> None:
    trace = Trace().spawn().allow().dequeue().effect()
    assert violations(trace) == [None, "no-permit"]
    assert violations(trace, "medium") == [None, None]


def test_an_empty_dequeue_begins_no_unit() -> None:
    assert violations(Trace().spawn().allow().dequeue(holds=False).effect()) == [None, None]


def test_a_unit_at_medium_needs_its_own_allow() -> None:
    trace = Trace().spawn().allow().dequeue().effect().effect().dequeue().effect().effect()
    assert violations(trace, "medium") == [None, None, None, None, "no-permit", "no-permit"]
    assert [item.unit for item in charges(trace, "medium")] == [0, 1, 1, 1, 2, 2]
    assert [item.first for item in charges(trace, "medium")] == [False, True, False, False, True, False]


def test_a_tool_call_at_medium_spends_its_own() -> None:
    trace = Trace().spawn().allow().dequeue().effect("tool-call").effect().effect("tool-call")
    assert violations(trace, "medium") == [None, None, None, "no-permit"]


def test_a_validate_under_way_lapses_the_oldest_permit() -> None:
    trace = Trace().spawn().allow().ask().effect().answer("allow", call=2).effect()
    assert violations(trace) == ["unanswered", None]
    assert violations(trace, "low") == ["unanswered", None]


def test_a_refusal_voids_permits_until_a_fresh_allow() -> None:
    trace = Trace().spawn().allow().deny().effect().read().allow().effect()
    assert violations(trace) == ["after-refusal", "after-refusal", None]


def test_a_refusal_uncovers_the_unit() -> None:
    trace = Trace().spawn().allow().dequeue().effect().fail().allow().effect().effect()
    assert violations(trace, "medium") == [None, None, None, None]
    spends = [item.spends for item in charges(trace, "medium")]
    assert spends == [False, True, True, False]


def test_a_failure_without_a_device_refuses_every_device_of_its_instance_alone() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).allow().allow(device=OTHER, instance=2)
    trace.unreachable(instance=1).effect().effect(device=OTHER, instance=2)
    assert violations(trace, devices=(DEVICE, OTHER)) == ["after-refusal", None]


def test_a_failed_register_is_no_refusal() -> None:
    trace = Trace().spawn().unreachable(operation="register").ask("register").lose().allow().effect()
    assert violations(trace) == [None]


def test_an_effect_is_placed_where_it_began() -> None:
    trace = Trace().spawn().allow().add(ConnectionOpened(connection=9, instance=1, host="db.example", port=5432))
    began = trace.seq
    trace.deny().begin(since=began).finish()
    assert violations(trace) == [None]


def test_what_was_in_flight_at_the_refusal_is_no_violation() -> None:
    assert violations(Trace().spawn().allow().begin().deny().finish()) == [None]


def test_requests_of_a_group_are_one_effect() -> None:
    trace = Trace().spawn().allow().effect(group="upload").deny()
    trace.effect(group="upload", joins=1)
    assert violations(trace) == [None]
    assert trace.view.effects[0].followers == (2,)


def test_log_release_and_ignore_are_no_work() -> None:
    trace = Trace().spawn().allow().dequeue().deny().effect("log").effect("ignore").effect("release")
    assert violations(trace) == [None] * 4


def test_one_release_for_each_unit_in_flight() -> None:
    trace = Trace().spawn().allow().dequeue().deny().effect("release").effect("release")
    assert violations(trace) == [None, None, "after-refusal"]


def test_an_allow_after_the_client_gave_up_is_no_permit() -> None:
    trace = Trace().spawn().allow().ask().lose("gave-up")
    trace.effect()
    assert violations(trace) == ["after-refusal"]


def test_a_restart_drops_permits_and_refusals() -> None:
    trace = Trace().spawn().allow().exit(0).spawn().effect().deny().exit(1).spawn().effect()
    assert violations(trace) == ["no-allow-yet", "no-allow-yet"]


def test_permits_belong_to_their_device() -> None:
    trace = Trace().spawn().allow().effect(device=OTHER).effect()
    assert violations(trace, devices=(DEVICE, OTHER)) == ["no-allow-yet", None]


def test_a_made_up_id_stands_for_the_declared_device() -> None:
    trace = Trace().spawn().register(device="random-7").allow(device="random-7").effect().effect()
    assert violations(trace) == [None, "no-permit"]


def test_a_new_id_after_a_deny_does_not_lift_it() -> None:
    trace = Trace().spawn().allow().effect().deny().allow(device="second-life").effect()
    assert violations(trace) == [None, "after-refusal"]


def test_without_a_declared_device_the_first_named_one_counts() -> None:
    trace = Trace().spawn(device=None).allow(device="a:b:c:1").effect(device="").effect(device="")
    assert violations(trace, devices=()) == [None, "no-permit"]


def test_a_handoff_spends_a_permit_of_the_device_handed_to() -> None:
    trace = Trace().spawn().allow().effect("handoff", device=OTHER).allow(device=OTHER).effect("handoff", device=OTHER)
    for profile in ("low", "medium", "high"):
        assert violations(trace, profile, devices=(DEVICE, OTHER)) == ["no-allow-yet", None]


def test_a_handoff_at_low_wants_an_allow_that_no_work_has_used() -> None:
    assert violations(Trace().spawn().allow().effect().effect("handoff"), "low") == [None, "no-permit"]
    assert violations(Trace().spawn().allow().effect("handoff"), "low") == [None]


def test_parallel_workers_may_finish_what_was_permitted() -> None:
    trace = Trace().spawn().allow().allow().allow().deny().effect().effect().effect().effect()
    found = charges(trace, n=4)
    assert [item.violation for item in found] == [None, None, None, "after-refusal"]
    assert [item.exposure for item in found] == [True, True, True, False]


def test_a_single_worker_has_nothing_left_after_a_refusal() -> None:
    assert violations(Trace().spawn().allow().deny().effect(), n=1) == ["after-refusal"]


def test_parallel_permits_are_bounded_by_the_concurrency() -> None:
    trace = Trace().spawn().allow().allow().allow().effect().effect().effect()
    assert violations(trace, n=2) == [None, None, "no-permit"]


def test_validating_once_shows_at_medium_with_parallel_workers() -> None:
    trace = Trace().spawn().allow()
    for _ in range(8):
        trace.dequeue().effect()
    assert "no-permit" in violations(trace, "medium", n=2)


# -- schedules ---------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.integers(min_value=0, max_value=3), min_size=1, max_size=80)
"""Which worker takes the next step."""


class Worker:
    """A conforming worker: validate, dequeue, then (by profile) a validate before what needs one, and one or two effects."""

    def __init__(self, profile: Profile, size: int) -> None:
        unit = ["ask", "answer", "dequeue"]
        for number in range(size):
            if profile == "high":
                unit += ["ask", "answer"]
            elif number == 0:
                unit += ["ask", "answer"] if size % 2 else []
            unit += ["begin", "finish"]
        self.unit = unit
        self.at = 0
        self.call = 0
        self.effect = 0

    def step(self, trace: Trace) -> None:
        what = self.unit[self.at % len(self.unit)]
        self.at += 1
        if what == "ask":
            trace.ask()
            self.call = trace.calls
        elif what == "answer":
            trace.answer("allow", call=self.call)
        elif what == "dequeue":
            trace.dequeue()
        elif what == "begin":
            trace.begin()
            self.effect = trace.effects
        else:
            trace.finish(self.effect)


@pytest.mark.parametrize("profile", ["low", "medium", "high"])
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(n=st.integers(min_value=1, max_value=4), size=st.integers(min_value=1, max_value=3), steps=STEPS)
def test_a_conforming_schedule_is_never_accused(profile: Profile, n: int, size: int, steps: list[int]) -> None:
    workers = [Worker(profile, size) for _ in range(n)]
    trace = Trace().spawn()
    for step in steps:
        workers[step % n].step(trace)
    assert violations(trace, profile, n) == [None] * len(trace.view.effects)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(units=st.integers(min_value=2, max_value=6), size=st.integers(min_value=1, max_value=3), data=st.data())
def test_one_missing_allow_is_always_noticed_at_high(units: int, size: int, data: st.DataObject) -> None:
    missing = data.draw(st.integers(min_value=0, max_value=units * size - 1))
    trace = Trace().spawn().allow()
    for unit in range(units):
        trace.dequeue()
        for number in range(size):
            if unit * size + number != missing:
                trace.allow()
            trace.effect()
    assert violations(trace).count("no-permit") == 1


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(n=st.integers(min_value=1, max_value=4), steps=STEPS, late=st.integers(min_value=1, max_value=8))
def test_after_a_refusal_at_most_n_minus_one_arrive(n: int, steps: list[int], late: int) -> None:
    workers = [Worker("high", 2) for _ in range(n)]
    trace = Trace().spawn()
    for step in steps:
        workers[step % n].step(trace)
    before = len(trace.view.effects)
    trace.deny()
    for _ in range(late):
        trace.effect()
    after = charges(trace, n=n)[before:]
    assert sum(item.violation is None for item in after) <= n - 1
    assert all(item.violation in (None, "after-refusal", "no-allow-yet") for item in after)
