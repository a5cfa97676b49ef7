"""The admin API as an OpenAPI 3.1 document, made from the table that the routes are made from."""

from __future__ import annotations

from typing import Any

from fake_control_plane import fault_rules
from fake_control_plane.serving.admin.api import ENDPOINTS, PREFIX
from fake_control_plane.serving.admin.endpoints import Endpoint
from fake_control_plane.serving.admin.fields import Field
from fake_control_plane.serving.admin.journal import STREAM_QUERY
from fake_control_plane.serving.admin.problems import PROBLEMS
from fake_control_plane.serving.admin.shapes import SCHEMAS

_ANY = ("token_required", "wrong_host", "internal")
"""Words that every request can get."""
_CHANGING = ("cross_origin", "not_json")
"""Words that every request which may change something can get."""
_WITH_BODY = ("malformed_json", "too_large", "invalid_value")


def document(*, version: str) -> dict[str, Any]:
    """The whole document. ``version`` is that of the package."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        path = PREFIX + endpoint.path
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    paths[PREFIX + "/journal/stream"] = {"get": _stream()}
    paths["/healthz"] = {"get": _health()}
    paths["/metrics"] = {"get": _plain("metrics", "Prometheus metrics.", "text/plain")}
    paths["/openapi.json"] = {"get": _plain("openapi", "This document.", "application/json")}
    paths["/openapi/control-plane.json"] = {
        "get": _plain("control_plane_openapi", "The OpenAPI document of the data port.", "application/json")
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fake-control-plane: admin API",
            "version": version,
            "summary": "What MachineID's console can do, faults, and a live journal, on a fake control plane.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "security": [{}, {"token": []}],
        "components": {
            "schemas": {**SCHEMAS, "FaultRuleToAdd": _rule_to_add()},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Only where the server was given a token."}
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "description": meaning, "schema": {"type": "string"}}
        for name, meaning in endpoint.parameters.items()
    ]
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [*parameters, *map(_query, endpoint.query)],
        "responses": {
            str(endpoint.status): {
                "description": endpoint.answered,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{endpoint.answer}"}}},
            },
            **_errors(_words(endpoint)),
        },
    }
    if endpoint.body is not None:
        schema = {"$ref": "#/components/schemas/FaultRuleToAdd"} if endpoint.body == "rule" else _body(endpoint.body)
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _words(endpoint: Endpoint) -> list[str]:
    words = [*_ANY, *endpoint.errors]
    if endpoint.method != "GET":
        words += _CHANGING
    if endpoint.body is not None:
        words += _WITH_BODY
    # A query that is not read is still looked at: unknown parameters are errors everywhere.
    return sorted({*words, "invalid_value"})


def _query(field: Field) -> dict[str, Any]:
    schema = field.schema()
    return {
        "name": field.name,
        "in": "query",
        "required": field.required,
        "description": schema.pop("description"),
        "schema": schema,
    }


def _body(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field.name: field.schema() for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }


def _errors(words: list[str]) -> dict[str, Any]:
    by_status: dict[str, list[str]] = {}
    for word in words:
        by_status.setdefault(str(PROBLEMS[word].status), []).append(word)
    return {
        status: {
            "description": "; ".join(f"`{word}`: {PROBLEMS[word].when}" for word in its_words),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, its_words in sorted(by_status.items())
    }


def _stream() -> dict[str, Any]:
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "the id of the last event that was got: the stream goes on behind it",
        "schema": {"type": "string"},
    }
    return {
        "operationId": "follow",
        "summary": "The journal as it grows, as server-sent events: began, entry, missed.",
        "parameters": [*map(_query, STREAM_QUERY), last],
        "responses": {
            "200": {
                "description": "Events without end.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **_errors(sorted({*_ANY, "invalid_value"})),
        },
    }


def _health() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Health"}}}
    return {
        "operationId": "health",
        "summary": "Whether state and journal can be written. Needs no token; without it no problem is named.",
        "security": [{}],
        "responses": {
            "200": {"description": "Well.", "content": content},
            "503": {"description": "Not well.", "content": content},
        },
    }


def _plain(name: str, summary: str, media_type: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"} if media_type.startswith("text/") else {"type": "object"}
    return {
        "operationId": name,
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {media_type: {"schema": schema}}},
            **_errors(sorted(_ANY)),
        },
    }


def _rule_to_add() -> dict[str, Any]:
    line = {
        "type": "object",
        "properties": {
            "line": {"type": "string", "minLength": 1, "description": "such as status=503 operation=validate first=2"}
        },
        "required": ["line"],
        "additionalProperties": False,
    }
    return {"anyOf": [line, fault_rules.schema()]}
