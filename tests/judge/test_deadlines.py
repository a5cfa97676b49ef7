"""Deadlines from literal traces: which wait shows which, what a drip tells, which setting is likely, and what differs."""

from __future__ import annotations

from typing import Any

import pytest

from machineid_conformance.judge import deadlines
from machineid_conformance.judge.api import Case, Observation
from machineid_conformance.judge.deadlines import Deadline
from machineid_conformance.judge.rules.fail_closed_classes import RULES as CLASSES
from machineid_conformance.judge.rules.fail_closed_one_policy import OnePolicy
from machineid_conformance.judge.rules.fail_closed_short_timeout import ShortTimeout
from machineid_conformance.trace import events as e
from tests.judge._traces import DEVICE, OTHER, Trace, target, webhook


def begun(n: int = 1, **started: Any) -> Trace:
    """A run pinned to the n-th validate, in real time."""
    run = started.pop("run", f"worker/{n}/{sorted(started.items())}")
    trace = Trace("fail-closed/one-policy", run=run, subject="validate", n=n, **started).spawn().register()
    for _ in range(n - 1):
        trace.allow().effect()
    return trace


def hang(seconds: float, n: int = 1, *, how: str = "gave-up", **started: Any) -> Case:
    return begun(n, run=f"hang/{n}/{seconds}", **started).fail(how, fault="hang", waited=seconds).exit(1).end().case()


def drip(seconds: float, silent: float, n: int = 1, *, how: str = "gave-up") -> Case:
    trace = begun(n, run=f"drip/{n}/{seconds}").ask()
    failed = e.ControlFailed(
        call=trace.calls, connection=trace.calls, instance=1, operation="validate", device=DEVICE, how=how,
        waited=seconds, silent=silent,
    )  # fmt: skip
    return trace.add(failed).receipt("slow-body").exit(1).end().case()


def handshake(seconds: float, n: int = 1, *, how: str = "gave-up", registers: bool = True) -> Trace:
    """A connection on which the handshake never goes on; before the register call, or for the n-th validate."""
    trace = begun(n) if registers else Trace("startup/unreachable", run="start").spawn()
    trace.add(e.ConnectionOpened(connection=90, instance=1, host="machineid.io", port=443)).wait(seconds)
    trace.add(
        e.FaultDelivered(
            fault="handshake-hang",
            variant=None,
            call=None,
            connection=90,
            operation="unknown",
            device=None,
            evidence="seen",
        )
    )
    return trace.add(
        e.ControlFailed(call=None, connection=90, instance=1, operation="unknown", device=None, how=how, waited=seconds)
    )


def measured(*cases: Case) -> dict[tuple[str, str], float | None]:
    """Boundary and phase: the seconds; negative where the client waited for at least so long."""
    return {
        (one.boundary, one.phase): one.seconds if one.seconds is not None else -(one.at_least or 0)
        for one in deadlines.of(cases)
    }


# -- what is measured ----------------------------------------------------------------------------------------------------


def test_a_hang_measures_the_wait_for_an_answer() -> None:
    assert measured(hang(2.0)) == {("startup", "read"): 2.0}
    assert measured(hang(2.0), hang(60.0, 2, how="cut-off")) == {
        ("startup", "read"): 2.0,
        ("side-effect", "read"): -60.0,
    }


def test_the_median_counts_and_the_error_is_not_less_than_what_runs_differ_by() -> None:
    (one,) = deadlines.of([hang(2.0), hang(2.1), hang(2.9)])
    assert (one.seconds, one.error, len(one.runs)) == (2.1, 0.8, 3)
    (fast,) = deadlines.of([hang(10.0, speed=100.0)])
    assert fast.error == pytest.approx(0.55)
    (real,) = deadlines.of([hang(10.0)])
    assert real.error == pytest.approx(0.05)


def test_from_which_moment_a_client_counts_is_seen_where_connecting_took_long() -> None:
    def after(connecting: float, waited: float) -> Case:
        trace = Trace("fail-closed/one-policy", run=f"after/{connecting}", subject="validate", n=1).spawn()
        trace.add(e.ConnectionOpened(connection=1, instance=1, host="machineid.io", port=443)).wait(connecting - 0.1)
        return trace.fail("gave-up", fault="hang", waited=waited).exit(1).end().case()

    whole_call = [after(0.2, 1.8), after(1.2, 0.8), after(0.4, 1.6)]
    assert measured(*whole_call) == {("startup", "read"): pytest.approx(2.0)}
    per_read = [after(0.2, 2.0), after(1.2, 2.0), after(0.4, 2.1)]
    assert measured(*per_read) == {("startup", "read"): 2.0}


def test_a_delay_brackets_it() -> None:
    def late(seconds: float) -> Case:
        return (
            begun(run=f"late/{seconds}")
            .ask()
            .wait(seconds - 0.1)
            .answer("allow")
            .receipt("latency")
            .effect()
            .exit()
            .end()
            .case()
        )

    assert measured(late(4.0), late(8.0)) == {("startup", "read"): pytest.approx(-8.0)}
    gave_up = begun(run="gone").fail("gave-up", fault="latency", waited=10.0).exit(1).end().case()
    assert measured(late(8.0), gave_up) == {("startup", "read"): 10.0}


def test_a_register_call_has_its_own() -> None:
    trace = Trace("startup/unreachable", run="start").spawn().ask("register").lose("gave-up", waited=2.0)
    trace.add(
        e.FaultDelivered(
            fault="hang", variant=None, call=1, connection=1, operation="register", device=DEVICE, evidence="seen"
        )
    )
    assert measured(trace.exit(1).end().case()) == {("register", "read"): 2.0}


def test_a_handshake_measures_the_connect() -> None:
    assert measured(handshake(3.0).exit(1).end().case()) == {("startup", "connect"): pytest.approx(3.2)}
    assert measured(handshake(3.0, 2).exit(1).end().case()) == {("side-effect", "connect"): pytest.approx(3.2)}
    assert measured(handshake(3.0, registers=False).exit(1).end().case()) == {
        ("register", "connect"): pytest.approx(3.2)
    }


def test_of_one_run_the_first_try_counts_and_of_calls_side_by_side_the_longest() -> None:
    tries = begun().fail("gave-up", fault="hang", waited=2.0).fail("gave-up", fault="hang", waited=9.0).exit(1).end()
    assert measured(tries.case()) == {("startup", "read"): 2.0}
    two = begun().ask().ask(device=OTHER).lose("gave-up", call=2, waited=0.4).receipt("hang", call=2)
    two.lose("gave-up", call=3, waited=2.0).receipt("hang", call=3).exit(1).end()
    assert measured(two.case(target(devices=(DEVICE, OTHER)))) == {("startup", "read"): 2.0}


def test_another_device_s_call_that_was_not_struck_measures_nothing() -> None:
    trace = begun().allow(device=OTHER).fail("gave-up", fault=None, waited=7.0, device=OTHER).exit(1).end()
    assert deadlines.of([trace.case(target(devices=(DEVICE, OTHER)))]) == ()
    assert deadlines.setting(()) is None


def test_a_handshake_nobody_waits_for_ends_with_what_the_target_does_next() -> None:
    """A library may keep a connection that its user has given up; the user is seen to go on."""
    trace = begun()
    trace.add(e.ConnectionOpened(connection=90, instance=1, host="machineid.io", port=443)).wait(1.8)
    trace.add(e.ConnectionOpened(connection=91, instance=1, host="machineid.io", port=443)).wait(8)
    trace.receipt("handshake-hang", call=None)
    failed = e.ControlFailed(
        call=None, connection=90, instance=1, operation="unknown", device=None, how="gave-up", waited=10.0
    )
    trace.add(failed)
    call = next(call for call in trace.view.validates if call.call is None)
    seconds, by_client = deadlines.wait_of(trace.case(), call)
    assert by_client
    assert seconds == pytest.approx(1.8, abs=0.1)
    assert deadlines.wait_of(trace.case(target(concurrency=2)), call) == (10.0, True)


def test_of_handshakes_under_way_together_the_longest_counts() -> None:
    """The first whose deadline passes ends the others, and their ends may come before its own."""
    trace = begun()
    for connection in (90, 91):
        trace.add(e.ConnectionOpened(connection=connection, instance=1, host="machineid.io", port=443))
        trace.wait(1.97 if connection == 90 else 0.03)
    for connection, waited in ((91, 0.03), (90, 2.0)):
        delivered = e.FaultDelivered(
            fault="handshake-hang", variant=None, call=None, connection=connection, operation="unknown", device=None,
            evidence="seen",
        )  # fmt: skip
        failed = e.ControlFailed(
            call=None, connection=connection, instance=1, operation="unknown", device=None, how="gave-up", waited=waited
        )
        trace.add(delivered).add(failed)
    seconds = measured(trace.exit(1).end().case(target(concurrency=2)))
    assert seconds == {("startup", "connect"): pytest.approx(2.5)}  # from the connection on; each event takes 0.1 s


# -- what a drip tells -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([hang(2.0), drip(2.0, 0.3)], {"total": 2.0}),
        ([hang(10.0), drip(30.0, 0.2, how="cut-off")], {"total": -30.0}),
        ([hang(10.0), drip(58.0, 10.0)], {"total": -48.0, "silence": 10.0}),
        ([hang(300.0), drip(300.0, 252.0)], {"total": 300.0}),
        ([hang(4.0), drip(600.0, 552.0, how="cut-off")], {"total": -600.0, "silence": -552.0}),
        ([hang(2.0), drip(2.0, 2.0)], {}),  # not a byte had come: it tells nothing that the hang has not told
        ([drip(5.0, 0.3)], {"total": 5.0}),
        ([hang(2.0), drip(20.0, 0.3)], {"total": 20.0}),
    ],
)
def test_a_drip(cases: list[Case], expected: dict[str, float]) -> None:
    found = measured(*cases)
    assert {phase: seconds for (_, phase), seconds in found.items() if phase in ("silence", "total")} == expected


# -- which setting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cases", "expected"),
    [
        ([hang(2.02), drip(2.03, 0.5)], "a deadline of 2 s for the whole call"),
        ([hang(10.3), drip(30.0, 0.2, how="cut-off")], "a per-read timeout of 10 s: a drip never ends it"),
        ([hang(10.0), drip(58.0, 10.0)], "a per-read timeout of 10 s: a drip never ends it"),
        ([hang(1.0), drip(5.0, 0.3)], "a per-read timeout of 1 s, and a deadline of 5 s for the whole call"),
        (
            [hang(4.0), drip(600.0, 552.0, how="cut-off")],
            "a timeout of 4 s until the answer begins: neither a drip nor silence in its body ends it",
        ),
        ([hang(2.5)], "a timeout of 2.5 s; whether it is for the whole call no drip has shown"),
        ([hang(600.0, how="cut-off")], "no deadline: it still waited after 600 s"),
        ([hang(600.0, how="cut-off"), hang(6.0, 2), drip(6.0, 0.3, 2)],
         "startup: no deadline: it still waited after 600 s; side-effect: a deadline of 6 s for the whole call"),
        (
            [hang(10.0), drip(58.0, 10.0), handshake(3.0).exit(1).end().case()],
            "a per-read timeout of 10 s: a drip never ends it; 3 s to connect",
        ),
        (
            [hang(5.0), drip(5.0, 0.3), handshake(60.0, how="cut-off").exit(1).end().case()],
            "a deadline of 5 s for the whole call; none to connect",
        ),
        ([hang(2.0), hang(2.0, 2), drip(2.0, 0.3, 2)], "a deadline of 2 s for the whole call"),
    ],
)  # fmt: skip
def test_the_likely_setting(cases: list[Case], expected: str) -> None:
    assert deadlines.setting(deadlines.of(cases)) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2.04, "2 s"), (10.3, "10 s"), (9.98, "10 s"), (302.0, "300 s"), (2.52, "2.5 s"), (0.31, "0.3 s")],
)
def test_people_set_round_figures(seconds: float, words: str) -> None:
    one = Deadline(boundary="task", phase="read", seconds=seconds, at_least=None, error=0.1, runs=())
    assert deadlines.likely(one) == words


# -- short-timeout, hang -------------------------------------------------------------------------------------------------------


def short(case: Case) -> Observation:
    return ShortTimeout().check(case)


def test_short_timeout_counts_delays_and_handshakes() -> None:
    def late(seconds: float) -> Observation:
        return short(begun().ask().wait(seconds).answer("allow").receipt("latency").effect().exit().end().case())

    assert late(8.0).outcome == "fail"
    assert late(8.0).notes == ("latency: the client still took an answer after 8.1 s",)
    assert late(2.0).outcome == "uncounted"
    assert short(begun().fail("gave-up", fault="latency", waited=2.0).exit(1).end().case()).outcome == "pass"
    assert short(handshake(2.0).exit(1).end().case()).outcome == "pass"
    assert short(handshake(10.0).exit(1).end().case()).outcome == "fail"
    assert short(handshake(60.0, how="cut-off").exit(1).end().case()).outcome == "fail"


def test_who_does_not_give_up_a_handshake_has_no_deadline() -> None:
    rule = next(rule for rule in CLASSES if rule.id == "fail-closed/hang")
    assert rule.check(handshake(2.0).exit(1).end().case()).outcome == "pass"
    (found,) = rule.check(handshake(60.0, how="cut-off").exit(1).end().case()).findings
    assert "still waited" in found.message
    assert rule.check(handshake(30.0, how="cut-off").exit(1).end().case()).outcome == "uncounted"


# -- one policy ----------------------------------------------------------------------------------------------------------------


def policy(*cases: Case) -> list[str]:
    rule = OnePolicy()
    concluded = rule.conclude(cases, [(case, rule.check(case)) for case in cases])
    return [f"{found.expected} <- {found.got}" for each in concluded for found in each.findings]


def test_the_same_deadline_everywhere_is_one_policy() -> None:
    assert policy(hang(2.0), hang(2.4, 2), drip(2.0, 0.3), drip(2.4, 0.3, 2)) == []


def test_another_deadline_at_another_boundary_is_found() -> None:
    assert policy(hang(1.0), hang(3.0, 2)) == [
        "1.0 s for an answer to begin (startup) <- 3.0 s for an answer to begin (side-effect)"
    ]
    assert policy(hang(2.0), hang(60.0, 2, how="cut-off")) == [
        "2.0 s for an answer to begin (startup) <- more than 60.0 s for an answer to begin (side-effect)"
    ]
    assert policy(handshake(1.0).exit(1).end().case(), handshake(3.0, 2).exit(1).end().case())


def test_another_deadline_in_another_environment_is_found() -> None:
    (found,) = policy(hang(2.0, environment={"APP_ENV": "prod"}), hang(6.0, environment={"APP_ENV": "dev"}))
    assert found.endswith("6.0 s for an answer to begin (startup, APP_ENV=dev)")


def test_what_load_can_bend_is_no_finding() -> None:
    """As long as one run of a kind is as short as the others, the long ones say nothing of the client."""
    assert policy(hang(2.0), hang(2.0, 2), hang(3.5, 2)) == []
    assert policy(hang(30.0, 1, how="cut-off"), hang(40.0, 2)) == []  # nobody knows the first
    assert policy(hang(10.0, speed=100.0), hang(12.9, 2, speed=100.0)) == []


def test_a_register_call_may_have_its_own_deadline() -> None:
    trace = Trace("fail-closed/one-policy", run="start").spawn().ask("register").lose("gave-up", waited=30.0)
    trace.add(
        e.FaultDelivered(
            fault="hang", variant=None, call=1, connection=1, operation="register", device=DEVICE, evidence="seen"
        )
    )
    assert policy(hang(2.0), trace.exit(1).end().case()) == []


def test_a_device_that_was_not_struck_says_nothing_of_the_policy() -> None:
    two = target(devices=(DEVICE, OTHER))
    other = begun(2, run="other").ask(device=OTHER).wait(30).answer("allow").fail("gave-up", fault="hang", waited=2.0)
    case = other.exit(1).end().case(two)
    assert policy(hang(2.0), case) == []


def test_a_webhook_s_later_boundaries_are_compared() -> None:
    def at(n: int, seconds: float) -> Case:
        return begun(n, run=f"hook/{n}").fail("gave-up", fault="hang", waited=seconds).exit(1).end().case(webhook())

    assert policy(at(1, 1.0), at(2, 3.0)) != []
