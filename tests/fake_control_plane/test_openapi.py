"""The document says what the API does: it is current, valid, and every answer that the API can give has the shape written there."""

from __future__ import annotations

import ast
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it has no stubs of its own
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

import fake_control_plane
from fake_control_plane.answers import Answer
from fake_control_plane.api import ENDPOINTS, Request, handle, parse
from fake_control_plane.client import Client
from fake_control_plane.dialects import ASSUMED, CODES, CURRENT, LEGACY, Dialect
from fake_control_plane.openapi import as_text, document
from fake_control_plane.problems import PROBLEMS, refusal
from fake_control_plane.state import ControlPlane
from tests.fake_control_plane.serving.servers import process

FAKE = Path(fake_control_plane.__file__).parent
DEVICES = ["a", "b", "worker:dev:queue-consumer:07"]


def test_the_committed_document_is_current() -> None:
    committed = (FAKE / "control-plane.openapi.json").read_text(encoding="utf-8")
    assert committed == as_text(), (
        "python -m fake_control_plane.openapi > fake_control_plane/control-plane.openapi.json"
    )


def test_the_document_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(document()).iter_errors()) == []


def test_a_document_with_a_mistake_would_not_be() -> None:
    mistaken = document()
    del mistaken["paths"]["/api/v1/usage"]["get"]["responses"]["200"]["description"]
    assert len(list(OpenAPIV31SpecValidator(mistaken).iter_errors())) == 1


def test_it_has_the_endpoints_of_the_api_and_no_others() -> None:
    paths = document()["paths"]
    assert {path: [method.upper() for method in methods] for path, methods in paths.items()} == {
        path: list(methods) for path, methods in ENDPOINTS.items()
    }


def test_a_running_server_serves_it_and_says_where_its_data_port_is() -> None:
    with process() as server, Client(server["admin_url"]) as console:
        assert console.control_plane_openapi() == {**document(), "servers": [{"url": server["base_url"]}]}


def objects(value: object) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from objects(item)


def test_whatever_is_assumed_says_why() -> None:
    marked = [item for item in objects(document()) if item.get("x-assumed")]
    assert len(marked) > 10
    assert all(item["x-assumed-because"] for item in marked)


def test_the_codes_stand_there_with_what_is_assumed_of_them() -> None:
    codes = document()["components"]["schemas"]["Decision"]["properties"]["code"]["x-codes"]
    assert {(code["reason"], name) for name, code in codes.items()} == set(CODES.items())
    assert {code["reason"] for code in codes.values() if code["x-assumed"]} == ASSUMED


def test_the_links_lead_to_operations_and_from_a_device_to_the_same_device() -> None:
    paths = document()["paths"]
    operations = {operation["operationId"] for methods in paths.values() for operation in methods.values()}
    links = [
        item for item in objects(paths) if "requestBody" in item and "operationId" in item and "responses" not in item
    ]
    assert {link["operationId"] for link in links} <= operations
    assert {json.dumps(link["requestBody"]) for link in links} == {'{"deviceId": "$request.body#/deviceId"}'}
    assert len(links) == 16


# -- every error -------------------------------------------------------------------------------------------------------


def words_in_the_code() -> Mapping[str, set[int]]:
    """Each word that is given to ``error(status, word, …)`` or ``refusal(word)``, with its statuses, and what names statuses' words."""
    found: dict[str, set[int]] = {}
    for path in FAKE.rglob("*.py"):
        if "faults" in path.parts or "admin" in path.parts:
            continue  # what a fault answers is no answer of the control plane's; the admin API has a catalogue of its own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                values: list[Any] = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
                if node.func.id == "error" and len(values) >= 2:
                    found.setdefault(values[1], set()).add(values[0])
                if node.func.id in ("refusal", "_Bad") and values:
                    found.setdefault(values[0], set()).add(PROBLEMS[values[0]].status)
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_WORDS":
                for status, word in ast.literal_eval(node.value).items():
                    found.setdefault(word, set()).add(status)
    return found


def test_every_error_word_stands_in_the_catalogue_with_its_status_and_no_other_does() -> None:
    assert words_in_the_code() == {word: {problem.status} for word, problem in PROBLEMS.items()}


def test_the_catalogue_is_in_the_document() -> None:
    assert set(document()["components"]["schemas"]["Error"]["properties"]["error"]["x-words"]) == set(PROBLEMS)


@pytest.mark.parametrize("word", PROBLEMS)
def test_every_error_has_one_shape(word: str) -> None:
    answer = refusal(word, handler="usage", allowed="GET", why="because")
    assert set(answer.body) == {"status", "error", "message", "handler"}
    assert (answer.status, answer.body["error"], answer.body["status"]) == (PROBLEMS[word].status, word, "error")
    assert answer.decision == "failure"


# -- every answer ------------------------------------------------------------------------------------------------------


class Documented:
    """A control plane whose every answer is held against the document."""

    def __init__(self, dialect: Dialect) -> None:
        ids = itertools.count(1)
        keys = itertools.count(1)
        self.now = 1_767_225_600.0
        self.plane = ControlPlane(
            new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012}",
            new_key=lambda: f"org_{next(keys):024}",
            now=lambda: self.now,
            dialect=dialect,
        )
        self.key = self.plane.add_org(limit=1)
        self.plane.operator_preregister(self.key, DEVICES[0])
        self.document = document()
        self.seen: set[tuple[str, str, int]] = set()

    def send(self, method: str, path: str, body: Any, *, key: str | None, query: str = "") -> Answer:
        headers = () if key is None else (("x-org-key", key),)
        payload = json.dumps(body).encode()
        answer = handle(self.plane, parse(Request(method=method, target=path + query, headers=headers, body=payload)))
        operation = self.document["paths"][path][method.lower()]
        described = operation["responses"][str(answer.status)]["content"]["application/json"]["schema"]
        schema = {**described, "components": self.document["components"]}
        checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
        jsonschema.Draft202012Validator(schema, format_checker=checker).validate(json.loads(answer.payload()))
        self.seen.add((method, path, answer.status))
        return answer


CALLS = [(method, path) for path, methods in ENDPOINTS.items() for method in methods]
ACTIONS = ["revoke", "restore", "remove", "disable", "enable", "cap", "cancel", "frozen", "past_due", "active", "later"]


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    calls = st.tuples(
        st.just("call"),
        st.sampled_from(CALLS),
        st.sampled_from(DEVICES),
        st.sampled_from(["good", "good", "bad", "none"]),
    )
    actions = st.tuples(st.just("action"), st.sampled_from(ACTIONS), st.sampled_from(DEVICES))
    either: st.SearchStrategy[tuple[Any, ...]] = st.one_of(calls, actions)
    return draw(st.lists(either, min_size=5, max_size=40))


@pytest.mark.parametrize("dialect", [CURRENT, LEGACY], ids=lambda dialect: dialect.name)
def test_every_answer_has_the_shape_that_the_document_gives_it(dialect: Dialect) -> None:
    seen: set[tuple[str, str, int]] = set()

    @settings(max_examples=80, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(lives())
    def play(steps: list[tuple[Any, ...]]) -> None:
        documented = Documented(dialect)
        for step in steps:
            if step[0] == "action":
                act(documented, step[1], step[2])
                continue
            (method, path), device, key = step[1:]
            keys = {"good": documented.key, "bad": "org_nobodys", "none": None}
            documented.send(
                method,
                path,
                {"deviceId": device},
                key=keys[key],
                query=f"?deviceId={device}" if method == "GET" else "",
            )
        documented.send("POST", "/api/v1/devices/validate", {}, key=documented.key)
        seen.update(documented.seen)

    play()
    # It looked at all that the state itself can answer: nothing above holds for want of examples.
    statuses = {path: {status for _, its_path, status in seen if its_path == path} for _, path in CALLS}
    at_cap = {200} if dialect is LEGACY else {200, 403}
    assert statuses == {
        "/api/v1/org/create": {200},
        "/api/v1/devices/register": at_cap | {401},
        "/api/v1/devices/validate": {200, 400, 401},
        "/api/v1/devices/list": {200, 401},
        "/api/v1/devices/revoke": {200, 401, 404},
        "/api/v1/devices/unrevoke": {200, 401, 404},
        "/api/v1/devices/remove": {200, 401, 404},
        "/api/v1/usage": {200, 401},
        "/api/v1/billing/summary": {200, 401},
    }


def act(documented: Documented, action: str, device: str) -> None:
    """Something that an operator does, or time."""
    plane, key = documented.plane, documented.key
    if action in ("revoke", "restore", "remove"):
        getattr(plane, f"operator_{action}")(key, device)
    elif action in ("disable", "enable"):
        getattr(plane, f"operator_{action}")(key)
    elif action == "cap":
        plane.operator_set_cap(key, len(device) % 3)
    elif action == "cancel":
        plane.operator_cancel_plan(key, access_until=documented.now + 5)
    elif action == "later":
        documented.now += 10
    else:
        plane.operator_set_plan_state(key, action)
