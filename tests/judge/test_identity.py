from __future__ import annotations

import pytest

from machineid_conformance.config.model import EffectRule, Match
from machineid_conformance.judge.rules.identity_declared_device import DeclaredDevice
from machineid_conformance.judge.rules.identity_no_secrets import NoSecrets
from machineid_conformance.judge.rules.identity_per_replica import PerReplica
from machineid_conformance.judge.rules.identity_readable import Readable
from machineid_conformance.judge.rules.identity_register_first import RegisterFirst
from machineid_conformance.judge.rules.identity_self_authorization import SelfAuthorization
from machineid_conformance.trace.events import ControlFailed, RedirectFollowed
from machineid_conformance.trace.redact import ORG_KEY_MARK
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, target

TWO = target(instances=2, devices=(DEVICE, OTHER))


# -- register-first ------------------------------------------------------------------------------------------------------


def test_register_first_passes_whatever_the_register_answer_said() -> None:
    trace = Trace().spawn().register(status=403).deny().exit(1).end()
    assert RegisterFirst().check(trace.case()).outcome == "pass"


def test_register_first_fails_on_a_validate_before_it() -> None:
    trace = Trace().spawn().allow().register().effect().exit().end()
    observation = RegisterFirst().check(trace.case())
    assert observation.outcome == "fail"
    assert observation.findings[0].events == (3,)


def test_register_first_fails_while_the_register_is_unanswered() -> None:
    trace = Trace().spawn().ask("register").ask().answer("allow", call=2).answer(None, call=1).end()
    assert RegisterFirst().check(trace.case()).findings[0].events == (4,)


def test_register_first_counts_the_head_of_an_answer_that_drips() -> None:
    def register(silent: float | None) -> Trace:
        trace = Trace().spawn().ask("register").ask()
        failed = ControlFailed(
            call=1, connection=1, instance=1, operation="register", device=DEVICE, how="gave-up", waited=2.0, silent=silent
        )  # fmt: skip
        return trace.add(failed).answer("allow", call=2).exit().end()

    assert RegisterFirst().check(register(0.3).case()).outcome == "pass"
    assert RegisterFirst().check(register(None).case()).outcome == "fail"


def test_register_first_starves_without_a_validate() -> None:
    observation = RegisterFirst().check(Trace().spawn().register().exit().end().case())
    assert (observation.outcome, observation.reason) == ("uncounted", "the target validated no device in this run")


def test_register_first_is_judged_device_by_device() -> None:
    trace = Trace().spawn().register().allow().allow(device=OTHER).end()
    (found,) = RegisterFirst().check(trace.case(target(devices=(DEVICE, OTHER)))).findings
    assert OTHER in found.message


def test_register_first_leaves_other_targets_of_the_group_alone() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).register().allow().allow(device=OTHER, instance=2).end()
    assert RegisterFirst().check(trace.case()).outcome == "pass"


def test_register_first_does_not_apply_to_preregistered_devices() -> None:
    assert "preregistered" in (RegisterFirst().not_applicable(target(preregistered=True), baseline()) or "")
    assert RegisterFirst().not_applicable(target(), baseline()) is None


# -- declared-device -----------------------------------------------------------------------------------------------------


def test_declared_device_passes() -> None:
    trace = Trace().spawn().register().allow().effect().deny().exit(1).spawn().register().allow().end()
    assert DeclaredDevice().check(trace.case()).outcome == "pass"


def test_declared_device_fails_once_for_each_made_up_id() -> None:
    trace = Trace().spawn().register(device="made-up").allow(device="made-up").allow(device=None).end()
    found = DeclaredDevice().check(trace.case()).findings
    assert [finding.events for finding in found] == [(3,), (7,)]
    assert found[0].expected == DEVICE


def test_declared_device_knows_the_devices_of_effect_rules() -> None:
    rules = (EffectRule(match=Match(host="tool.example"), role="handoff", device=OTHER),)
    trace = Trace().spawn().register().allow().register(device=OTHER).allow(device=OTHER).end()
    assert DeclaredDevice().check(trace.case(target(effects=rules))).outcome == "pass"
    assert DeclaredDevice().check(trace.case()).outcome == "fail"


def test_without_a_declared_device_the_first_registered_one_counts() -> None:
    undeclared = target(devices=())
    trace = Trace().spawn(device=None).register().allow().exit().spawn(device=None).register().allow().end()
    assert DeclaredDevice().check(trace.case(undeclared)).outcome == "pass"
    trace = Trace().spawn(device=None).allow(device=OTHER).register().allow().end()
    (found,) = DeclaredDevice().check(trace.case(undeclared)).findings
    assert found.got == OTHER


def test_a_random_id_shows_after_a_restart() -> None:
    trace = Trace().spawn(device=None).register(device="run-1").allow(device="run-1").deny(device="run-1").exit(1)
    trace.spawn(device=None).register(device="run-2").allow(device="run-2").end()
    found = DeclaredDevice().check(trace.case(target(devices=()))).findings
    assert found
    assert found[0].got == "run-2"


def test_a_declared_device_that_changes_with_a_restart_fails() -> None:
    trace = Trace().spawn().register().deny().exit(1).spawn().register(device=OTHER).allow(device=OTHER).end()
    (found,) = DeclaredDevice().check(trace.case(target(devices=(DEVICE, OTHER)))).findings
    assert "after a restart" in found.message


def test_a_restart_that_is_refused_early_names_fewer_devices() -> None:
    trace = Trace().spawn().register().allow().allow(device=OTHER).exit().spawn().deny().end()
    assert DeclaredDevice().check(trace.case(target(devices=(DEVICE, OTHER)))).outcome == "pass"


def test_declared_device_starves_on_a_silent_target() -> None:
    assert DeclaredDevice().check(Trace().spawn().exit().end().case()).outcome == "uncounted"


def test_declared_device_leaves_other_targets_of_the_group_alone() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).register().register(device=OTHER, instance=2).end()
    assert DeclaredDevice().check(trace.case()).outcome == "pass"


# -- per-replica ---------------------------------------------------------------------------------------------------------


def test_per_replica_passes() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).register().register(device=OTHER, instance=2).end()
    assert PerReplica().check(trace.case(TWO)).outcome == "pass"


def test_per_replica_fails_on_a_shared_id() -> None:
    trace = Trace().spawn().spawn(instance=2).register().register(instance=2).allow().allow(instance=2).end()
    (found,) = PerReplica().check(trace.case(TWO)).findings
    assert found.events == (4, 6)


def test_instances_one_after_the_other_may_share_an_id() -> None:
    trace = Trace().spawn().register().exit().spawn(instance=2).register(instance=2).end()
    assert PerReplica().check(trace.case(TWO)).outcome == "uncounted"


def test_per_replica_starves_with_one_silent_instance() -> None:
    trace = Trace().spawn().spawn(instance=2).register().end()
    assert PerReplica().check(trace.case(TWO)).outcome == "uncounted"


def test_a_second_device_of_its_own_is_no_sharing() -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).register().register(device="tool:dev:a:01")
    trace.register(device=OTHER, instance=2).end()
    assert PerReplica().check(trace.case(TWO)).outcome == "pass"


def test_per_replica_needs_two_instances() -> None:
    assert "instances = 2" in (PerReplica().not_applicable(target(), baseline()) or "")
    assert PerReplica().not_applicable(TWO, baseline()) is None


# -- readable ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "word"),
    [(DEVICE, "follows"), ("crewai:agent-01", "does not follow"), ("a:b::d", "does not follow")],
)
def test_readable_reports(device: str, word: str) -> None:
    observation = Readable().check(Trace().spawn().register(device=device).end().case())
    assert observation.outcome == "pass"
    assert observation.notes == (f"{device} {word} {{service}}:{{env}}:{{role}}:{{instance}}",)


def test_readable_starves() -> None:
    assert Readable().check(Trace().spawn().end().case()).outcome == "uncounted"


# -- no-secrets ----------------------------------------------------------------------------------------------------------


def test_no_secrets_passes() -> None:
    trace = Trace().spawn().register().allow().effect().exit().end()
    assert NoSecrets().check(trace.case()).outcome == "pass"


def test_no_secrets_fails_on_a_key_in_id_or_url() -> None:
    trace = Trace().spawn().ask("register", secrets=("device",)).answer(None).ask(secrets=("url",)).answer().end()
    found = NoSecrets().check(trace.case()).findings
    assert [finding.events for finding in found] == [(3,), (5,)]
    trace = Trace().spawn().ask(path=f"/api/v1/devices/validate?key={ORG_KEY_MARK}").answer().end()
    assert NoSecrets().check(trace.case()).outcome == "fail"


def test_no_secrets_fails_on_a_key_sent_elsewhere() -> None:
    trace = (
        Trace().spawn().register().allow().effect(secrets=("header x-org-key",)).effect("log", secrets=("body",)).end()
    )
    found = NoSecrets().check(trace.case()).findings
    assert [finding.events for finding in found] == [(7,), (9,)]
    assert "api.example" in found[0].message


def test_no_secrets_leaves_a_followed_redirect_to_its_own_rule() -> None:
    followed = RedirectFollowed(connection=3, instance=1, method="GET", host="x.example", secrets=("header x-org-key",))
    trace = Trace().spawn().register().add(followed).end()
    assert NoSecrets().check(trace.case()).outcome == "pass"


def test_no_secrets_leaves_other_targets_of_the_group_alone() -> None:
    trace = Trace().spawn().register().effect(instance=2, device=OTHER, secrets=("body",)).end()
    assert NoSecrets().check(trace.case()).outcome == "pass"


def test_no_secrets_starves_on_a_silent_target() -> None:
    assert NoSecrets().check(Trace().spawn().output("hello").exit().end().case()).outcome == "uncounted"


# -- self-authorization --------------------------------------------------------------------------------------------------


def test_self_authorization_passes_when_another_declared_device_is_asked_for() -> None:
    trace = Trace().spawn().register().deny().register(device=OTHER).allow(device=OTHER).effect(device=OTHER).end()
    assert SelfAuthorization().check(trace.case(target(devices=(DEVICE, OTHER)))).outcome == "pass"


@pytest.mark.parametrize(
    ("operation", "request_", "word"),
    [
        ("unrevoke", {}, "unrevokes"),
        ("remove", {}, "removes"),
        ("org-create", {"device": None}, "org of its own"),
        ("register", {"device": "worker-2"}, "worker-2"),
        ("validate", {"device": "worker-2"}, "worker-2"),
        ("validate", {"key": "other"}, "another org key"),
    ],
)
def test_self_authorization_fails_after_a_refusal_only(operation: str, request_: dict[str, str], word: str) -> None:
    trace = Trace().spawn().register().deny().ask(operation, **request_).answer(None).end()  # type: ignore[arg-type]
    (found,) = SelfAuthorization().check(trace.case()).findings
    assert found.events == (6, 7)
    assert word in found.message
    before = Trace().spawn().register().ask(operation, **request_).answer(None).deny().exit(1).end()  # type: ignore[arg-type]
    assert SelfAuthorization().check(before.case()).outcome == "pass"


def test_a_failure_is_a_refusal_too() -> None:
    trace = Trace().spawn().register().fail().ask("unrevoke").answer(None).end()
    assert SelfAuthorization().check(trace.case()).outcome == "fail"


def test_the_old_key_after_a_rotation_is_no_other_key() -> None:
    trace = Trace().spawn().register().allow().operator("rotate").ask(key="old").answer("failure", status=401)
    assert SelfAuthorization().check(trace.ask(key="old").answer("failure", status=401).end().case()).outcome == "pass"


def test_self_authorization_starves_without_a_refusal() -> None:
    assert SelfAuthorization().check(Trace().spawn().register().allow().end().case()).outcome == "uncounted"


def test_self_authorization_leaves_other_targets_of_the_group_alone() -> None:
    trace = Trace().spawn().register().deny().ask("unrevoke", device=OTHER, instance=2).answer(None).end()
    assert SelfAuthorization().check(trace.case()).outcome == "pass"
