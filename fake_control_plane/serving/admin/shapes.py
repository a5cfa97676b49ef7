"""What the admin API answers with, as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from fake_control_plane.org import PLANS, Reason
from fake_control_plane.serving.core import DIALECTS

_TEXT: Mapping[str, Any] = {"type": "string"}
_WHOLE: Mapping[str, Any] = {"type": "integer", "minimum": 0}
_NUMBER: Mapping[str, Any] = {"type": "number"}
_TRUTH: Mapping[str, Any] = {"type": "boolean"}
_REASON: Mapping[str, Any] = {"type": "string", "enum": list(get_args(Reason))}


def _maybe(schema: Mapping[str, Any]) -> dict[str, Any]:
    """This, or null."""
    return {"anyOf": [schema, {"type": "null"}]}


def _object(
    properties: Mapping[str, Any], *, optional: tuple[str, ...] = (), described: str | None = None
) -> dict[str, Any]:
    """An object with just these properties."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }
    return schema if described is None else {**schema, "description": described}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _said(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


SECONDS_SINCE_EPOCH = _said(_NUMBER, "seconds since the epoch")

SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "Org": _object(
        {
            "id": _said(_TEXT, "such as org-1; the key is a secret and never here"),
            "plan": {"type": "string", "enum": list(PLANS)},
            "plan_state": _said(_TEXT, "active, frozen, or another word for a plan that is not active"),
            "limit": _said(_WHOLE, "the cap in force, in devices"),
            "used": _said(_WHOLE, "devices registered; may exceed the cap after it was lowered"),
            "access_until": _said(_maybe(_NUMBER), "the end of a cancelled plan's cycle, in seconds since the epoch"),
            "disabled": _said(_TRUTH, "org-wide disable"),
        }
    ),
    "Orgs": _object({"orgs": _list(_ref("Org"))}),
    "OrgWithKey": _object({"org": _ref("Org"), "key": _said(_TEXT, "the org key: a secret, shown this once")}),
    "Device": _object(
        {
            "id": _TEXT,
            "revoked": _TRUTH,
            "now": _said(_REASON, "what a validate would decide at this moment"),
            "calls": _said(_WHOLE, "its validates since the server began"),
            "last": _said(_maybe(_REASON), "what the last of them decided"),
            "last_at": _said(_maybe(_NUMBER), "when, in seconds since the epoch"),
        }
    ),
    "Devices": _object(
        {
            "devices": _list(_ref("Device")),
            "matching": _said(_WHOLE, "how many pass search and state, on all pages"),
            "total": _said(_WHOLE, "how many are registered"),
        }
    ),
    "Registered": _object({"org": _ref("Org"), "registered": _said(_list(_TEXT), "the ids that are new")}),
    "FaultRule": {
        "type": "object",
        "properties": {
            "id": _TEXT,
            "line": _said(_TEXT, "the rule as one line"),
            "fault": _said({"type": "object"}, "each fault by its name, with its parameters"),
            "operation": _TEXT,
            "device": _said(_TEXT, "a glob"),
            "org": _TEXT,
            "trigger": {"type": "object"},
            "seen": _said(_WHOLE, "calls that matched"),
            "hits": _said(_WHOLE, "calls that were struck"),
        },
        "required": ["id", "line", "fault", "trigger", "seen", "hits"],
        "additionalProperties": False,
    },
    "FaultRules": _object({"rules": _list(_ref("FaultRule"))}),
    "Removed": _object({"removed": _said(_list(_TEXT), "ids of fault rules")}),
    "FaultKinds": _object(
        {
            "kinds": _list(
                _object(
                    {
                        "name": _TEXT,
                        "summary": _TEXT,
                        "level": _said(
                            {"type": "string", "enum": ["answer", "listener"]},
                            "a listener fault acts before there is a call: it has no operation, device or org",
                        ),
                        "parameters": _said(
                            {"type": "object", "additionalProperties": _TEXT}, "what each may be, in words"
                        ),
                    }
                )
            )
        }
    ),
    "Clock": _object(
        {"now": SECONDS_SINCE_EPOCH, "moved": _said(_NUMBER, "seconds by which it is ahead of the machine's clock")}
    ),
    "Dialect": _object(
        {
            "dialect": {"type": "string", "enum": list(DIALECTS)},
            "codes": _object(
                {
                    reason: _object(
                        {
                            "code": _TEXT,
                            "assumed": _said(_TRUTH, "no public source names the original's code for this reason"),
                            "overridden": _TRUTH,
                        }
                    )
                    for reason in get_args(Reason)
                },
                described="by reason",
            ),
        }
    ),
    "Status": {
        "type": "object",
        "properties": {
            "healthy": _TRUTH,
            "problems": _list(_TEXT),
            "orgs": _WHOLE,
            "rules": _said(_WHOLE, "fault rules in force"),
            "dialect": _TEXT,
            "expired": _said(_TRUTH, "its --expires is over: everything is denied"),
            "expires_in": _said(_maybe(_NUMBER), "seconds until then; null: never"),
            "allow_prod": _TRUTH,
            "journal": _object({"name": _TEXT, "first": _WHOLE, "last": _WHOLE, "dropped": _WHOLE}),
        },
        "required": [
            "healthy",
            "problems",
            "orgs",
            "rules",
            "dialect",
            "expired",
            "expires_in",
            "allow_prod",
            "journal",
        ],
    },
    "Entry": _object(
        {
            "number": _WHOLE,
            "time": SECONDS_SINCE_EPOCH,
            "kind": {"type": "string", "enum": ["call", "action"]},
            "org": _maybe(_TEXT),
            "operation": _TEXT,
            "device": _maybe(_TEXT),
            "status": _said(_maybe(_WHOLE), "what the client got, faults included; null: no whole answer reached it"),
            "decision": _maybe({"type": "string", "enum": ["allow", "deny", "failure"]}),
            "code": _maybe(_TEXT),
            "request_id": _maybe(_TEXT),
            "rule": _said(_maybe(_TEXT), "the fault rule that acted on it; several are joined by +"),
            "ending": _maybe({"type": "string", "enum": ["answered", "reset", "cut-off", "gave-up"]}),
            "waited": _said(_maybe(_NUMBER), "seconds from the complete request to the end of the exchange"),
            "detail": _said(_maybe(_TEXT), "what an action set, or how a fault was delivered"),
        }
    ),
    "Journal": _object(
        {
            "journal": _said(_TEXT, "the journal's name: new with every server"),
            "missed": _said(_WHOLE, "entries behind since that the memory no longer has"),
            "entries": _list(_ref("Entry")),
            "last": _said(_WHOLE, "where the next page begins"),
        }
    ),
    "Health": _object({"healthy": _TRUTH, "problems": _list(_TEXT)}),
    "Error": _object(
        {
            "error": _said(_TEXT, "a stable word"),
            "message": _said(_TEXT, "for people"),
            "expected": _TEXT,
            "remedy": _TEXT,
        },
        optional=("expected", "remedy"),
    ),
}
"""By name; ``Endpoint.answer`` is one of these."""
