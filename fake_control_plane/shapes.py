"""The shapes of the data API's bodies, as JSON Schema (2020-12, the dialect of OpenAPI 3.1).

What no public source says carries ``x-assumed``: true, and ``x-assumed-because``: what is public, and what was chosen.
Objects are open: the original may say more, and a client must not mind.
"""

from __future__ import annotations

from typing import Any

from fake_control_plane.dialects import ASSUMED, CODES
from fake_control_plane.org import PLANS
from fake_control_plane.problems import DEVICE_ID_LIMIT, DEVICE_ID_SOMETHING, PROBLEMS

Schema = dict[str, Any]

_ERRORS_ARE_NOT_PUBLIC = "no public source lists the original's errors; one shape was chosen for all of them"


def schemas() -> dict[str, Schema]:
    """Every shape by the name that it has in ``components/schemas``."""
    return {
        "DeviceId": _DEVICE_ID,
        "DeviceRequest": _object({"deviceId": _ref("DeviceId")}),
        "Decision": _object(
            {
                "allowed": {
                    "type": "boolean",
                    "description": "The decision. A client acts on this and on nothing else.",
                },
                "code": _code(),
                "request_id": {"type": "string", "format": "uuid", "description": "Fresh at each validate."},
            }
        ),
        "LegacyDecision": {
            "description": "The decision as legacy docs have it: no `allowed`, no code, no request id.",
            "oneOf": [
                _object({"valid": {"const": True}}),
                _object({"valid": {"const": False}, "revoked": {"type": "boolean"}}),
            ],
        },
        "Plan": _PLAN,
        "Registration": _with_plan(
            {
                "status": {
                    "enum": ["ok", "exists", "restored", "limit_reached"],
                    "description": "`ok`: a new device. `exists`: it was registered before, and a revoke of it stays. "
                    "`restored` (legacy dialect): a revoke was lifted. `limit_reached` (legacy dialect): the cap is reached, "
                    "the device was not registered.",
                },
                "handler": {"const": "devices/register"},
                "deviceId": _ref("DeviceId"),
            }
        ),
        "RegistrationBlocked": _with_plan(
            {
                "status": {"const": "blocked"},
                "error": {"const": "device_limit_reached"},
                "message": {"type": "string"},
                "handler": {"const": "devices/register"},
                "deviceId": _ref("DeviceId"),
                "overLimit": {"const": True},
            }
        ),
        "DeviceRevocation": assumed(
            _object(
                {
                    "status": {"const": "ok"},
                    "handler": {"enum": ["devices/revoke", "devices/unrevoke"]},
                    "deviceId": _ref("DeviceId"),
                    "revoked": {"type": "boolean"},
                }
            ),
            "only the endpoint and its request are public",
        ),
        "DeviceRemoval": assumed(
            _object(
                {"status": {"const": "ok"}, "handler": {"const": "devices/remove"}, "deviceId": _ref("DeviceId")},
            ),
            "only the endpoint and its request are public",
        ),
        "DeviceList": assumed(
            _object(
                {
                    "status": {"const": "ok"},
                    "handler": {"const": "devices/list"},
                    "devices": {
                        "type": "array",
                        "description": "In register order.",
                        "items": _object({"deviceId": _ref("DeviceId"), "revoked": {"type": "boolean"}}),
                    },
                }
            ),
            "public is that all devices are listed with their revoked state, not how the list looks",
        ),
        "Usage": assumed(
            _with_plan({"status": {"const": "ok"}, "handler": {"const": "usage"}}),
            "public are plan tier, limit and devicesUsed; the other fields are those of register",
        ),
        "BillingSummary": assumed(
            _with_plan({"status": {"const": "ok"}, "handler": {"const": "billing/summary"}}),
            "only the endpoint's name is public; the fields are those of usage",
        ),
        "OrgCreated": _object(
            {
                "status": {"const": "ok"},
                "orgApiKey": {"type": "string", "pattern": "^org_"},
                "handler": {"const": "org_create"},
            }
        ),
        "Error": assumed(
            _object(
                {
                    "status": {"const": "error"},
                    "error": {
                        "type": "string",
                        "examples": sorted(PROBLEMS),
                        "description": "A stable word for the error.",
                        "x-words": {
                            problem.word: {"status": problem.status, "when": problem.when, "of": problem.of}
                            for problem in PROBLEMS.values()
                        },
                    },
                    "message": {"type": "string", "description": "For people."},
                    "handler": {"type": "string", "description": "The endpoint without `/api/v1/`, or `unknown`."},
                    "allowed": False,  # a refused request has decided nothing: no reader may find a decision in it
                },
                optional=("allowed",),
            ),
            _ERRORS_ARE_NOT_PUBLIC,
        ),
    }


def assumed(schema: Schema, because: str) -> Schema:
    """The schema, or any object of the document, marked as assumed."""
    return {**schema, "x-assumed": True, "x-assumed-because": because}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _with_plan(properties: dict[str, Any]) -> Schema:
    return {"allOf": [_object(properties), _ref("Plan")]}


def _code() -> Schema:
    public = ", ".join(f"`{CODES[reason]}`" for reason in CODES if reason not in ASSUMED)
    chosen = ", ".join(f"`{CODES[reason]}`" for reason in CODES if reason in ASSUMED)
    return {
        "type": "string",
        "minLength": 1,
        "examples": list(CODES.values()),
        "description": f"Why. Seen in public: {public}. Assumed: {chosen}. Each can be overridden (`--code reason=CODE`).",
        "x-codes": {
            code: assumed({"reason": reason}, "no public source names this code")
            if reason in ASSUMED
            else {"reason": reason, "x-assumed": False}
            for reason, code in CODES.items()
        },
    }


_DEVICE_ID: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": DEVICE_ID_LIMIT,
    "pattern": DEVICE_ID_SOMETHING,
    "description": "By convention `service:env:role:instance`.",
    "examples": ["worker:dev:queue-consumer:07"],
    "x-assumed": True,
    "x-assumed-because": "the longest id that the original takes is not public",
}

_PLAN: Schema = _object(
    {
        "planTier": {"enum": list(PLANS)},
        "planState": {
            "type": "string",
            "minLength": 1,
            "description": "`active`, `frozen`, or another word for a plan that is not active.",
        },
        "accessUntil": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "The end of a cancelled plan's cycle; null while nothing is cancelled.",
        },
        "limit": {"type": "integer", "minimum": 0, "description": "The cap: the plan's, or a custom one."},
        "devicesUsed": {
            "type": "integer",
            "minimum": 0,
            "description": "Registered devices, revoked ones too; may exceed a cap that was lowered.",
        },
        "remaining": {"type": "integer", "minimum": 0},
        "overLimit": {"type": "boolean"},
        "softGraceWindow": assumed({"type": "null"}, "the field's name is public, what it may hold is not"),
    }
)
