"""Whatever rules are made: choices against a naive model, and the three forms of a rule against each other."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, Union, cast

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_control_plane import fault_rules, faults
from fake_control_plane.fault_rules import FaultRule, FaultRules, Match, parse, write_line
from fake_control_plane.fault_rules.rule import OPERATIONS
from fake_control_plane.fault_rules.triggers import ALWAYS, Every, First, Flap, Nth, Share, Trigger
from fake_control_plane.faults.api import AnswerFault, Fault, ListenerFault
from fake_control_plane.faults.stages import StagedFault

PROBE = jsonschema.Draft202012Validator(fault_rules.schema())

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
SECONDS = st.floats(min_value=0.001, max_value=1e6)
WHOLE = st.integers(1, 50)
TRIGGERS = st.one_of(
    st.just(ALWAYS),
    st.builds(Nth, WHOLE),
    st.builds(First, WHOLE),
    st.builds(Every, WHOLE),
    st.builds(Flap, WHOLE, WHOLE),
    st.builds(Share, st.floats(0, 1, exclude_min=True), st.integers(0, 2**64)),
)


def of_type(hint: object) -> st.SearchStrategy[Any]:
    """Values that a parameter of this type might have, good and bad."""
    if typing.get_origin(hint) is Literal:
        return st.sampled_from(typing.get_args(hint))
    if typing.get_origin(hint) in (Union, types.UnionType):
        return st.one_of([of_type(one) for one in typing.get_args(hint)])
    simple: dict[object, st.SearchStrategy[Any]] = {
        int: st.integers(-2, 1200),
        float: SECONDS | st.integers(-1, 100) | st.just(0.0),
        bool: st.booleans(),
        str: TEXT | st.sampled_from(["text/html", "allowed"]),
        type(None): st.none(),
        Any: JSON,
    }
    return simple[hint]


@st.composite
def parameters_of(draw: st.DrawFn, kind: type[Fault], *, wild: bool) -> dict[str, Any]:
    """Parameters of a fault; ``wild``: any JSON value may stand in for one of the right type."""
    hints = typing.get_type_hints(kind)
    made = {}
    for field in dataclasses.fields(cast("Any", kind)):
        if field.default is dataclasses.MISSING or draw(st.booleans()):
            made[field.name] = draw(of_type(hints[field.name]) | JSON if wild else of_type(hints[field.name]))
    return made


@st.composite
def made_faults(draw: st.DrawFn, names: Sequence[str] = faults.names()) -> Fault:
    name = draw(st.sampled_from(names))
    parameters = draw(parameters_of(faults.kinds()[name], wild=False))
    try:
        return faults.make(name, parameters)
    except ValueError:
        example = parse(faults.kinds()[name].example, id="example")
        return example.faults[0]


ON_CALLS = [name for name, kind in faults.kinds().items() if issubclass(kind, AnswerFault)]
ON_TLS = ["certificate", "handshake-cut", "handshake-hang"]


@st.composite
def made_rules(draw: st.DrawFn, rule_id: str = "one", globs: st.SearchStrategy[str] = TEXT) -> FaultRule:
    if draw(st.integers(0, 5)) == 0:
        fault = draw(made_faults([name for name, kind in faults.kinds().items() if issubclass(kind, ListenerFault)]))
        return FaultRule(id=rule_id, faults=(fault,), trigger=draw(TRIGGERS) if fault.name in ON_TLS else ALWAYS)
    chosen = draw(st.lists(made_faults(ON_CALLS), min_size=1, max_size=3, unique_by=lambda one: cast("Any", one).stage))
    match = Match(
        operation=draw(st.none() | st.sampled_from(OPERATIONS)),
        device=draw(st.none() | globs),
        org=draw(st.none() | st.sampled_from(["org-1", "org-2"])),
    )
    return FaultRule(id=rule_id, faults=tuple(chosen), match=match, trigger=draw(TRIGGERS))


@given(made_rules())
@settings(max_examples=200, deadline=None)
def test_a_rule_is_the_same_from_a_line_and_from_json(rule: FaultRule) -> None:
    assert parse(write_line(rule), id=rule.id) == rule
    described = json.loads(json.dumps(rule.describe()))
    assert parse(described) == rule
    PROBE.validate(described)


# -- the choice against a model --------------------------------------------------------------------------------------------

GLOBS = st.sampled_from(["*", "worker:*", "*:01", "worker:dev:??", "[ws]*:0[1-3]", "worker:dev:01"])
DEVICES = st.none() | st.sampled_from(["worker:dev:01", "worker:dev:02", "swarm:dev:01", "other"])
CALLS = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), DEVICES, st.none() | st.sampled_from(["org-1", "org-2"])), max_size=60
)


def naive(trigger: Trigger, n: int) -> bool:
    """By counting from the start, not by arithmetic on n."""
    match trigger:
        case Nth(nth=number):
            return n == number
        case First(first=number):
            return n in range(1, number + 1)
        case Every(every=number):
            return n in range(number, n + 1, number)
        case Flap(down=down, up=up):
            rhythm = ([True] * down + [False] * up) * (n // (down + up) + 1)
            return rhythm[n - 1]
        case Share():
            return trigger.fires(n)  # whose share and seed have tests of their own
        case _:
            return True


def model(
    rules: Sequence[FaultRule], calls: Sequence[tuple[str, str | None, str | None]]
) -> list[list[tuple[str, str]]]:
    """For each call the rules and faults that strike it, each call looked at from the beginning."""
    seen = dict.fromkeys((rule.id for rule in rules), 0)
    answers = []
    for operation, device, org in calls:
        taken: dict[str, tuple[str, str]] = {}
        for rule in rules:
            match = rule.match
            if rule.listener is not None or match.operation not in (None, operation) or match.org not in (None, org):
                continue
            if match.device is not None and (device is None or not fnmatchcase(device, match.device)):
                continue
            seen[rule.id] += 1
            if naive(rule.trigger, seen[rule.id]):
                for part in rule.parts:
                    taken.setdefault(part.stage, (rule.id, part.name))
        answers.append(sorted(taken.values()))
    return answers


@given(st.data(), CALLS)
@settings(max_examples=300, deadline=None)
def test_choices_are_those_of_a_naive_model(
    data: st.DataObject, calls: list[tuple[str, str | None, str | None]]
) -> None:
    made = [data.draw(made_rules(rule_id=f"fault-{n}", globs=GLOBS)) for n in range(data.draw(st.integers(0, 5)))]
    rules = FaultRules()
    for rule in made:
        rules.add(rule)
    expected = model(made, calls)
    hits = dict.fromkeys((rule.id for rule in made), 0)
    for call, faults_of_call in zip(calls, expected, strict=True):
        chosen = rules.choose(*call)
        if chosen is None:
            assert faults_of_call == []
            continue
        parts = cast("Sequence[StagedFault]", getattr(chosen.fault, "parts", (chosen.fault,)))
        assert sorted(part.name for part in parts) == sorted(name for _, name in faults_of_call)
        assert sorted(rule.id for rule in chosen.rules) == sorted({rule_id for rule_id, _ in faults_of_call})
        for rule in chosen.rules:
            hits[rule.id] += 1
    assert {rule.id: rules.describe(rule.id)["hits"] for rule in made} == hits


# -- the schema against the parser -----------------------------------------------------------------------------------------


def is_contradiction(error: ValueError) -> bool:
    """What the schema says it leaves to the parser."""
    words = (
        "contradict each other",
        "acts on the listener",
        "lasts until",
        "'jitter'",
        "'most'",
        "'value': got True",
        "'value': got False",
    )
    return any(word in str(error) for word in words)


@given(st.sampled_from(faults.names()), st.data())
@settings(max_examples=300, deadline=None)
def test_the_schema_of_a_fault_takes_what_the_fault_takes(name: str, data: st.DataObject) -> None:
    parameters = data.draw(parameters_of(faults.kinds()[name], wild=True))
    agrees({"fault": {name: parameters}})


@given(
    st.fixed_dictionaries(
        {"fault": st.just({"hang": {}})},
        optional={
            "id": TEXT | st.sampled_from(["a", "a-b.c_d", "-a", "a" * 65]),
            "operation": st.sampled_from([*OPERATIONS, "validates"]) | JSON,
            "device": TEXT | JSON,
            "org": TEXT | JSON,
            "trigger": st.dictionaries(
                st.sampled_from(list(fault_rules.triggers.WORDS)),
                st.integers(-1, 3) | st.floats(0, 1.1) | st.just(True),
                max_size=2,
            )
            | JSON,
        },
    )
)
@settings(max_examples=300, deadline=None)
def test_the_schema_of_a_rule_takes_what_the_parser_takes(value: dict[str, Any]) -> None:
    agrees(value)


def agrees(value: dict[str, Any]) -> None:
    valid = PROBE.is_valid(value)
    refusal: ValueError | None = None
    try:
        parse(value, id="one")
    except ValueError as error:
        refusal = error
    if refusal is None:
        assert valid, (value, [error.message for error in PROBE.iter_errors(value)])
    else:
        assert not valid or is_contradiction(refusal) or has_whole_float(value), (value, refusal)


def has_whole_float(value: object) -> bool:
    """To JSON Schema 2.0 is an integer; the parser wants it written as one."""
    if isinstance(value, dict):
        return any(has_whole_float(one) for one in value.values())
    return isinstance(value, float) and value.is_integer()


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(fault_rules.schema())
    assert json.loads(json.dumps(fault_rules.schema())) == fault_rules.schema()
    assert list(fault_rules.schema()["properties"]["fault"]["properties"]) == list(faults.names())


@pytest.mark.parametrize("name", faults.names())
def test_the_schema_describes_every_parameter(name: str) -> None:
    found = fault_rules.schema()["properties"]["fault"]["properties"][name]
    assert {key: one["description"] for key, one in found["properties"].items()} == faults.kinds()[name].parameters
    assert found["description"].lower().startswith(faults.kinds()[name].summary.lower())
