"""What is written as a fault rule: lines and JSON, and the errors of those that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fake_control_plane import fault_rules, faults
from fake_control_plane.fault_rules import parse, write_line


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", r"^fault rule: got an empty line; expected one such as status=503 operation=validate first=2$"),
        ("status=503 'x", r"^fault rule \"status=503 'x\": No closing quotation; expected words"),
        (
            "statu=503",
            r"^'statu' is unknown \(nearest known: 'status'\); expected a target \(operation, device, org\), ",
        ),
        (
            "status=503 frist=2",
            r"^'frist' is unknown \(nearest known: 'first'\); expected a parameter of 'status' \(status,",
        ),
        (
            "status=503 latency=1",
            r"^fault 'latency': stands behind another; write '\+' between the two: status \+ latency",
        ),
        ("status=503 +", r"^fault rule 'status=503 \+': expected a fault behind the \+; one of "),
        ("+ status=503", r"^'\+': stands between two faults; expected a fault before it$"),
        ("first=2", r"^fault rule 'first=2': expected a fault; one of "),
        ("status=503 status=502", r"^fault 'status': parameter 'status' is given twice"),
        ("hang + hang", r"^fault 'hang' is given twice"),
        ("hang first=1 first=2", r"^trigger 'first' is given twice"),
        ("hang org=a org=b", r"^target 'org' is given twice"),
        ("refuse=1", r"^fault 'refuse': got '1'; expected no value: this fault has no parameters"),
        (
            "hang seconds",
            r"^fault 'hang': parameter 'seconds' has no value; expected seconds= and target seconds above 0",
        ),
        ("reset", r"^fault 'reset': parameter 'when' is missing; expected before or middle"),
        ("reset=befor", r"^fault 'reset': parameter 'when': got 'befor' \(nearest known: 'before'\); expected"),
        (
            "hang operation=validat",
            r"^operation: got 'validat' \(nearest known: 'validate'\); expected one of register, ",
        ),
        ("hang device=", r"^device: got ''; expected a glob of device ids"),
        ("hang org=", r"^org: got ''; expected an org's id"),
        ("hang first=0", r"^trigger: first: got 0; expected a whole number of 1 or more: so many"),
        ("hang first=2.0", r"^trigger: first: got 2.0; expected"),
        ("hang first=two", r"^trigger: first: got 'two'; expected"),
        ("hang first", r"^trigger: first: got True; expected"),
        ("hang always=false", r"^trigger: always: got False; expected true"),
        ("hang share=0", r"^trigger: share: got 0; expected a number above 0 and up to 1"),
        ("hang share=1.01", r"^trigger: share: got 1.01; expected"),
        ("hang share=NaN", r"^trigger: share: got 'NaN'; expected"),
        ("hang share=0.5 seed=-1", r"^trigger: seed: got -1; expected a whole number of 0 or more"),
        (
            "hang first=1 share=0.5",
            r"^trigger: first and share contradict each other: a rule has one trigger; keep one$",
        ),
        ("hang down=2", r"^trigger: up is missing; expected a whole number of 1 or more, with down$"),
        ("hang up=2", r"^trigger: up stands alone; expected"),
        ("hang first=1 seed=2", r"^trigger: seed stands alone; expected"),
        (
            "status=503 + not-json=html",
            r"^faults 'status' and 'not-json' contradict each other: both replace the answer, .*; keep one of them, or put",
        ),
        ("hang + reset=before", r"^faults 'hang' and 'reset' contradict each other: both spoil how the answer leaves"),
        (
            "status=500 + refuse",
            r"^faults 'refuse' and 'status' contradict each other: 'refuse' acts on the listener, before there is a call",
        ),
        ("refuse + no-name", r"^faults 'refuse' and 'no-name' contradict each other"),
        (3, r"^fault rule: got 3; expected an object such as "),
        ({}, r"^fault rule: fault is missing; expected one such as "),
        ({"fault": "hang"}, r"^fault: got 'hang' \(write \{'hang': \{\}\}\); expected an object"),
        ({"fault": {}}, r"^fault: got \{\}; expected an object"),
        ({"fault": {"hang": 3}}, r"^fault 'hang': got 3; expected its parameters as an object, or \{\}"),
        ({"fault": {"hang": {}}, "device": None}, r"^device: got None; expected"),
        ({"fault": {"hang": {}}, "operation": ["validate"]}, r"^operation: got \['validate'\]; expected one of"),
        ({"fault": {"hang": {}}, "trigger": None}, r"^trigger: got None; expected an object such as"),
        ({"fault": {"hang": {}}, "trigger": {"frist": 1}}, r"^trigger: 'frist' is unknown \(nearest known: 'first'\)"),
        (
            {"fault": {"hang": {}}, "when": 1},
            r"^fault rule: 'when' is unknown; expected id, fault, operation, device, org, t",
        ),
        ({"fault": {"hang": {}}, "id": "a/b"}, r"^id: got 'a/b'; expected up to 64 letters, digits"),
        ({"fault": {"hang": {}}, "id": "a\n"}, r"^id: got 'a\\n'; expected"),
    ],
)
def test_what_is_not_exact_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(value, id="one")


def test_words_of_a_rule_are_no_parameters_of_a_fault() -> None:
    """Else a line could not say which of the two is meant."""
    words = {"id", "fault", "name", "trigger", *fault_rules.rule.TARGET, *fault_rules.triggers.WORDS}
    for name, kind in faults.kinds().items():
        assert words.isdisjoint({name, *kind.parameters}), name


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (
            "status=503 operation=validate first=2",
            {"fault": {"status": {"status": 503}}, "operation": "validate", "trigger": {"first": 2}},
        ),
        (
            "latency=0.2 jitter=0.1 + status=429 retry_after=none device='a b' share=0.3 seed=7",
            {
                "fault": {"latency": {"seconds": 0.2, "jitter": 0.1}, "status": {"status": 429, "retry_after": "none"}},
                "device": "a b",
                "trigger": {"share": 0.3, "seed": 7},
            },
        ),
        (
            "first=2 redirect status=302 to=loop",
            {"fault": {"redirect": {"status": 302, "to": "loop"}}, "trigger": {"first": 2}},
        ),
        ("not-boolean=deny", {"fault": {"not-boolean": {"value": "deny"}}}),
        ("not-boolean=0", {"fault": {"not-boolean": {"value": 0}}}),
        ("""not-boolean='"0"'""", {"fault": {"not-boolean": {"value": "0"}}}),
        ("not-boolean='{}'", {"fault": {"not-boolean": {"value": {}}}}),
        ("not-boolean=NaN", {"fault": {"not-boolean": {"value": "NaN"}}}),
        ("mistyped-field=1 value=null", {"fault": {"mistyped-field": {"field": "1", "value": None}}}),
        ("content-type=text/plain device=1", {"fault": {"content-type": {"type": "text/plain"}}, "device": "1"}),
    ],
)
def test_a_line_is_the_same_rule_as_its_json(line: str, value: dict[str, Any]) -> None:
    rule = parse(line, id="one")
    assert rule == parse(value, id="one")
    assert parse(write_line(rule), id="one") == rule
    assert parse(json.loads(json.dumps(rule.describe()))) == rule


@pytest.mark.parametrize("name", faults.names())
def test_every_example_is_a_rule_of_its_fault(name: str) -> None:
    rule = parse(faults.kinds()[name].example, id="one")
    assert [fault.name for fault in rule.faults] == [name]
