"""JSON Schema (2020-12) of a fault rule, made from the registry: what it refuses, ``parse`` refuses.

What only ``parse`` knows are contradictions between parts: two faults of one stage, a listener fault with a target, a jitter longer
than its latency.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal, Union, cast

from fake_control_plane import faults
from fake_control_plane.fault_rules.rule import ID, OPERATIONS, TARGET
from fake_control_plane.fault_rules.triggers import KINDS, WORDS
from fake_control_plane.faults.api import Fault

_TYPES: dict[object, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    type(None): {"type": "null"},
    Any: {},
}


def schema() -> dict[str, Any]:
    """The schema of a rule as a client may send it."""
    of_faults = {name: _of_fault(kind) for name, kind in sorted(faults.kinds().items())}
    return {
        "type": "object",
        "description": "A fault rule: which fault, for which calls, when.",
        "properties": {
            "id": {
                "type": "string",
                "pattern": ID,
                "description": "What names the rule; chosen by the fake where it is left out.",
            },
            "fault": {
                "type": "object",
                "description": "One fault or several of different stages, each by its name, with its parameters.",
                "properties": of_faults,
                "additionalProperties": False,
                "minProperties": 1,
            },
            "operation": {"enum": list(OPERATIONS), "description": TARGET["operation"]},
            "device": {"type": "string", "minLength": 1, "description": TARGET["device"]},
            "org": {"type": "string", "minLength": 1, "description": TARGET["org"]},
            "trigger": {
                "description": "When it strikes: one of these; without any, always.",
                "anyOf": [_of_trigger(word) for word in KINDS],
            },
        },
        "required": ["fault"],
        "additionalProperties": False,
    }


def types_of(kind: type[Fault], parameter: str) -> frozenset[str]:
    """The JSON types that a parameter of a fault may have; empty: any."""
    found = _of_type(typing.get_type_hints(kind)[parameter])
    alternatives = found.get("anyOf", [found])
    return frozenset(
        name
        for one in alternatives
        for name in ([one["type"]] if "type" in one else [_json_type(value) for value in one.get("enum", ())])
    )


def _of_fault(kind: type[Fault]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    properties, required = {}, []
    for field in dataclasses.fields(cast("Any", kind)):
        found = _of_type(hints[field.name]) | {"description": kind.parameters[field.name]}
        bounds = kind.bounds.get(field.name, {})
        if "anyOf" in found and bounds:
            found["anyOf"] = [
                one | bounds if one.get("type") in ("integer", "number") else one for one in found["anyOf"]
            ]
        else:
            found.update(bounds)
        if field.default is dataclasses.MISSING:
            required.append(field.name)
        elif field.default is not None:
            found["default"] = field.default
        properties[field.name] = found
    return {
        "type": "object",
        "description": kind.summary[0].upper() + kind.summary[1:] + ".",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _of_trigger(word: str) -> dict[str, Any]:
    fields = dataclasses.fields(KINDS[word])
    names = [field.name for field in fields] or ["always"]
    properties: dict[str, dict[str, Any]] = {
        "always": {"const": True},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "seed": {"type": "integer", "minimum": 0},
    }
    return {
        "type": "object",
        "properties": {
            name: properties.get(name, {"type": "integer", "minimum": 1}) | {"description": WORDS[name]}
            for name in names
        },
        "required": [field.name for field in fields if field.default is dataclasses.MISSING],
        "additionalProperties": False,
    }


def _of_type(hint: object) -> dict[str, Any]:
    origin = typing.get_origin(hint)
    if origin is Literal:
        return {"enum": list(typing.get_args(hint))}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of_type(one) for one in typing.get_args(hint)]}
    return dict(_TYPES[hint])


def _json_type(value: object) -> str:
    return str(_TYPES[type(value)]["type"])
