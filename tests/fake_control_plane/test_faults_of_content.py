"""The faults that answer something else, or old, or late: byte by byte, with a virtual clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fake_control_plane import faults
from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import Receipt
from fake_control_plane.faults.latency import Latency
from tests.fake_control_plane.virtual_client import ALLOW, DENY, Client, deliver


def answered(name: str, parameters: dict[str, Any], client: Client) -> tuple[Receipt, dict[str, str], bytes]:
    """A whole response on a connection that goes on, and what the receipt says of it."""
    receipt = deliver(name, parameters, client)
    status, headers, body = client.response()
    assert receipt.answer is not None
    assert (receipt.ending, receipt.answer.status, receipt.answer.payload()) == ("answered", status, body)
    assert int(headers["Content-Length"]) == len(body)
    assert client.ended is None
    return receipt, headers, body


@pytest.mark.parametrize("truth", [ALLOW, DENY])
def test_content_type_changes_nothing_but_the_type(truth: Answer) -> None:
    receipt, headers, body = answered("content-type", {"type": "text/plain; charset=x"}, Client(answer=truth))
    assert headers["Content-Type"] == "text/plain; charset=x"
    assert body == truth.payload()
    assert receipt.delivered
    assert receipt.answer is not None
    assert receipt.answer.decision == truth.decision


@pytest.mark.parametrize(("last", "decision"), [(True, "allow"), (False, "deny")])
def test_duplicate_field_says_both(last: bool, decision: str) -> None:
    receipt, _, body = answered("duplicate-field", {"last": last}, Client())
    pairs = json.loads(body, object_pairs_hook=list)
    assert [value for name, value in pairs if name == "allowed"] == [not last, last]
    assert [name for name, _ in pairs] == ["allowed", "code", "request_id", "allowed"]
    assert receipt.answer is not None
    assert receipt.answer.decision == decision
    assert receipt.answer.body == {**ALLOW.body, "allowed": last}  # what most readers see, request id included


@pytest.mark.parametrize(("field", "value"), [("code", 42), ("request_id", None), ("allowed", "true"), ("new", [1])])
def test_mistyped_field_is_the_truth_but_for_one_field(field: str, value: Any) -> None:
    receipt, _, body = answered("mistyped-field", {"field": field, "value": value}, Client())
    assert json.loads(body) == {**DENY.body, field: value}
    assert receipt.delivered
    assert receipt.answer is not None
    assert receipt.answer.decision == ("failure" if field == "allowed" else "deny")


def test_mistyped_field_keeps_the_status_and_needs_an_object() -> None:
    refused = Client(answer=Answer(status=401, body={"status": "error"}))
    deliver("mistyped-field", {"field": "error", "value": 1}, refused)
    status, _, body = refused.response()
    assert (status, json.loads(body)) == (401, {"status": "error", "error": 1})

    bare = Client(answer=Answer(raw=b"page"))
    receipt = deliver("mistyped-field", {"field": "error", "value": 1}, bare)
    assert bare.response()[2] == b"page"
    assert (receipt.delivered, receipt.ending) == (False, "answered")
    assert receipt.evidence.startswith(
        "not delivered: there was no answer that mistyped-field could be made of; HTTP 200"
    )


@pytest.mark.parametrize(("allowed", "code"), [(True, "DEVICE_REVOKED"), (False, "ALLOW")])
def test_contradictory_code(allowed: bool, code: str) -> None:
    receipt, _, body = answered("contradictory-code", {"allowed": allowed}, Client())
    assert json.loads(body) == {**ALLOW.body, "allowed": allowed, "code": code}
    assert receipt.answer is not None
    assert receipt.answer.decision == ("allow" if allowed else "deny")


def decision(n: int, *, allowed: bool) -> Answer:
    return Answer(body={"allowed": allowed, "code": "ALLOW" if allowed else "DEVICE_REVOKED", "request_id": f"id-{n}"})


# The device is revoked between the 3rd and the 4th call.
TRUTHS = [decision(n, allowed=n <= 3) for n in range(1, 8)]


@pytest.mark.parametrize(("late", "denied_from"), [(1, 5), (2, 6), (3, 7)])
def test_stale_the_deny_arrives_so_many_decisions_late(late: int, denied_from: int) -> None:
    got = []
    for at, truth in enumerate(TRUTHS):
        client = Client(answer=truth, earlier=TRUTHS[:at])
        receipt, _, body = answered("stale", {"decisions": late}, client)
        assert receipt.delivered is (at > 0)  # before the first decision there is no older one
        assert json.loads(body)["request_id"] == truth.body["request_id"]  # it looks fresh
        got.append(json.loads(body)["allowed"])
    assert got == [n < denied_from for n in range(1, 8)]


def test_stale_takes_an_older_answer_as_it_was_where_no_request_id_can_be_put_in() -> None:
    older = Answer(body={"valid": True})
    client = Client(answer=Answer(body={"valid": False, "revoked": True}), earlier=[older])
    deliver("stale", {}, client)
    assert json.loads(client.response()[2]) == {"valid": True}


@pytest.mark.parametrize("back", [1, 2])
def test_replay_is_byte_for_byte_an_earlier_answer(back: int) -> None:
    for at, truth in enumerate(TRUTHS):
        client = Client(answer=truth, earlier=TRUTHS[:at])
        receipt = deliver("replay", {"back": back}, client)
        there = at >= back
        assert bytes(client.sent) == client.render(TRUTHS[at - back] if there else truth)
        assert receipt.delivered is there


def test_a_redirect_loop_leads_to_the_request_itself() -> None:
    client = Client(scheme="http", host="127.0.0.1:8080", target="/api/v1/devices/validate?a=b")
    receipt = deliver("redirect", {"status": 307, "to": "loop"}, client)
    status, headers, _ = client.response()
    assert (status, headers["Location"]) == (307, "http://127.0.0.1:8080/api/v1/devices/validate?a=b")
    assert receipt.delivered


@pytest.mark.parametrize("body", ["html", "empty", "json"])
@pytest.mark.parametrize("status", range(200, 600))
def test_every_final_status_is_one_whole_response_without_a_decision(status: int, body: str) -> None:
    client = Client()
    receipt = deliver("status", {"status": status, "body": body}, client)
    assert client.response()[0] == status
    assert (receipt.delivered, receipt.ending, client.ended) == (True, "answered", None)
    assert receipt.answer is not None
    assert receipt.answer.decision == "failure"
    assert receipt.answer.payload() == client.response()[2]


@pytest.mark.parametrize("status", [100, 101, 103, 199])
def test_an_interim_status_is_no_answer(status: int) -> None:
    client = Client()
    receipt = deliver("status", {"status": status}, client)
    assert client.response()[0] == status
    assert client.response()[2] == b""
    assert (receipt.delivered, receipt.ending, receipt.answer, client.ended) == (True, "cut-off", None, "closed")


# -- latency ---------------------------------------------------------------------------------------------------------------


def delays(count: int, **parameters: Any) -> list[float]:
    """When the first ``count`` calls are answered, in seconds after they were asked."""
    latency = faults.make("latency", parameters)
    times = []
    for n in range(1, count + 1):
        client = Client()
        bound = latency.at(n)
        assert isinstance(bound, Latency)
        deliver("latency", dict(vars(bound)), client)
        assert bytes(client.sent) == client.render(DENY)
        times.append(client.now)
    return times


def test_latency_without_jitter_is_the_same_each_time() -> None:
    assert delays(3, seconds=0.5) == [0.5, 0.5, 0.5]
    latency = faults.make("latency", {"seconds": 0.5})
    assert latency.at(7) is latency


def test_latency_ramps_up_to_its_most() -> None:
    assert delays(5, seconds=0.5, ramp=0.25, most=1.2) == [0.5, 0.75, 1.0, 1.2, 1.2]
    assert delays(2, seconds=90, ramp=0, most=60) == [90, 90]  # where there is no ramp, nothing ends it


def test_latency_jitters_within_its_bounds_and_by_its_seed_alone() -> None:
    times = delays(200, seconds=1.0, jitter=0.4, jitter_seed=7)
    assert times == delays(200, seconds=1.0, jitter=0.4, jitter_seed=7)
    assert times != delays(200, seconds=1.0, jitter=0.4, jitter_seed=8)
    assert all(0.6 <= time <= 1.4 for time in times)
    assert min(times) < 0.65
    assert max(times) > 1.35
    assert len(set(times)) == 200
    assert all(time > 0 for time in delays(200, seconds=0.1, jitter=0.1))


def test_latency_with_jitter_and_ramp_gives_up_with_the_client() -> None:
    receipt = deliver("latency", {"seconds": 5, "jitter": 1, "ramp": 1}, Client(leaves=1.0))
    assert (receipt.delivered, receipt.ending, receipt.waited) == (True, "gave-up", 1.0)
