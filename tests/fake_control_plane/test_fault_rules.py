"""Which fault does a call get: triggers, targets, how rules go together, and what they refuse."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fake_control_plane.fault_rules import Chosen, FaultRules, parse
from fake_control_plane.faults.api import AnswerFault, describe
from tests.fake_control_plane.virtual_client import ALLOW, DENY, Client

DEVICE = "worker:dev:queue-consumer:01"


def in_force(*lines: str) -> FaultRules:
    rules = FaultRules()
    for line in lines:
        rules.add(line)
    return rules


def choose(
    rules: FaultRules, operation: str = "validate", device: str | None = DEVICE, org: str = "org-1"
) -> list[str]:
    """The names of the faults that strike this call."""
    chosen = rules.choose(operation, device, org)
    return [] if chosen is None else [part.name for part in parts(chosen)]


def parts(chosen: Chosen) -> list[AnswerFault]:
    return list(getattr(chosen.fault, "parts", [chosen.fault]))


def struck(line: str, calls: int) -> list[int]:
    """The numbers of the calls that a rule strikes."""
    rules = in_force(line)
    return [n for n in range(1, calls + 1) if choose(rules)]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        ("", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("always", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("nth=3", [3]),
        ("first=2", [1, 2]),
        ("every=3", [3, 6]),
        ("every=1", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("down=2 up=1", [1, 2, 4, 5, 7, 8]),
        ("down=1 up=3", [1, 5]),
        ("share=1", [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_a_trigger_counts_matching_calls(trigger: str, expected: list[int]) -> None:
    assert struck(f"status=503 {trigger}", 8) == expected


def test_a_brown_out_fails_its_share_of_calls_by_its_seed_alone() -> None:
    for share in (0.01, 0.3, 0.5, 0.99):
        calls = struck(f"status=503 share={share} seed=7", 20_000)
        assert len(calls) / 20_000 == pytest.approx(share, abs=0.01)
        assert calls == struck(f"status=503 share={share} seed=7", 20_000)
        assert calls != struck(f"status=503 share={share} seed=8", 20_000)


def test_a_brown_out_has_no_rhythm() -> None:
    calls = set(struck("status=503 share=0.5", 20_000))
    for lag in (1, 2, 3, 7, 64):
        again = sum(n in calls for n in (call + lag for call in calls))
        assert again / len(calls) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("target", "operation", "device", "org", "expected"),
    [
        ("", "validate", DEVICE, "org-1", True),
        ("", "unknown", None, None, True),
        ("operation=validate", "validate", DEVICE, "org-1", True),
        ("operation=validate", "register", DEVICE, "org-1", False),
        ("device=worker:*", "validate", DEVICE, "org-1", True),
        ("device=worker:*", "validate", "swarm:dev:tool:01", "org-1", False),
        ("device=worker:*", "list", None, "org-1", False),
        ("device=*", "list", None, "org-1", False),
        ("device=*:0[12]", "validate", DEVICE, "org-1", True),
        ("device=*:0[12]", "validate", DEVICE[:-1] + "3", "org-1", False),
        ("device=*:?1", "validate", DEVICE, "org-1", True),
        ("device=WORKER:*", "validate", DEVICE, "org-1", False),
        ("device=worker", "validate", DEVICE, "org-1", False),
        ("org=org-1", "validate", DEVICE, "org-1", True),
        ("org=org-1", "validate", DEVICE, "org-10", False),
        ("org=org-1", "validate", DEVICE, None, False),
        ("operation=validate device=worker:* org=org-2", "validate", DEVICE, "org-1", False),
    ],
)
def test_a_target_narrows(target: str, operation: str, device: str | None, org: str | None, expected: bool) -> None:
    rules = in_force(f"status=503 {target}")
    assert (rules.choose(operation, device, org) is not None) is expected
    assert rules.describe("fault-1")["seen"] == expected


def test_calls_that_do_not_match_are_not_counted() -> None:
    rules = in_force("status=503 device=worker:* first=2")
    hits = [choose(rules, device=device) for device in ("other", DEVICE, "other", DEVICE, DEVICE)]
    assert hits == [[], ["status"], [], ["status"], []]
    assert (rules.describe("fault-1")["seen"], rules.describe("fault-1")["hits"]) == (3, 2)


def test_the_rule_added_first_wins_a_stage_and_the_others_count_on() -> None:
    rules = in_force("status=503 first=2", "status=401 first=3", "not-json=html nth=3")
    codes = []
    for _ in range(4):
        chosen = rules.choose("validate", DEVICE, "org-1")
        codes.append(None if chosen is None else (chosen.id, describe(chosen.fault).get("status")))
    assert codes == [("fault-1", 503), ("fault-1", 503), ("fault-2", 401), None]
    assert [(rules.describe(rule.id)["seen"], rules.describe(rule.id)["hits"]) for rule in rules] == [
        (4, 2),
        (4, 1),
        (4, 0),
    ]


def test_rules_of_different_stages_compose_on_one_call() -> None:
    rules = in_force("slow-body=0.5 every=2", "latency=0.2", "status=503 operation=validate")
    assert choose(rules) == ["latency", "status"]
    assert choose(rules) == ["slow-body", "latency", "status"]
    chosen = rules.choose("validate", DEVICE, "org-1")
    assert chosen is not None
    assert chosen.id == "fault-2+fault-3"
    assert [rule.id for rule in chosen.rules] == ["fault-2", "fault-3"]


def test_a_rule_of_several_faults_gives_what_is_not_taken() -> None:
    rules = in_force("latency=0.2 nth=1", "latency=9 + status=503")
    chosen = rules.choose("validate", DEVICE, "org-1")
    assert chosen is not None
    assert [describe(part).get("seconds", "-") for part in parts(chosen)] == [0.2, "-"]
    assert choose(rules) == ["latency", "status"]


def test_a_ramp_climbs_with_each_hit_of_its_rule() -> None:
    rules = in_force("latency=1 ramp=0.5 every=2")
    got = []
    for _ in range(6):
        chosen = rules.choose("validate", DEVICE, "org-1")
        got.append(None if chosen is None else describe(chosen.fault)["seconds"])
    assert got == [None, 1.0, None, 1.5, None, 2.0]


# -- what composed faults do -----------------------------------------------------------------------------------------------


def play(line: str, client: Client) -> Any:
    chosen = in_force(line).choose("validate", DEVICE, "org-1")
    assert chosen is not None
    return asyncio.run(chosen.fault.deliver(client))


def test_a_late_error_that_drips() -> None:
    client = Client()
    receipt = play("latency=2 + status=503 body=html + slow-body=0.5 total=5", client)
    status, headers, body = client.response()
    assert (status, headers["Content-Type"]) == (503, "text/html")
    assert body == b"<html>\r\n<"  # one byte each 0.5 s, not so many as there are
    assert client.arrivals[0] == 2.0
    assert (receipt.delivered, receipt.ending, receipt.waited, client.ended) == (True, "cut-off", 7.0, "closed")
    assert receipt.evidence.startswith("2.000 s late: 9 of ")


def test_content_that_is_truncated_by_its_own_length() -> None:
    client = Client()
    receipt = play("not-boolean=deny + truncated=json", client)
    whole = json.dumps({**ALLOW.body, "allowed": "deny"}).encode()
    assert client.response()[2] == whole[: len(whole) // 2]
    assert receipt.delivered


def test_a_late_answer_that_the_client_does_not_wait_for() -> None:
    receipt = play("latency=2 + status=503", Client(leaves=1.0))
    assert (receipt.delivered, receipt.ending, receipt.waited) == (True, "gave-up", 1.0)


def test_a_composed_fault_is_delivered_only_if_all_of_it_is() -> None:
    client = Client()
    receipt = play("latency=2 + replay", client)
    assert bytes(client.sent) == client.render(DENY)
    assert (receipt.delivered, client.now) == (False, 2.0)
    assert receipt.evidence.startswith("2.000 s late: not delivered: there was no answer that replay could be made of")
    assert play("latency=2 + replay", Client(earlier=[ALLOW])).delivered


def test_what_must_be_remembered_is_known() -> None:
    rules = in_force("status=503")
    assert rules.earlier_answers == 0
    rules.add("stale=3")
    rules.add("latency=1 + replay=7 nth=9")
    assert rules.earlier_answers == 7
    rules.remove("fault-3")
    assert rules.earlier_answers == 3
    chosen = in_force("latency=1 + replay=7").choose("validate", DEVICE, "org-1")
    assert chosen is not None
    assert chosen.fault.earlier_answers == 7


# -- the listener's faults -------------------------------------------------------------------------------------------------


def test_a_listener_fault_strikes_no_call() -> None:
    rules = in_force("refuse", "no-name", "certificate=expired first=2")
    assert choose(rules) == []
    assert [getattr(rules.listener(layer), "id", None) for layer in ("tcp", "dns", "tls")] == [
        "fault-1",
        "fault-2",
        "fault-3",
    ]
    rules.remove("fault-1")
    assert rules.listener("tcp") is None


def test_a_tls_fault_counts_connections() -> None:
    rules = in_force("certificate=expired first=2", "handshake-cut every=2")
    shown = [fault.certificate if (fault := rules.connect()) else None for _ in range(5)]
    assert shown == ["expired", "expired", None, "cut", None]
    assert rules.describe("fault-1").items() >= {"seen": 5, "hits": 2}.items()
    assert rules.describe("fault-2").items() >= {"seen": 5, "hits": 1}.items()


@pytest.mark.parametrize("fault", ["refuse", "no-name", "certificate=expired", "handshake-cut", "handshake-hang"])
@pytest.mark.parametrize("word", ["operation=validate", "device=worker:*", "org=org-1"])
def test_a_listener_fault_cannot_be_narrowed(fault: str, word: str) -> None:
    name, key = fault.partition("=")[0], word.partition("=")[0]
    message = (
        f"^fault '{name}' acts on the listener, before anyone knows .* cannot be narrowed by {key}; leave {key} out"
    )
    with pytest.raises(ValueError, match=message):
        parse(f"{fault} {word}", id="one")


@pytest.mark.parametrize("fault", ["refuse", "no-name"])
@pytest.mark.parametrize("trigger", ["nth=1", "first=2", "every=2", "share=0.5", "down=1 up=1"])
def test_what_nobody_can_count_has_no_trigger(fault: str, trigger: str) -> None:
    with pytest.raises(ValueError, match=f"^fault '{fault}' lasts until it is cleared: .* triggered by {trigger}"):
        parse(f"{fault} {trigger}", id="one")


# -- adding, removing, going on --------------------------------------------------------------------------------------------


def test_ids_are_given_once() -> None:
    rules = in_force("status=503", "hang")
    assert rules.remove("fault-2").faults[0].name == "hang"
    assert rules.add("latency=1").id == "fault-3"
    assert rules.add({"id": "mine", "fault": {"hang": {}}}).id == "mine"
    with pytest.raises(ValueError, match=r"^id: a fault rule 'mine' is in force; remove it first"):
        rules.add({"id": "mine", "fault": {"hang": {}}})
    assert [rule.id for rule in rules.clear()] == ["fault-1", "fault-3", "mine"]
    assert len(rules) == 0
    assert choose(rules) == []
    assert rules.add("hang").id == "fault-4"


def test_a_rule_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(LookupError, match=r"^no fault rule 'fault-2' is in force.*; in force: there is none$"):
        FaultRules().remove("fault-2")
    with pytest.raises(
        LookupError, match=r"^no fault rule 'fault-2' .*\(nearest known: 'fault-1'\); in force: fault-1$"
    ):
        in_force("hang").describe("fault-2")


def test_a_restored_rule_goes_on_where_it_was() -> None:
    lines = ["status=503 first=3", "latency=1 ramp=1", "reset=before share=0.4 seed=3", "certificate=expired first=2"]
    rules = in_force(*lines)
    rules.connect()
    for _ in range(2):
        choose(rules)
    after = FaultRules()
    for rule in rules:
        after.restore(json.loads(json.dumps(rules.describe(rule.id))))
    for _ in range(40):
        one, other = rules.choose("validate", DEVICE, "org-1"), after.choose("validate", DEVICE, "org-1")
        assert one == other
        assert rules.connect() == after.connect()
    assert [after.describe(rule.id) for rule in after] == [rules.describe(rule.id) for rule in rules]
    assert after.next_id() == rules.next_id() == "fault-5"
