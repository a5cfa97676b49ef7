from __future__ import annotations

from machineid_conformance.judge.api import Finding, Observation
from machineid_conformance.judge.registry import rules
from machineid_conformance.judge.starvation import doubt, gave_up, usual_end
from machineid_conformance.trace.events import ConnectionOpened
from tests.judge._traces import Trace

KNOWN = rules()
PASSED = Observation(outcome="pass")
FAILED = Observation(outcome="fail", findings=(Finding(run="worker/literal", message="…", events=(1,)),))


def working() -> Trace:
    return Trace().spawn().register().allow().effect()


def test_a_call_given_up_with_nothing_wrong_is_in_doubt() -> None:
    trace = Trace("stop/exits").spawn().register().allow().effect().ask().lose("gave-up", waited=2.0).exit(1).end()
    said = doubt(trace.case(), {"stop/exits": PASSED}, KNOWN, usual_end=None)
    assert said is not None
    assert said.words == "the target gave up a validate after 2.0 s with nothing wrong with it"
    assert said.kind == ("in", "stop/exits")


def test_a_call_cancelled_at_once_was_not_waited_for() -> None:
    trace = working().ask().lose("gave-up", waited=0.1).exit(1).end()
    assert gave_up(trace.case().view) is None


def test_a_call_that_waited_for_the_harness_from_its_accept_on() -> None:
    trace = working().add(ConnectionOpened(connection=9, instance=1, host="machineid.io", port=443)).wait(2.0)
    trace.ask(connection=9).lose("gave-up", waited=0.1).exit(1).end()
    assert "after 2.2 s" in (gave_up(trace.case().view) or "")


def test_a_call_given_up_under_a_fault_is_what_was_wanted() -> None:
    trace = working().fail("gave-up", fault="hang", waited=2.0).exit(1).end()
    assert gave_up(trace.case().view) is None
    assert doubt(trace.case(), {"fail-closed/hang": PASSED}, KNOWN, usual_end=None) is None


def test_what_was_done_was_done_however_busy_the_machine() -> None:
    trace = working().ask().lose("gave-up", waited=2.0).effect().end()
    assert doubt(trace.case(), {"degraded/no-work": FAILED}, KNOWN, usual_end=None) is None
    assert doubt(trace.case(), {"degraded/no-work": FAILED, "stop/exits": FAILED}, KNOWN, usual_end=None) is None


def test_what_is_missing_or_late_is_in_doubt() -> None:
    trace = working().deny().exit(1).end()
    said = doubt(trace.case(), {"restore/resumes": FAILED, "stop/exits": PASSED}, KNOWN, usual_end=None)
    assert said is not None
    assert said.kind == ("restore/resumes",)
    assert doubt(trace.case(), {"restore/resumes": PASSED}, KNOWN, usual_end=None) is None


def test_a_target_that_ends_elsewhere_and_is_idle_here_is_in_doubt() -> None:
    idle, gone = working().deny().end("idle").case(), working().deny().exit(1).end("gone").case()
    assert usual_end([gone, gone, idle]) == "gone"
    assert usual_end([gone, idle, idle]) == "idle"
    assert usual_end([working().end("gone").case()]) is None
    assert doubt(idle, {"stop/exits": PASSED}, KNOWN, usual_end="gone") is not None
    assert doubt(idle, {"stop/exits": PASSED}, KNOWN, usual_end="idle") is None
    assert doubt(idle, {"stop/exits": PASSED}, KNOWN, usual_end=None) is not None  # it may be the first of them
    assert doubt(gone, {"stop/exits": PASSED}, KNOWN, usual_end="gone") is None


def test_the_rules_by_time_are_those_of_something_missing_or_late() -> None:
    assert {name for name, rule in KNOWN.items() if rule.by_time} == {
        "fail-closed/short-timeout",
        "restore/org-disable-keeps-devices",
        "restore/resumes",
        "stop/exits",
        "stop/latency",
        "stop/surgical",
    }
