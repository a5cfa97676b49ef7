"""The published schemas say what the loaders and the writers say: no more, no less."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import tomllib
import typing
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no stubs of its own
import pytest
import yaml

from machineid_conformance import resources
from machineid_conformance.config import effects as effect_tables
from machineid_conformance.config import load as config_load
from machineid_conformance.config import target as target_tables
from machineid_conformance.engine.stream import Message, MessageKind, Request
from machineid_conformance.scenario import load as scenario_load
from machineid_conformance.scenario import needs, steps
from machineid_conformance.trace import events
from machineid_conformance.trace.schema import as_text, trace_schema, type_schema

NAMES = ("config", "scenario", "trace", "results", "stream")

# The example of the manual, with every key.
EXAMPLE = """
edition = 1
scenarios = ["conformance/*.yaml"]

[targets.worker]
command = ["python", "worker.py"]
cwd = "."
env = { FEATURE = "1", KEY = "{org_key}" }
pass_env = ["AWS_REGION"]
device = "worker:dev:queue-consumer:01"
instances = 1
preregistered = false
profile = "medium"
concurrency = 1
sweep = "kinds"
horizon = 8
max_gap = 10
stop_within = "5s"
grace_window = "15m"
start_within = "30s"
run_within = "120s"
idle_after = "2s"
speed = "auto"
isolation = "auto"
passthrough = ["localhost:5432"]
allow_remote = false
expose = ["/run/postgresql"]
workdir = "overlay"
setup = "python reset_db.py"
teardown = "python drop_db.py"
serial = false
control_plane = ["machineid.io"]
base_url = false
strict = false
logs = ["var/log/*.jsonl"]
bypass_env = [ { FAIL_OPEN = "1" } ]
variants = [ { APP_ENV = "prod" } ]
xfail = { "logging/structured" = { reason = "plain prints until OPS-1", until = 2027-01-31 } }

[[targets.worker.effects]]
match = { method = "GET", host = "queue.example", path = "/next", body = "x" }
role = "task-source"
label = "dequeue"
device = "worker:dev:queue-consumer:01"
answers = [ { json = { id = 1 } }, { json = { id = 2 } }, { status = 204 }, { text = "x", headers = { A = "b" } } ]
group = "upload"

[[targets.worker.effects]]
match = { stdout = "^sent " }

[targets.hook]
command = "python hook.py"
devices = ["a", "b"]

[targets.hook.stimulus]
listen = "http://127.0.0.1:{port}"
requests = [ { method = "POST", path = "/hook", json = { n = 1 } }, { text = "x", headers = { A = "b" } } ]
count = 4
denied_status = 403

[groups.trio]
targets = ["worker", "hook"]
"""


@functools.cache
def schema(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(resources.schema(name).read_text(encoding="utf-8"))
    return document


@functools.cache
def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(name))


def check(name: str, value: Any) -> None:
    problems = [f"{error.json_path}: {error.message}" for error in validator(name).iter_errors(value)]

    assert problems == []


def refuse(name: str, value: Any) -> None:
    assert not validator(name).is_valid(value)


def without_dates(value: Any) -> Any:
    """TOML's dates as JSON says them."""
    if isinstance(value, dict):
        return {key: without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_dates(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_schema(name: str) -> None:
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema(name))


# -- configuration -------------------------------------------------------------------------------------------------------


def test_the_example_of_the_manual_is_valid_and_loads(tmp_path: Path) -> None:
    check("config", without_dates(tomllib.loads(EXAMPLE)))
    path = tmp_path / "machineid-conformance.toml"
    path.write_text(EXAMPLE, encoding="utf-8")
    assert len(config_load.load(path).targets) == 2


def test_the_loader_and_the_schema_know_the_same_keys() -> None:
    definitions = schema("config")["$defs"]

    def keys(definition: dict[str, Any]) -> set[str]:
        return set(definition["properties"])

    assert keys(schema("config")) == set(config_load.ROOT_KEYS)
    assert keys(definitions["target"]) == set(target_tables.TARGET_KEYS)
    assert keys(definitions["effect"]) == set(effect_tables.EFFECT_KEYS)
    assert {key for kind in definitions["match"]["oneOf"] for key in keys(kind)} == set(effect_tables.MATCH_KEYS)
    assert keys(definitions["answer"]) == set(effect_tables.ANSWER_KEYS)
    assert keys(definitions["stimulus"]) == set(effect_tables.STIMULUS_KEYS)
    assert keys(definitions["stimulus"]["properties"]["requests"]["items"]) == set(effect_tables.REQUEST_KEYS)
    assert set(definitions["effect"]["properties"]["role"]["enum"]) == set(typing.get_args(events.Role))


@pytest.mark.parametrize(
    "change",
    [
        {"profil": "low"},
        {"profile": "hihg"},
        {"instances": 0},
        {"stop_within": "5 parsecs"},
        {"device": "a", "devices": ["b"]},
        {"effects": [{}]},
        {"effects": [{"match": {"host": "a", "stdout": "b"}}]},
        {"stimulus": {"listen": "x"}},
        {"xfail": {"a": {"reason": "x"}}},
    ],
)
def test_what_the_loader_refuses_is_invalid(tmp_path: Path, change: dict[str, Any]) -> None:
    refuse("config", {"targets": {"w": {"command": ["w"], **change}}})


# -- scenarios -----------------------------------------------------------------------------------------------------------


def scenario_files() -> list[Path]:
    return sorted(resources.scenarios().glob("*.yaml"))


@pytest.mark.parametrize("path", scenario_files(), ids=lambda path: path.stem)
def test_every_scenario_is_valid(path: Path) -> None:
    check("scenario", yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_loader_and_the_schema_know_the_same_words() -> None:
    document = schema("scenario")
    step = document["properties"]["steps"]["items"]

    assert set(document["properties"]) == set(scenario_load.KEYS)
    assert set(document["required"]) == set(scenario_load.REQUIRED)
    assert set(step["properties"]) == set(steps.STEP_KEYS)
    assert {key for action in document["$defs"]["action"]["oneOf"] for key in action["properties"]} == set(
        steps.ACTIONS
    )
    assert set(document["properties"]["needs"]["items"]["enum"]) == set(needs.WORDS)
    assert {
        relation: tuple(moment["properties"][relation]["enum"])
        for moment in step["properties"]["at"]["oneOf"]
        for relation in moment["required"]
    } == dict(steps.MOMENTS)


@pytest.mark.parametrize(
    "step",
    [
        {"at": {"before": "exit"}, "do": {"cap": 0}},
        {"at": {"before": "start", "after": "stop"}, "do": {"cap": 0}},
        {"at": {"before": "start"}, "do": {}},
        {"at": {"before": "start"}, "do": {"cap": 0, "plan": "frozen"}},
        {"at": {"before": "start"}, "do": {"disable": "device"}},
        {"at": {"before": "start"}, "do": {"fault": "refuse"}},
        {"at": {"before": "start"}, "do": {"fault": {"refuse": {}}}, "until": {}},
    ],
)
def test_a_step_that_the_loader_refuses_is_invalid(step: dict[str, Any]) -> None:
    refuse("scenario", {"id": "own", "title": "Own", "rules": ["stop/exits"], "steps": [step]})


# -- traces --------------------------------------------------------------------------------------------------------------


def test_the_published_schema_is_the_derived_one() -> None:
    derived = as_text(trace_schema())

    assert resources.schema("trace").read_text(encoding="utf-8") == derived, (
        "the events changed: python -m machineid_conformance.trace.schema > reports/schema/trace.schema.json"
    )


LINES = [
    events.RunStarted(
        seq=1, run="worker/baseline/1", target="worker", scenario="baseline", rules=("startup/gate",), baseline=True,
        environment={"APP_ENV": "prod"},
    ),
    events.Spawned(seq=2, at=0.01, instance=1, start=1, command=("python", "worker.py"), device="w:dev:a:01"),
    events.Output(seq=3, at=0.2, instance=1, start=1, stream="stdout", text="started"),
    events.ConnectionOpened(seq=4, at=0.3, connection=1, instance=1, host="machineid.io", port=443),
    events.ControlRequest(
        seq=5, at=0.31, call=1, connection=1, instance=1, operation="validate", n=1, method="POST",
        path="/api/v1/devices/validate", device="w:dev:a:01", key="current",
    ),
    events.ControlAnswered(
        seq=6, at=0.32, call=1, operation="validate", device="w:dev:a:01", status=200, decision="allow", code="ALLOW",
        request_id="r-1",
    ),
    events.ControlFailed(
        seq=7, at=0.4, call=None, connection=None, instance=1, operation="unknown", device=None, how="refused"
    ),
    events.EffectStarted(
        seq=8, at=0.5, effect=1, instance=1, role="side-effect", label="POST api.example/charge", transport="http",
        device="w:dev:a:01", method="POST", host="api.example", path="/charge", secrets=("body",), since=4,
    ),
    events.Exited(seq=9, at=0.9, instance=1, start=1, code=1, signal=None, by="target"),
    events.RunEnded(seq=10, at=1.0, reason="gone", files_written=("out.txt",)),
]  # fmt: skip


@pytest.mark.parametrize("event", LINES, ids=lambda event: event.name)
def test_a_line_is_valid_and_says_what_it_is(event: events.Event) -> None:
    line = json.loads(json.dumps(event.to_json()))

    check("trace", line)
    refuse("trace", line | {"event": "unheard-of"})
    refuse("trace", line | {"more": 1})
    refuse("trace", {key: value for key, value in line.items() if key != "seq"})


def test_a_type_without_a_json_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        type_schema(set[int])


# -- results -------------------------------------------------------------------------------------------------------------

FIGURES = {"min": 0.1, "median": 0.2, "p95": 0.3, "max": 0.3}
RESULTS: dict[str, Any] = {
    "schema": 1,
    "edition": 1,
    "tool": {"name": "machineid-conformance", "version": "0.1.0"},
    "started_at": "2026-01-01T00:00:00+00:00",
    "git": {"commit": "0" * 40, "dirty": False},
    "config_sha256": "0" * 64,
    "complete": True,
    "verdict": "non-conforming",
    "targets": [
        {
            "name": "worker",
            "profile": "high",
            "isolation": "namespace",
            "verdict": "non-conforming",
            "rules": [
                {
                    "id": "stop/next-boundary",
                    "level": "MUST",
                    "status": "fail",
                    "runs": 9,
                    "reason": None,
                    "findings": [
                        {"run": "worker/revoke-at-boundary/validate-3", "message": "worked on", "events": [41, 44]}
                    ],
                }
            ],
            "stop_latency": {
                "runs": 9,
                "change_to_deny": FIGURES,
                "deny_to_end": {},
                "change_to_last_effect": {},
                "effects_after_deny": 0,
                "effects_between_change_and_deny": 1,
            },
            "boundaries": [{"n": 1, "kind": "startup", "device": "w:dev:a:01", "covers": ["POST api.example/charge"]}],
            "runs": [
                {
                    "id": "worker/revoke-at-boundary/validate-3",
                    "scenario": "revoke-at-boundary",
                    "boundary": 3,
                    "variant": None,
                    "speed": 1,
                    "trace": "traces/worker.jsonl",
                    "seconds": 0.2,
                    "wall_seconds": 0.2,
                }
            ],
        }
    ],
}


def test_results() -> None:
    check("results", RESULTS)
    check("results", RESULTS | {"git": None, "later": "addition"})
    refuse("results", RESULTS | {"verdict": "fine"})
    refuse("results", {key: value for key, value in RESULTS.items() if key != "complete"})


def test_the_deadlines_of_a_target() -> None:
    def with_deadline(**changes: object) -> dict[str, Any]:
        deadline = {
            "boundary": "startup", "phase": "read", "seconds": 2.0, "at_least": None, "error": 0.15, "runs": ["worker/a"],
            **changes,
        }  # fmt: skip
        (worker,) = RESULTS["targets"]
        said = {
            "client_deadline": 2.0,
            "deadlines": [deadline],
            "deadline_setting": "a deadline of 2 s for the whole call",
        }
        return RESULTS | {"targets": [worker | said]}

    check("results", with_deadline())
    check("results", with_deadline(boundary="register", seconds=None, at_least=60.0))
    refuse("results", with_deadline(phase="write"))
    refuse("results", with_deadline(seconds=-1))


def test_an_incomplete_run_never_conforms() -> None:
    check("results", RESULTS | {"complete": False})
    check("results", RESULTS | {"complete": True, "verdict": "conforming"})
    refuse("results", RESULTS | {"complete": False, "verdict": "conforming"})


def test_an_interrupted_session_is_never_complete() -> None:
    check("results", RESULTS | {"interrupted": False})
    check("results", RESULTS | {"interrupted": True, "complete": False})
    refuse("results", RESULTS | {"interrupted": True})


# -- the stream ----------------------------------------------------------------------------------------------------------

MESSAGES = [
    Message(
        kind="planned",
        payload={"target": "w", "runs": 9, "scenarios": {"baseline": 3}, "left_out": {"replicas": "why"}, "isolation": "proxy"},
    ),
    Message(kind="run-started", payload={"target": "w", "run": "w/a", "scenario": "a", "boundary": None, "variant": "b", "environment": 1}),
    Message(kind="event", payload={"run": "w/a", "event": {"event": "run-started", "seq": 1, "at": 0.0}}),
    Message(
        kind="run-judged",
        payload={
            "target": "w", "run": "w/a", "scenario": "a", "subject": "validate", "boundary": 3, "variant": None,
            "environment": None, "seconds": 0.1, "wall_seconds": 0.1, "trace": "traces/a.jsonl",
            "rules": {
                "stop/exits": {
                    "outcome": "fail", "reason": None, "level": "MUST",
                    "findings": [{"run": "w/a", "message": "m", "events": [1], "expected": "", "got": ""}],
                }
            },
        },
    ),
    Message(kind="scenario-done", payload={"target": "w", "scenario": "a", "runs": ["w/a"]}),
    Message(kind="target-judged", payload={"target": RESULTS["targets"][0]}),
    Message(kind="notice", payload={"text": "read this"}),
    Message(
        kind="finished",
        payload={"results": "r.json", "verdict": "conforming", "complete": True, "interrupted": False, "exit": 0},
    ),
    Message(kind="failed", payload={"error": "configuration", "message": "m", "exit": 2}),
]  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.kind)
def test_a_message_is_valid(message: Message) -> None:
    check("stream", message.to_json())
    refuse("stream", message.to_json() | {"kind": "unheard-of"})


def test_the_schema_knows_every_message_and_the_whole_request() -> None:
    kinds = {reference["$ref"].removeprefix("#/$defs/") for reference in schema("stream")["oneOf"]}
    request = schema("stream")["$defs"]["request"]

    assert kinds == set(typing.get_args(MessageKind)) == {message.kind for message in MESSAGES}
    assert set(request["properties"]) == {field.name for field in dataclasses.fields(Request)}
    jsonschema.validate(
        dataclasses.asdict(Request(root="/")) | {"targets": ["w"], "rules": [], "scenario_globs": []}, request
    )


def test_the_manual_lists_the_schemas() -> None:
    manual = (resources.reports() / "README.md").read_text(encoding="utf-8")

    assert set(re.findall(r"\| `([a-z]+)\.schema\.json` \|", manual)) == set(NAMES)
