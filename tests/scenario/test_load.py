"""A YAML file becomes frozen values; every mistake is named with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from machineid_conformance.scenario.errors import ScenarioError
from machineid_conformance.scenario.load import load_catalogue, load_file, load_globs
from machineid_conformance.scenario.model import Action, Moment, Scenario, Step, Until, Variant

README = Path(__file__).parents[2] / "scenarios" / "README.md"


def write(folder: Path, text: str, name: str = "own.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_of_the_manual(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(id: .*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    path = write(tmp_path, example[1])

    outage = Action(kind="fault", argument="$variant")
    assert load_file(path, known_rules={"degraded/no-work", "degraded/fresh-allow"}) == Scenario(
        id="short-outage",
        title="The control plane answers 503 for twenty seconds",
        rules=("degraded/no-work", "degraded/fresh-allow"),
        sweep="validate",
        steps=(Step(at=Moment(relation="before", subject="validate", n="each"), do=outage, until=Until(seconds=20.0)),),
        variants=(
            Variant(id="html", fault="status", parameters={"status": 503, "body": "html"}),
            Variant(id="empty", fault="status", parameters={"status": 503, "body": "empty"}),
        ),
        waits=True,
        path=path,
        bundled=False,
    )


def test_every_kind_of_step(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
id: everything
title: Everything that there is
rules: [stop/exits]
sweep: effect
watch: 20
needs: [loops, effects]
steps:
  - { at: { before: start }, do: { cap: 0 } }
  - { at: { after: register }, do: { revoke: $device } }
  - { at: { after: register, n: 2 }, do: { restore: 'w:dev:a:02' } }
  - { at: { before: validate }, do: { remove: $device } }
  - { at: { during: validate }, do: { hold: { validate: 0.5 } }, until: { seconds: 1.5, calls: 2 } }
  - { at: { during: effect, n: each }, do: { disable: org } }
  - { at: { after: effect, n: each }, do: { enable: org } }
  - { at: { after: stop }, do: { rotate: key } }
  - { at: { after: stop }, do: { plan: frozen } }
  - { at: { after: exit }, do: { restart: target } }
  - { at: { before: validate, n: 3 }, do: { fault: { refuse: } }, until: end }
  - { at: { before: validate, n: 4 }, do: { stimulus: 2 } }
  - { at: { during: effect, n: 3 }, do: { signal: SIGSTOP } }
""",
    )

    scenario = load_file(path)

    assert scenario.watch == 20.0
    assert scenario.needs == ("loops", "effects")
    assert [(step.do.kind, step.do.argument) for step in scenario.steps] == [
        ("cap", 0),
        ("revoke", "$device"),
        ("restore", "w:dev:a:02"),
        ("remove", "$device"),
        ("hold", {"validate": 0.5}),
        ("disable", None),
        ("enable", None),
        ("rotate", None),
        ("plan", "frozen"),
        ("restart", None),
        ("fault", {"refuse": {}}),
        ("stimulus", 2),
        ("signal", "SIGSTOP"),
    ]
    assert scenario.steps[4].until == Until(calls=2, seconds=1.5)
    assert scenario.steps[10].until is None
    assert scenario.steps[2].at == Moment(relation="after", subject="register", n=2)


HEAD = "id: own\ntitle: Own\nrules: [stop/exits]\n"


def step(text: str) -> str:
    return f"{HEAD}sweep: once\nsteps:\n  - {text}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # YAML itself
        ("", ":1: is empty; expected a scenario"),
        ("id: [\n", ":2:1: not YAML: while parsing a flow node; expected the node content"),
        ("id: a\n\ttitle: b\n", ":2:1: not YAML: while scanning for the next token; found character '\\t'"),
        ("id: a\n---\nid: b\n", ":2:1: not YAML: expected a single document in the stream; but found another document"),
        ("id: a\x00\n", ": not YAML: unacceptable character #x0000"),
        ("id: &a [*a]\ntitle: x\nrules: [stop/exits]\n", "is nested more than 12 levels deep"),
        (
            "id: !!python/name:os.system\ntitle: x\nrules: [stop/exits]\n",
            ":1:5: id: cannot be read as tag:yaml.org,2002:python/name:os.system: could not",
        ),
        ("- a\n", ":1:1: found ['a'] (a list); expected a mapping: id, title, rules, steps"),
        # entries
        ("id: own\n", ":1:1: has no title; expected id, title, rules"),
        (HEAD + "stps: []\n", ":4:1: unknown key 'stps'; did you mean 'steps'? known: id, needs, rules"),
        (HEAD + "id: other\n", ":4:1: the key 'id' stands here twice"),
        (HEAD + "1: other\n", ":4:1: the key 1 (an integer) is no word"),
        (
            "id: Own Thing\ntitle: x\nrules: [stop/exits]\n",
            ":1:5: id: found 'Own Thing' (a string); expected an id of small",
        ),
        (
            "id: 7\ntitle: x\nrules: [stop/exits]\n",
            ":1:5: id: found 7 (an integer); expected a string that is not empty; put",
        ),
        (
            "id: own\ntitle: ''\nrules: [stop/exits]\n",
            ":2:8: title: found '' (a string); expected a string that is not",
        ),
        ("id: own\ntitle: x\nrules: []\n", ":3:8: rules: found no rule; expected at least one"),
        (
            "id: own\ntitle: x\nrules: stop/exits\n",
            ":3:8: rules: found 'stop/exits' (a string); expected a list of rule ids",
        ),
        (
            "id: own\ntitle: x\nrules:\n- stop/exit\n",
            ":4:3: rules[0]: unknown rule 'stop/exit'; did you mean 'stop/exits'?",
        ),
        (
            "id: own\ntitle: x\nrules: [stop/exits, stop/exits]\n",
            ":3:21: rules[1]: the rule 'stop/exits' stands here twice",
        ),
        (HEAD + "sweep: all\n", ":4:8: sweep: found 'all' (a string); expected one of effect, once, validate"),
        (HEAD + "needs: [loop]\n", ":4:9: needs[0]: found 'loop' (a string); expected one of"),
        (HEAD + "needs: [loop]\n", "did you mean 'loops'?"),
        (HEAD + "watch: forever\n", ":4:8: watch: found 'forever' (a string); expected one of grace, idle"),
        (HEAD + "watch: 0\n", ":4:8: watch: found 0 (an integer); expected idle, grace, or target seconds above 0"),
        (HEAD + "waits: 1\n", ":4:8: waits: found 1 (an integer); expected true or false"),
        (HEAD + "title2: 2027-01-01\n", ":4:1: unknown key 'title2'; did you mean 'title'?"),
        # at
        (step("do: { cap: 0 }"), ":6:5: steps[0]: has no at; expected at (when) and do (what)"),
        (step("{ at: { before: start }, do: { cap: 0 }, for: 1 }"), ":6:46: steps[0]: unknown key 'for'"),
        (
            step("{ at: { before: exit }, do: { cap: 0 } }"),
            ":6:21: steps[0].at.before: there is no before exit; before goes with",
        ),
        (
            step("{ at: { during: stop }, do: { cap: 0 } }"),
            "there is no during stop; during goes with register, validate, effect",
        ),
        (step("{ at: { before: validation }, do: { cap: 0 } }"), "did you mean 'validate'?"),
        (
            step("{ at: { befor: validate }, do: { cap: 0 } }"),
            ":6:13: steps[0].at: unknown key 'befor'; did you mean 'before'?",
        ),
        (
            step("{ at: { n: 1 }, do: { cap: 0 } }"),
            ":6:11: steps[0].at: found none; expected one of before, during, after",
        ),
        (
            step("{ at: { before: start, after: stop }, do: { cap: 0 } }"),
            "found before and after; expected one of before",
        ),
        (
            step("{ at: { before: validate, n: 0 }, do: { cap: 0 } }"),
            "steps[0].at.n: found 0 (an integer); expected each, or a",
        ),
        (
            step("{ at: { before: validate, n: every }, do: { cap: 0 } }"),
            "found 'every' (a string); expected each, or a whole",
        ),
        (
            step("{ at: start, do: { cap: 0 } }"),
            ":6:11: steps[0].at: found 'start' (a string); expected one of before, during",
        ),
        # do
        (
            step("{ at: { before: start }, do: { revok: $device } }"),
            "steps[0].do: unknown key 'revok'; did you mean 'revoke'?",
        ),
        (step("{ at: { before: start }, do: {} }"), "steps[0].do: found 0 keys; expected one action"),
        (
            step("{ at: { before: start }, do: { cap: 0, plan: frozen } }"),
            "found 2 keys (cap, plan); expected one action",
        ),
        (
            step("{ at: { before: start }, do: { revoke: $devise } }"),
            "found '$devise' (a string); expected $device, or a device",
        ),
        (
            step("{ at: { before: start }, do: { disable: device } }"),
            "found 'device' (a string); expected { disable: org }",
        ),
        (
            step("{ at: { before: start }, do: { plan: thawed } }"),
            "found 'thawed' (a string); expected one of active, frozen",
        ),
        (
            step("{ at: { before: start }, do: { cap: -1 } }"),
            "found -1 (an integer); expected a whole number of 0 or more",
        ),
        (
            step("{ at: { before: start }, do: { hold: { validate: 1 } } }"),
            "found 1 (an integer); expected a share of the",
        ),
        (
            step("{ at: { before: start }, do: { signal: SIGKILL } }"),
            "found 'SIGKILL' (a string); expected one of SIGCONT",
        ),
        (
            step("{ at: { before: start }, do: { cap: 0 }, until: end }"),
            "cap is over at once; until goes with fault and hold",
        ),
        # faults
        (step("{ at: { before: start }, do: { fault: refuse } }"), "expected a fault as { NAME: { parameters } }"),
        (step("{ at: { before: start }, do: { fault: refuse } }"), "write { refuse: {} }"),
        (
            step("{ at: { before: start }, do: { fault: { refused: {} } } }"),
            "unknown fault 'refused'; did you mean 'refuse'?",
        ),
        (
            step("{ at: { before: start }, do: { fault: { refuse: 3 } } }"),
            "expected the fault's parameters as a mapping, or {}",
        ),
        (
            step("{ at: { before: start }, do: { fault: { reset: { wen: before } } } }"),
            ":6:52: steps[0].do.fault.reset: ",
        ),
        (step("{ at: { before: start }, do: { fault: { reset: { wen: before } } } }"), "'wen'"),
        (step("{ at: { before: start }, do: { fault: { reset: { when: later } } } }"), "before or middle"),
        (step("{ at: { before: start }, do: { fault: { reset: {} } } }"), "parameter 'when' is missing"),
        (step("{ at: { before: start }, do: { fault: { not-boolean: { value: 2027-01-01 } } } }"), "put it in quotes"),
        (step("{ at: { before: start }, do: { fault: { hang: {} } }, until: 3 }"), "expected end, { calls: 3 } or"),
        (step("{ at: { before: start }, do: { fault: { hang: {} } }, until: {} }"), "expected end, { calls: 3 } or"),
        (
            step("{ at: { before: start }, do: { fault: { hang: {} } }, until: { calls: 0 } }"),
            "expected a whole number of 1",
        ),
        # what no entry shows alone
        (step("{ at: { before: validate, n: each }, do: { cap: 0 } }"), "n: each needs a sweep; write sweep: validate"),
        (
            HEAD + "sweep: effect\nsteps:\n  - { at: { before: validate, n: each }, do: { cap: 0 } }\n",
            ":6:3: steps: steps[0].at: n: each stands at validate, but the sweep is over effect; expected the same",
        ),
        (HEAD + "sweep: effect\n", ":4:8: sweep: no step has n: each, so the sweep over effect binds nothing"),
        (step("{ at: { before: start }, do: { fault: $variant } }"), "a step uses $variant, but there are no variants"),
        (
            HEAD + "variants:\n  - { id: a, fault: { hang: {} } }\n",
            ":5:3: variants: no step uses $variant; expected a step with do: { fault: $variant }",
        ),
        (HEAD + "variants: []\n", ":4:11: variants: is an empty list; leave it out"),
        (HEAD + "variants:\n  - { id: a }\n", ":5:5: variants[0]: has no fault; expected id and fault"),
        (
            HEAD + "variants:\n  - { id: a, fault: { hang: {} } }\n  - { id: a, fault: { refuse: {} } }\n",
            ":6:11: variants[1].id: the variant 'a' stands here twice",
        ),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(ScenarioError) as raised:
        load_file(path, known_rules={"stop/exits"})

    assert str(raised.value).startswith(str(path))
    assert expected in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read: No such file or directory"):
        load_file(tmp_path / "none.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"id: \xe4\n")
    with pytest.raises(ScenarioError, match="byte 0xe4 is not UTF-8"):
        load_file(latin)


def test_globs(tmp_path: Path) -> None:
    for name in ("b", "a", "deep/c"):
        write(tmp_path, HEAD.replace("own", name.rpartition("/")[2]), f"own/{name}.yaml")
    write(tmp_path, "", "own/notes.txt")

    def ids(*patterns: str) -> list[str]:
        return [scenario.id for scenario in load_globs(patterns, tmp_path)]

    assert ids("own/*.yaml") == ["a", "b"]
    assert ids("own/**/*.yaml") == ["a", "b", "c"]
    assert ids("own/b.yaml", "own/*.yaml") == ["b", "a"]
    assert ids(str(tmp_path / "own" / "a.yaml")) == ["a"]
    assert not any(scenario.bundled for scenario in load_globs(["own/*.yaml"], tmp_path))


def test_a_glob_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, HEAD, "own/a.yaml")

    with pytest.raises(ScenarioError, match=r"the glob 'onw/\*.yaml' of scenarios matches no file"):
        load_globs(["own/*.yaml", "onw/*.yaml"], tmp_path)


def test_an_id_stands_once(tmp_path: Path) -> None:
    write(tmp_path, HEAD, "a.yaml")
    write(tmp_path, HEAD, "b.yaml")

    with pytest.raises(ScenarioError, match=r"b.yaml: id: 'own' is taken by .*a.yaml; expected another id"):
        load_globs(["*.yaml"], tmp_path)


def test_an_id_of_the_catalogue_is_taken(tmp_path: Path) -> None:
    write(tmp_path, HEAD.replace("own", "revoke-at-boundary"))

    with pytest.raises(ScenarioError, match=r"is taken by .*revoke-at-boundary.yaml"):
        load_globs(["*.yaml"], tmp_path, taken=load_catalogue())
