"""The data API as an OpenAPI 3.1 document, made from the same tables that the fake answers by.

Paths and methods are ``api.ENDPOINTS``, error words ``problems.PROBLEMS``, bodies ``shapes.schemas``; only what the
operations mean is written here. ``python -m fake_control_plane.openapi`` prints the document, which stands beside this
file as ``control-plane.openapi.json``; a test keeps the two equal.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, Literal

from fake_control_plane.api import ENDPOINTS
from fake_control_plane.problems import PROBLEMS
from fake_control_plane.shapes import assumed, schemas

About = Literal["device-in-body", "device-in-query", "org", "nothing"]


@dataclass(frozen=True, kw_only=True)
class _Endpoint:
    """``answer``: the shape of its 200. ``about``: what a request must name. ``then``: operations that a success leads to."""

    operation_id: str
    summary: str
    description: str
    about: About
    answer: str
    answered: str
    then: tuple[str, ...] = ()
    assumed_because: str | None = None


_ENDPOINTS: dict[tuple[str, str], _Endpoint] = {
    ("/api/v1/org/create", "POST"): _Endpoint(
        operation_id="createOrg",
        summary="Create an org.",
        description="A new, empty org on the free plan. Needs no key, and gives one.",
        about="nothing",
        answer="OrgCreated",
        answered="The org's key: a secret.",
    ),
    ("/api/v1/devices/register", "POST"): _Endpoint(
        operation_id="registerDevice",
        summary="Register a device.",
        description="Idempotent: a device that is registered stays as it is. Register lifts no revoke (older docs: it did; the "
        "legacy dialect does), and neither org-wide disable nor the plan's state changes it (assumed). At the cap a new "
        "device is refused and stays unregistered; existing ones go on.",
        about="device-in-body",
        answer="Registration",
        answered="The device is registered; or, in the legacy dialect, `limit_reached`: it is not.",
        then=("registerDevice", "validateDevice", "revokeDevice", "unrevokeDevice", "removeDevice"),
    ),
    ("/api/v1/devices/validate", "POST"): _Endpoint(
        operation_id="validateDevice",
        summary="May this device work now?",
        description="The decision, made from the state at this moment. A deny is a 200 too (assumed). Whatever is no JSON true "
        "in `allowed` is no permission.",
        about="device-in-body",
        answer="Decision",
        answered="The decision: allow or deny.",
        then=("validateDevice",),
    ),
    ("/api/v1/devices/validate", "GET"): _Endpoint(
        operation_id="validateDeviceLegacy",
        summary="The same question, as legacy docs had it.",
        description="Only legacy docs know the GET; the SDK and current docs POST.",
        about="device-in-query",
        answer="LegacyDecision",
        answered="The decision in the legacy form.",
        assumed_because="the docs name the method and the two answers, not where the device stands: the query was chosen",
    ),
    ("/api/v1/devices/list", "GET"): _Endpoint(
        operation_id="listDevices",
        summary="All devices of the org.",
        description="In register order, each with its revoked state.",
        about="org",
        answer="DeviceList",
        answered="The devices.",
    ),
    ("/api/v1/devices/revoke", "POST"): _Endpoint(
        operation_id="revokeDevice",
        summary="Revoke a device.",
        description="Its next validate is denied, and each one until it is restored. It keeps its place of the cap (assumed).",
        about="device-in-body",
        answer="DeviceRevocation",
        answered="The device is revoked.",
        then=("validateDevice", "registerDevice", "unrevokeDevice", "removeDevice"),
    ),
    ("/api/v1/devices/unrevoke", "POST"): _Endpoint(
        operation_id="unrevokeDevice",
        summary="Restore a device.",
        description="Lifts a revoke; takes effect at the next validate.",
        about="device-in-body",
        answer="DeviceRevocation",
        answered="The device is not revoked.",
        then=("validateDevice", "revokeDevice", "removeDevice"),
    ),
    ("/api/v1/devices/remove", "POST"): _Endpoint(
        operation_id="removeDevice",
        summary="Remove a device.",
        description="It is forgotten, its place of the cap is free, its validates are denied.",
        about="device-in-body",
        answer="DeviceRemoval",
        answered="The device is no longer registered.",
        then=("validateDevice", "registerDevice", "revokeDevice"),
    ),
    ("/api/v1/usage", "GET"): _Endpoint(
        operation_id="getUsage",
        summary="Plan, cap and devices used.",
        description="As of this moment: caps change at once on upgrade and on downgrade.",
        about="org",
        answer="Usage",
        answered="The plan and its use.",
    ),
    ("/api/v1/billing/summary", "GET"): _Endpoint(
        operation_id="getBillingSummary",
        summary="The plan, as billing shows it.",
        description="The same fields as usage.",
        about="org",
        answer="BillingSummary",
        answered="The plan and its use.",
    ),
}

_CHANGES = ("OrgCreated", "Registration", "DeviceRevocation", "DeviceRemoval")
"""The answers to operations that change something, and so can fail to be stored."""


def document(server: str = "/") -> dict[str, Any]:
    """The whole document, as JSON.

    ``server``: the base URL of the data port (``http://127.0.0.1:8400``); by default the one that the document came from.
    """
    by_id = {endpoint.operation_id: place for place, endpoint in _ENDPOINTS.items()}
    paths: dict[str, dict[str, Any]] = {}
    for path, methods in ENDPOINTS.items():
        for method in methods:
            operation = _operation(_ENDPOINTS[path, method], by_id)
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "The MachineID control plane, as the fake serves it",
            "version": "1",
            "description": "Gathered from public sources: the official Python SDK, starter templates and documents. What they "
            "do not say was chosen so that the fake is exact, and carries `x-assumed: true` with the reason in "
            "`x-assumed-because`. This is not a document of the original's makers.",
        },
        "servers": [{"url": server}],
        "security": [{"orgKey": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "orgKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-org-key",
                    "description": "The org's key (`org_…`). Never in a URL. A rotated key is refused at once.",
                }
            },
            "headers": {
                "Fake": {
                    "description": "A fake's server says on every answer that it is one; the original does not.",
                    "required": True,
                    "schema": {"const": "1"},
                }
            },
            "schemas": schemas(),
        },
    }


def as_text() -> str:
    """The document as the committed file has it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def _operation(endpoint: _Endpoint, by_id: dict[str, tuple[str, str]]) -> dict[str, Any]:
    answered: dict[str, Any] = {"description": endpoint.answered, "content": _json(endpoint.answer)}
    if endpoint.then:
        answered["links"] = {name: _link(name, by_id[name]) for name in endpoint.then}
    responses = {"200": answered, **_errors(endpoint)}
    for response in responses.values():
        response["headers"] = {"x-machineid-fake": {"$ref": "#/components/headers/Fake"}}
    operation: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "summary": endpoint.summary,
        "description": endpoint.description,
    }
    if endpoint.about == "nothing":
        operation["security"] = []
    if endpoint.about == "device-in-query":
        place = {"name": "deviceId", "in": "query", "required": True, "schema": _schema("DeviceId")}
        operation["parameters"] = [place]
    if endpoint.about == "device-in-body":
        operation["requestBody"] = {"required": True, "content": _json("DeviceRequest")}
    operation["responses"] = responses
    return operation if endpoint.assumed_because is None else assumed(operation, endpoint.assumed_because)


def _link(name: str, place: tuple[str, str]) -> dict[str, Any]:
    """The same device, asked or told something else next."""
    return {
        "operationId": name,
        "description": f"{place[1]} {place[0]} for the same device.",
        "requestBody": {"deviceId": "$request.body#/deviceId"},
    }


def _errors(endpoint: _Endpoint) -> dict[str, Any]:
    """The other answers, by status. Those of ``Problem.of`` ``port`` and ``guard`` can come to every operation."""
    changes = endpoint.answer in _CHANGES
    statuses = {
        403: "The fake has expired.",
        431: "The head is too large.",
        408: "The request was not complete in time.",
    }
    if endpoint.about in ("device-in-body", "device-in-query"):
        statuses[400] = "The request names no device, or is no HTTP."
        statuses[422] = "The fake does not serve devices of production."
    else:
        statuses[400] = "The request is no HTTP."
    if endpoint.about == "nothing":
        statuses[429] = "The fake makes no more orgs."
    else:
        statuses[401] = "No org has this key."
    if endpoint.about in ("device-in-body", "nothing"):
        statuses[413] = "The body is too large."
    if endpoint.answer in ("DeviceRevocation", "DeviceRemoval"):
        statuses[404] = "The device is not registered in this org."
    if changes:
        statuses[503] = "The change could not be stored."
    responses = {str(status): _error(statuses[status], status) for status in sorted(statuses)}
    if endpoint.answer == "Registration":
        responses["403"] = {
            "description": "`blocked`: the cap is reached; the device was not registered (current docs; the legacy dialect answers "
            f"200). {responses['403']['description']}",
            "content": {"application/json": {"schema": {"oneOf": [_schema("RegistrationBlocked"), _schema("Error")]}}},
        }
    return responses


def _error(description: str, status: int) -> dict[str, Any]:
    words = [problem.word for problem in PROBLEMS.values() if problem.status == status]
    return {
        "description": f"{description} Words: {', '.join(f'`{word}`' for word in words)}.",
        "content": _json("Error"),
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _schema(name)}}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


if __name__ == "__main__":
    sys.stdout.write(as_text())
