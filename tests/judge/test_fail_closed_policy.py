from __future__ import annotations

import pytest

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Case, Observation
from machineid_conformance.judge.rules.fail_closed_one_policy import OnePolicy
from machineid_conformance.judge.rules.fail_closed_short_timeout import ShortTimeout
from tests.judge._traces import DEVICE, OTHER, Trace, idle_baseline, target, webhook

# -- short-timeout -------------------------------------------------------------------------------------------------------


def waited(how: str, seconds: float, fault: str = "hang") -> Observation:
    trace = Trace(subject="validate", n=1).spawn().register().fail(how, fault=fault, waited=seconds).exit(1).end()
    return ShortTimeout().check(trace.case())


@pytest.mark.parametrize("fault", ["hang", "slow-body"])
def test_short_timeout(fault: str) -> None:
    assert waited("gave-up", 3.02, fault).outcome == "pass"
    assert waited("gave-up", 3.02, fault).notes == (f"{fault}: the client gave up after 3.0 s",)
    assert waited("gave-up", 10.0, fault).outcome == "fail"
    assert waited("gave-up", 10.0, fault).findings[0].got == "it waited 10.0 s"
    assert waited("cut-off", 30.0, fault).outcome == "fail"
    assert waited("cut-off", 2.0, fault).outcome == "uncounted"


def test_short_timeout_uses_the_trace_where_nothing_was_measured() -> None:
    trace = Trace(subject="validate", n=1).spawn().register().ask().wait(8)
    trace.lose("gave-up", waited=None).receipt("hang").exit(1).end()
    assert ShortTimeout().check(trace.case()).findings[0].got == "it waited 8.1 s"


def test_short_timeout_starves_without_a_hang() -> None:
    assert waited("reset", 0.1, "reset").outcome == "uncounted"
    assert waited("unanswered", 9.0).outcome == "uncounted"


def test_short_timeout_measures_each_device() -> None:
    trace = Trace(subject="validate", n=1).spawn().fail("gave-up", fault="hang", waited=2)
    trace.fail("gave-up", fault="hang", waited=5, device=OTHER).exit(1).end()
    (found,) = ShortTimeout().check(trace.case(target(devices=(DEVICE, OTHER)))).findings
    assert found.got == "it waited 5.0 s"


# -- one-policy ----------------------------------------------------------------------------------------------------------


def reaction(
    then: str, *, n: int = 2, fault: str = "reset", of: Target | None = None, environment: str | None = None
) -> Case:
    trace = Trace(
        run=f"worker/{fault}/{n}/{then}",
        subject="validate",
        n=n,
        environment={"APP_ENV": environment} if environment else {},
    )
    trace.spawn().register()
    for _ in range(n - 1):
        trace.allow().effect()
    if of is not None and n > 1:
        trace.stimulus()
    trace.fail(fault=fault)
    match then:
        case "ends":
            trace.exit(1)
        case "works":
            trace.effect().exit()
        case "stays":
            trace.exit(signal="SIGTERM", by="harness")
        case status:
            trace.replied(int(status)).exit(signal="SIGTERM", by="harness")
    return trace.end("gone" if then in ("ends", "works") else "idle").case(of or target())


def policy(*cases: Case) -> tuple[list[str], list[str]]:
    """What was found, as "expected <- got"; and the outcomes of the single runs."""
    rule = OnePolicy()
    observed = [(case, rule.check(case)) for case in cases]
    concluded = rule.conclude(cases, observed)
    assert all(observation.outcome == "fail" for observation in concluded)
    found = [f"{found.expected} <- {found.got}" for each in concluded for found in each.findings]
    return found, [observation.outcome for _, observation in observed]


def test_one_policy_passes_when_all_end() -> None:
    cases = [reaction("ends", n=n, fault=fault) for n in (1, 2) for fault in ("reset", "hang", "status")]
    assert policy(*cases) == ([], ["pass"] * 6)
    assert OnePolicy().starved(cases) is None


def test_the_exception_is_found() -> None:
    cases = [reaction("ends"), reaction("ends", fault="status"), reaction("stays", fault="hang")]
    assert policy(*cases)[0] == ["ends <- stays, without work"]
    cases = [reaction("ends"), reaction("ends", fault="status"), reaction("works", fault="hang")]
    assert policy(*cases)[0] == ["ends <- works on"]


def test_an_end_that_is_noticed_after_the_run_is_an_end() -> None:
    trace = Trace(subject="validate", n=2).spawn().register().allow().effect().fail(fault="late-allow")
    late = trace.gone().end("gone").exit(1, by="harness", gone=False).case()
    assert policy(reaction("ends"), reaction("ends", fault="status"), late)[0] == []


def test_an_environment_may_not_change_it() -> None:
    cases = [reaction("ends"), reaction("ends", environment="dev"), reaction("stays", environment="prod")]
    (found,) = policy(*cases)[0]
    assert found == "ends <- stays, without work"


def test_kinds_of_boundaries_are_compared_apart() -> None:
    cases = [
        reaction("ends", n=1),
        reaction("ends", n=1, fault="hang"),
        reaction("stays"),
        reaction("stays", fault="hang"),
    ]
    assert policy(*cases)[0] == []


def test_an_answer_taken_for_an_allow_has_its_own_rule() -> None:
    cases = [reaction("ends"), reaction("works", fault="not-boolean"), reaction("ends", fault="redirect")]
    assert policy(*cases) == ([], ["pass", "uncounted", "pass"])
    assert policy(reaction("ends"), reaction("ends", fault="hang"), reaction("stays", fault="redirect"))[0]


def test_the_startup_of_a_webhook_is_excepted() -> None:
    cases = [reaction("ends", n=1, of=webhook()), *(reaction("403", of=webhook(), fault=f) for f in ("reset", "hang"))]
    assert policy(*cases) == ([], ["uncounted", "pass", "pass"])
    cases = [*cases[1:], reaction("500", of=webhook(), fault="status")]
    assert policy(*cases)[0] == ["answers 403 <- answers 500"]


def test_one_policy_starves() -> None:
    assert "two kinds" in (OnePolicy().starved([reaction("ends")]) or "")
    silent = Trace(subject="validate", n=1).spawn().register().exit().end()
    assert OnePolicy().check(silent.case()).outcome == "uncounted"
    assert (
        OnePolicy().check(Trace().spawn().fail().exit(1).end().case(fault_free=idle_baseline())).outcome == "uncounted"
    )


def test_what_another_device_does_is_no_difference() -> None:
    two = target(devices=(DEVICE, OTHER))
    busy = (
        Trace(subject="validate", n=1).spawn().fail(fault="hang").allow(device=OTHER).effect(device=OTHER).exit(1).end()
    )
    plain = Trace(subject="validate", n=1).spawn().fail().exit(1).end()
    assert policy(busy.case(two), plain.case(two))[0] == []
