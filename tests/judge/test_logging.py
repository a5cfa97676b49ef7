from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from machineid_conformance.judge.api import Rule
from machineid_conformance.judge.logs import normalise
from machineid_conformance.judge.rules.logging_denials import BoundaryKind, Code, DeviceId, RequestId, Structured
from machineid_conformance.judge.rules.logging_failures import Failure, FailureReason
from machineid_conformance.judge.rules.logging_no_secrets import NoSecretsInLogs
from machineid_conformance.trace.events import Output, RedirectFollowed
from machineid_conformance.trace.redact import OLD_KEY_MARK, ORG_KEY_MARK, SECRET_MARK
from tests.judge._traces import DEVICE, OTHER, Trace, baseline, target

ONE = "11111111-1111-4111-8111-111111111111"
NEXT = "22222222-2222-4222-8222-222222222222"
WRONG = "99999999-9999-4999-8999-999999999999"
TWO = target(devices=(DEVICE, OTHER))
DENY_RULES: list[Rule] = [RequestId(), Code(), DeviceId(), BoundaryKind(), Structured()]
every_deny_rule = pytest.mark.parametrize("rule", DENY_RULES, ids=lambda rule: rule.id)


def record(request_id: str = ONE, **changes: str) -> str:
    fields = {"event": "denied", "device": DEVICE, "boundary": "startup", "code": "DEVICE_REVOKED", **changes}
    return json.dumps({**fields, "request_id": request_id})


def denied(request_id: str = ONE) -> Trace:
    return Trace().spawn().register().deny(request_id=request_id)


def outcome(rule: Rule, trace: Trace) -> str:
    return rule.check(trace.case()).outcome


# -- what the rules on a deny share --------------------------------------------------------------------------------------


@every_deny_rule
@pytest.mark.parametrize("stream", ["stdout", "stderr", "file:var/log/app.jsonl", "effect:3"])
def test_a_whole_record_passes_in_any_stream(rule: Rule, stream: str) -> None:
    assert outcome(rule, denied().output(record(), stream=stream).exit(1).end()) == "pass"


@every_deny_rule
def test_output_that_is_drained_at_the_exit_counts(rule: Rule) -> None:
    assert outcome(rule, denied().exit(1).output(record()).end()) == "pass"


@every_deny_rule
def test_silence_fails(rule: Rule) -> None:
    (found,) = rule.check(denied().exit(1).end().case()).findings
    assert (found.got, found.events) == ("nothing was logged", (6,))


@every_deny_rule
def test_a_record_before_the_deny_is_not_of_it(rule: Rule) -> None:
    trace = Trace().spawn().register().output(record()).deny(request_id=ONE).exit(1).end()
    assert outcome(rule, trace) == "fail"


@every_deny_rule
def test_starves_without_a_deny(rule: Rule) -> None:
    assert outcome(rule, Trace().spawn().register().allow().effect().end()) == "uncounted"
    assert outcome(rule, Trace().spawn().register().fail().exit(1).end()) == "uncounted"
    assert outcome(rule, Trace().spawn().register().ask().exit(1).answer("deny").end()) == "uncounted"


@every_deny_rule
def test_each_deny_is_asked_for(rule: Rule) -> None:
    trace = denied().output(record()).deny(request_id=NEXT)
    assert outcome(rule, trace.exit(1).end()) == "fail"
    trace = denied().output(record()).deny(request_id=NEXT).output(record(NEXT))
    assert outcome(rule, trace.exit(1).end()) == "pass"


@every_deny_rule
def test_at_two_workers_one_deny_is_enough(rule: Rule) -> None:
    trace = Trace().spawn().ask().ask().answer("deny", call=1, request_id=ONE).answer("deny", call=2, request_id=NEXT)
    trace.output(record(NEXT)).exit(1).end()
    assert rule.check(trace.case(target(concurrency=2))).outcome == "pass"
    assert rule.check(trace.case()).outcome == "fail"
    silent = Trace().spawn().deny().deny().exit(1).end()
    assert len(rule.check(silent.case(target(concurrency=2))).findings) == 1


@every_deny_rule
def test_the_last_deny_of_a_run_that_was_cut_short_may_be_missing(rule: Rule) -> None:
    trace = denied().output(record()).deny(request_id=NEXT).exit(signal="SIGTERM", by="harness")
    assert outcome(rule, trace.end("asked")) == "pass"


@every_deny_rule
def test_a_buffered_stream_is_read_block_by_block(rule: Rule) -> None:
    trace = denied().deny(request_id=NEXT).exit(1).output(record()).output(record(NEXT)).end()
    assert outcome(rule, trace) == "pass"


@every_deny_rule
def test_the_record_of_another_instance_is_not_this_ones(rule: Rule) -> None:
    two = target(instances=2, devices=(DEVICE, OTHER))
    trace = Trace().spawn().spawn(instance=2, device=OTHER).deny(request_id=ONE)
    trace.output(record(), instance=2).exit(1).exit(1, instance=2).end()
    assert rule.check(trace.case(two)).outcome == "fail"


@every_deny_rule
def test_a_deny_of_another_target_of_the_group_is_not_judged_here(rule: Rule) -> None:
    trace = Trace().spawn().spawn(instance=2, device=OTHER).deny(instance=2, device=OTHER).exit(1, instance=2).end()
    assert outcome(rule, trace) == "uncounted"


@every_deny_rule
def test_a_deny_of_another_device_is_logged_on_its_own(rule: Rule) -> None:
    trace = denied().output(record()).deny(device=OTHER, request_id=NEXT)
    assert rule.check(trace.exit(1).end().case(TWO)).outcome == "fail"
    trace = denied().output(record()).deny(device=OTHER, request_id=NEXT).output(record(NEXT, device=OTHER))
    assert rule.check(trace.exit(1).end().case(TWO)).outcome == "pass"


# -- one by one ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("logged", "word"),
    [
        (WRONG, "another id"),
        (NEXT, "stale"),
        ("none", "not in the log"),
        (ONE.replace("-", ""), "not in the log"),
        (ONE[:8], "not in the log"),
    ],
)
def test_a_request_id_that_is_not_its_own(logged: str, word: str) -> None:
    trace = Trace().spawn().ask().answer("allow", request_id=NEXT).effect().deny(request_id=ONE)
    (found,) = RequestId().check(trace.output(record(logged)).exit(1).end().case()).findings
    assert word in found.message
    assert found.expected == f"a line with {ONE}"


@pytest.mark.parametrize("rule", [Code(), DeviceId(), BoundaryKind(), Structured()], ids=lambda rule: rule.id)
def test_a_wrong_request_id_fails_its_own_rule_alone(rule: Rule) -> None:
    assert outcome(rule, denied().output(record(WRONG)).exit(1).end()) == "pass"


@pytest.mark.parametrize(
    ("lines", "fails"),
    [
        ([record()], set()),
        ([record(code="denied")], {"logging/code"}),
        ([record(device="-")], {"logging/device-id"}),
        ([record(boundary="")], {"logging/boundary"}),
        (
            ["allowed: False", "code: DEVICE_REVOKED", f"request_id: {ONE}"],
            {"logging/device-id", "logging/boundary", "logging/structured"},
        ),
        ([f"{DEVICE} denied at startup: DEVICE_REVOKED {ONE}"], {"logging/structured"}),
        ([f"level=warn boundary=startup device={DEVICE} code=DEVICE_REVOKED request_id={ONE}"], set()),
        ([f"{DEVICE}: stopping at startup", f'{{"code": "DEVICE_REVOKED", "request_id": "{ONE}"}}'], set()),
        ([json.dumps({"message": f"{DEVICE} denied at startup: DEVICE_REVOKED {ONE}"})], {"logging/structured"}),
        (["  ".join(["stopped"] * 3)], {rule.id for rule in DENY_RULES}),
    ],
)
def test_each_rule_asks_for_its_own_thing(lines: list[str], fails: set[str]) -> None:
    trace = denied()
    for line in lines:
        trace.output(line)
    trace.exit(1).end()
    assert {rule.id for rule in DENY_RULES if outcome(rule, trace) == "fail"} == fails


def test_a_line_that_was_split_is_read_whole() -> None:
    line = record()
    trace = denied()
    trace.add(Output(instance=1, start=1, stream="stdout", text=line[:-20], continues=True))
    trace.output("between", stream="stderr").output(line[-20:]).exit(1).end()
    assert outcome(RequestId(), trace) == "pass"


# -- failures ------------------------------------------------------------------------------------------------------------


def quiet(*lines: str) -> Callable[[Trace], Trace]:
    """A target whose fault-free runs print "started", and which prints these lines when validate fails."""

    def run(trace: Trace) -> Trace:
        for line in lines:
            trace.output(line)
        return trace.exit(1).end()

    return run


FAULT_FREE = baseline(outputs=frozenset({normalise("started in 12 ms"), normalise("stopping")}))


def failed(how: str = "reset", fault: str = "reset") -> Trace:
    trace = Trace(subject="validate", n=1).spawn().output("started in 7 ms").register()
    return trace.unreachable(how, fault=fault) if how in ("refused", "dns", "tls") else trace.fail(how, fault=fault)


@pytest.mark.parametrize("how", ["refused", "dns", "tls", "reset", "gave-up", "cut-off"])
@pytest.mark.parametrize(
    ("lines", "failure", "reason"),
    [
        (["validate failed: timed out"], "pass", "pass"),
        (["Traceback (most recent call last):", "ConnectionResetError: [Errno 104]"], "pass", "pass"),
        (["validate failed"], "pass", "fail"),
        (["stopping"], "fail", "fail"),
        (["started in 99 ms"], "fail", "fail"),
        ([], "fail", "fail"),
    ],
)
def test_a_failure_is_logged_with_its_reason(how: str, lines: list[str], failure: str, reason: str) -> None:
    case = quiet(*lines)(failed(how)).case(fault_free=FAULT_FREE)
    assert Failure().check(case).outcome == failure
    assert FailureReason().check(case).outcome == reason


def test_a_failure_that_is_logged_before_the_connection_is_closed_counts() -> None:
    trace = Trace().spawn().register().ask().output("TimeoutError").lose("gave-up").receipt("hang").exit(1).end()
    assert Failure().check(trace.case(fault_free=FAULT_FREE)).outcome == "pass"


def test_what_was_new_before_the_call_is_not_of_the_failure() -> None:
    trace = Trace().spawn().output("something new").register().allow().fail().exit(1).end()
    assert Failure().check(trace.case(fault_free=FAULT_FREE)).outcome == "fail"


@pytest.mark.parametrize("rule", [Failure(), FailureReason()], ids=lambda rule: rule.id)
def test_failures_starve(rule: Rule) -> None:
    unfaulted = Trace().spawn().register().fail(fault=None).exit(1).end()
    assert "not delivered" in (rule.check(unfaulted.case()).reason or "")
    answered = Trace().spawn().register().error(503, fault="status").exit(1).end()
    assert "HTTP answer" in (rule.check(answered.case()).reason or "")
    pending = Trace().spawn().register().fail("unanswered", fault="hang").exit(1).end()
    assert rule.check(pending.case()).outcome == "uncounted"


@pytest.mark.parametrize("rule", [Failure(), FailureReason()], ids=lambda rule: rule.id)
def test_a_client_that_accepts_a_bad_certificate_got_an_answer(rule: Rule) -> None:
    trace = failed("tls", "certificate")
    trace.add(RedirectFollowed(connection=None, instance=1, method="POST", host="machineid.io"))  # type: ignore[arg-type]
    assert rule.check(trace.exit(1).end().case(fault_free=FAULT_FREE)).outcome == "uncounted"


@pytest.mark.parametrize("rule", [Failure(), FailureReason()], ids=lambda rule: rule.id)
def test_the_log_of_another_instance_does_not_tell_of_this_one(rule: Rule) -> None:
    two = target(instances=2, devices=(DEVICE, OTHER))
    trace = Trace().spawn().spawn(instance=2, device=OTHER).fail().output("ReadTimeout", instance=2).exit(1).end()
    assert rule.check(trace.case(two, FAULT_FREE)).outcome == "fail"
    trace = Trace().spawn().spawn(instance=2, device=OTHER).fail(instance=2, device=OTHER)
    trace.output("ReadTimeout", instance=2).exit(1).end()
    assert rule.check(trace.case(two, FAULT_FREE)).outcome == "pass"


# -- no-secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [ORG_KEY_MARK, OLD_KEY_MARK])
def test_a_key_in_the_log_fails_once_a_stream(mark: str) -> None:
    trace = Trace().spawn().output(f"key={mark}").output(f"again {mark}").output(mark, stream="effect:4").end()
    found = NoSecretsInLogs().check(trace.case()).findings
    assert [finding.events for finding in found] == [(3,), (5,)]
    assert "effect:4" in found[1].message


def test_no_secrets_in_logs_passes() -> None:
    trace = Trace().spawn().output("started").output(f"Authorization: {SECRET_MARK}").end()
    assert NoSecretsInLogs().check(trace.case()).outcome == "pass"


def test_no_secrets_in_logs_starves_without_output() -> None:
    assert NoSecretsInLogs().check(Trace().spawn().exit().end().case()).outcome == "uncounted"


def test_the_log_of_another_target_of_the_group_is_not_judged_here() -> None:
    trace = Trace().spawn().output("started").output(ORG_KEY_MARK, instance=2).end()
    assert NoSecretsInLogs().check(trace.case()).outcome == "pass"
