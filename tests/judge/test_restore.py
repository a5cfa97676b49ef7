from __future__ import annotations

from machineid_conformance.judge.rules.restore_org_disable_keeps_devices import OrgDisableKeepsDevices
from machineid_conformance.judge.rules.restore_register_is_not_restore import RegisterIsNotRestore
from machineid_conformance.judge.rules.restore_resumes import Resumes
from machineid_conformance.trace.events import ConnectionOpened
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, boundary, idle_baseline, target

TWO = target(devices=(DEVICE, OTHER))


def stopped() -> Trace:
    """A run in which the target worked, was revoked and ended."""
    return Trace().spawn().register().allow().effect().operator("revoke", DEVICE).deny().exit(1)


# -- resumes -------------------------------------------------------------------------------------------------------------


def test_a_restarted_target_works_again() -> None:
    trace = stopped().operator("restore", DEVICE).spawn().register().allow().effect().end("horizon")
    assert Resumes().check(trace.case()).outcome == "pass"


def test_a_living_target_works_again() -> None:
    trace = Trace().spawn().register().operator("disable").deny().operator("enable").allow().effect().end("horizon")
    assert Resumes().check(trace.case()).outcome == "pass"


def test_a_target_that_does_not_work_again_fails() -> None:
    trace = stopped().operator("restore", DEVICE).spawn().exit(1).end()
    (found,) = Resumes().check(trace.case()).findings
    assert found.got == "no validate and no work"
    trace = stopped().operator("restore", DEVICE).spawn().register().allow().exit(1).end()
    assert Resumes().check(trace.case()).findings[0].got == "1 allows and no work"


def test_work_without_a_permit_is_no_resumption() -> None:
    trace = stopped().operator("restore", DEVICE).spawn().effect().end()
    assert Resumes().check(trace.case()).outcome == "fail"


def test_work_of_another_device_is_no_resumption() -> None:
    trace = stopped().operator("restore", DEVICE).spawn().register(device=OTHER).allow(device=OTHER)
    trace.effect(device=OTHER).end("horizon")
    assert Resumes().check(trace.case(TWO)).outcome == "fail"
    only_other = baseline(boundaries=(boundary(1, "startup", device=OTHER),))
    assert Resumes().check(trace.case(TWO, only_other)).outcome == "pass"


def test_resumes_starves() -> None:
    rule = Resumes()
    assert "nothing was restored" in (rule.check(stopped().end().case()).reason or "")
    never = Trace().spawn().register().operator("restore", DEVICE).allow().effect().end()
    assert "not refused before" in (rule.check(never.case()).reason or "")
    gone = stopped().operator("restore", DEVICE).end()
    assert "started again" in (rule.check(gone.case()).reason or "")
    still = stopped().operator("restore", DEVICE).spawn().register().deny().exit(1).end()
    assert "still refused" in (rule.check(still.case()).reason or "")
    unheard = stopped().operator("restore", DEVICE).spawn().ask("register").lose("gave-up").exit(1).end()
    assert "too busy" in (rule.check(unheard.case()).reason or "")
    handshake = stopped().operator("restore", DEVICE).spawn()
    handshake.add(ConnectionOpened(connection=9, instance=1, host="machineid.io", port=443)).exit(1).end()
    assert "too busy" in (rule.check(handshake.case()).reason or "")
    elsewhere = stopped().operator("restore", DEVICE).spawn()
    elsewhere.add(ConnectionOpened(connection=9, instance=1, host="queue.example", port=443)).exit(1).end()
    assert rule.check(elsewhere.case()).outcome == "fail"
    idle = stopped().operator("restore", DEVICE).spawn().register().allow().end()
    assert "no work" in (rule.check(idle.case(fault_free=idle_baseline())).reason or "")


# -- register-is-not-restore ---------------------------------------------------------------------------------------------


def test_a_revoked_target_that_registers_and_is_denied_passes() -> None:
    observation = RegisterIsNotRestore().check(stopped().spawn().register().deny().exit(1).end().case())
    assert (observation.outcome, observation.notes) == ("pass", ())
    observation = RegisterIsNotRestore().check(stopped().spawn().deny().exit(1).end().case())
    assert observation.notes == ("after the restart the target did not register",)


def test_work_after_the_register_fails() -> None:
    trace = stopped().spawn().register().effect().exit().end()
    observation = RegisterIsNotRestore().check(trace.case())
    assert observation.outcome == "fail"
    assert "being registered" in observation.findings[0].message
    assert RegisterIsNotRestore().check(stopped().spawn().register().deny().effect().end().case()).outcome == "fail"


def test_work_of_a_device_that_is_not_revoked_is_its_own() -> None:
    trace = stopped().spawn().register().deny().allow(device=OTHER).effect(device=OTHER).exit(1).end()
    assert RegisterIsNotRestore().check(trace.case(TWO)).outcome == "pass"
    trace = stopped().spawn().register().deny().allow(device=OTHER).effect().exit(1).end()
    assert RegisterIsNotRestore().check(trace.case(TWO)).outcome == "fail"


def test_work_after_the_restore_is_permitted() -> None:
    trace = stopped().spawn().register().deny().operator("restore", DEVICE).allow().effect().end()
    assert RegisterIsNotRestore().check(trace.case()).outcome == "pass"


def test_register_is_not_restore_starves() -> None:
    rule = RegisterIsNotRestore()
    assert "not restarted" in (rule.check(stopped().end().case()).reason or "")
    restored = stopped().operator("restore", DEVICE).spawn().register().allow().effect().end()
    assert "not restarted" in (rule.check(restored.case()).reason or "")
    assert "asked nothing" in (rule.check(stopped().spawn().register().exit(1).end().case()).reason or "")
    trace = stopped().spawn().register().deny().exit(1).end()
    assert "no work" in (rule.check(trace.case(fault_free=idle_baseline())).reason or "")


# -- org-disable-keeps-devices -------------------------------------------------------------------------------------------


def switched(*revoked: str) -> Trace:
    trace = Trace().spawn().register().allow().allow(device=OTHER)
    for device in revoked:
        trace.operator("revoke", device)
    return trace.operator("disable").deny().operator("enable")


def test_each_device_is_as_it_was() -> None:
    trace = switched(DEVICE).deny().allow(device=OTHER).end()
    assert OrgDisableKeepsDevices().check(trace.case(TWO)).outcome == "pass"
    assert OrgDisableKeepsDevices().check(switched().allow().end().case()).outcome == "pass"


def test_a_device_whose_state_changed_fails() -> None:
    (found,) = OrgDisableKeepsDevices().check(switched(DEVICE).allow().end().case()).findings
    assert found.expected.startswith("deny")
    (found,) = OrgDisableKeepsDevices().check(switched(DEVICE).deny(device=OTHER).end().case(TWO)).findings
    assert found.expected.startswith("allow")


def test_what_the_operator_did_to_a_device_meanwhile_counts() -> None:
    trace = switched(DEVICE).operator("restore", DEVICE).allow().operator("revoke", OTHER).deny(device=OTHER).end()
    assert OrgDisableKeepsDevices().check(trace.case(TWO)).outcome == "pass"


def test_org_disable_starves_on_what_cannot_be_known() -> None:
    rule = OrgDisableKeepsDevices()
    assert rule.check(stopped().end().case()).outcome == "uncounted"
    assert rule.check(switched(DEVICE).end().case()).outcome == "uncounted"
    assert rule.check(switched().deny(device="worker-3").end().case()).outcome == "uncounted"
    assert rule.check(switched().operator("cap", argument="0").deny().end().case()).outcome == "uncounted"
    assert rule.check(switched().operator("remove", DEVICE).deny().end().case()).outcome == "uncounted"
    assert rule.check(switched(DEVICE).fail().end().case()).outcome == "uncounted"


def test_an_answer_asked_for_before_the_org_was_enabled_says_nothing() -> None:
    trace = Trace().spawn().allow().operator("disable").ask().operator("enable").answer("deny").end()
    assert OrgDisableKeepsDevices().check(trace.case()).outcome == "uncounted"
