"""What a trace folds into."""

from __future__ import annotations

import pytest

from machineid_conformance.judge.view import RunView
from machineid_conformance.trace.events import RunStarted
from tests.judge._traces import DEVICE, Trace


def test_effects_are_ordered_by_where_they_began() -> None:
    trace = Trace().spawn().allow().begin().begin(since=3).finish(1).finish(2)
    view = trace.view
    assert [(effect.number, effect.began) for effect in view.effects] == [(2, 3), (1, 5)]
    assert [effect.ended for effect in view.effects] == [8, 7]


def test_followers_of_a_group_fold_into_the_first() -> None:
    view = Trace().spawn().effect(group="g").effect(group="g", joins=1).effect(group="g", joins=2).view
    (effect,) = view.effects
    assert (effect.number, effect.followers, effect.ended) == (1, (2, 3), 8)
    assert view.effect(3) is effect


def test_a_validate_that_failed_stays_failed() -> None:
    trace = Trace().spawn().ask().lose("gave-up")
    answered = Trace().spawn().ask().answer("allow").events[-1]
    (validate,) = trace.add(answered).view.validates
    assert (validate.outcome, validate.how) == ("failure", "gave-up")


def test_a_failed_connection_is_a_refusal_without_a_device() -> None:
    view = Trace().spawn().unreachable("dns", fault="no-name").view
    (refusal,) = view.refusals
    assert (refusal.call, refusal.device, refusal.how) == (None, None, "dns")
    assert view.disturbance == 3


def test_a_failed_register_is_no_refusal() -> None:
    view = Trace().spawn().unreachable(operation="register").ask("register").lose().view
    assert view.refusals == ()
    assert len(view.registers) == 2


def test_what_the_harness_does_for_its_own_ends_disturbs_nothing() -> None:
    view = Trace().spawn().allow().effect().operator("revoke", DEVICE, why="horizon").deny().view
    assert (view.disturbance, view.horizon) == (None, 7)


def test_a_process_ends_by_itself_only_with_all_its_descendants() -> None:
    assert Trace().spawn().exit(0).view.processes[0].ended_by_itself
    assert not Trace().spawn().exit(0, killed=("child",)).view.processes[0].ended_by_itself
    assert not Trace().spawn().exit(None, signal="SIGTERM", by="harness").view.processes[0].ended_by_itself
    assert not Trace().spawn().exit(0, gone=False).view.processes[0].ended_by_itself


def test_a_broken_trace_is_refused() -> None:
    with pytest.raises(ValueError, match="expected run-started first, found no event"):
        RunView.of(())
    events = Trace().spawn().allow().events
    with pytest.raises(ValueError, match="expected seq 3, found 4: a line was lost"):
        RunView.of((*events[:2], *events[3:]))
    assert isinstance(events[0], RunStarted)


def test_a_voided_run_says_why() -> None:
    assert Trace().spawn().end("voided").view.voided == "the run was voided"
    assert Trace().spawn().end().view.voided is None
