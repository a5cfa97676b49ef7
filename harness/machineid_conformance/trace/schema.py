"""The JSON Schema of one trace line, derived from the events themselves, so that the two cannot drift apart.

``python -m machineid_conformance.trace.schema > reports/schema/trace.schema.json`` writes the published copy; a test
compares it with what is derived here.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import json
import sys
import types
import typing
from typing import Any, Literal

from machineid_conformance.trace.events import REGISTRY, Event

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    Any: {},
}


def trace_schema() -> dict[str, Any]:
    """One line of a trace: one of the events, told apart by ``event``."""
    return {
        "$schema": DRAFT,
        "title": "One line of a machineid-conformance trace",
        "description": (
            "A trace is JSON Lines. The first line is run-started, the last run-ended; seq counts from 1 without a gap; "
            "at is in target seconds since the run began."
        ),
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in sorted(REGISTRY)],
        "$defs": {name: event_schema(REGISTRY[name]) for name in sorted(REGISTRY)},
    }


def event_schema(kind: type[Event]) -> dict[str, Any]:
    """One event as it stands on disk: every field is written, also one that has its default."""
    fields = dataclass_schema(kind)
    fields["properties"] |= {
        "seq": {"type": "integer", "minimum": 1},
        "at": {"type": "number", "minimum": 0},
        "event": {"const": kind.name},
    }
    names = [field.name for field in dataclasses.fields(kind)]
    return fields | {"required": sorted([*names, "event"])}


def dataclass_schema(kind: type[Any]) -> dict[str, Any]:
    """A dataclass as an object. Required are the fields without a default; others than its fields are not allowed."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    return {
        "type": "object",
        "properties": {field.name: type_schema(hints[field.name]) for field in fields},
        "required": [
            field.name
            for field in fields
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        ],
        "additionalProperties": False,
    }


def type_schema(hint: Any) -> dict[str, Any]:
    """The JSON form of a field's type.

    Raises:
        TypeError: the type has no JSON form that is known here.
    """
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [type_schema(argument) for argument in arguments]}
    if origin in (tuple, list, collections.abc.Sequence) and arguments[1:] in ((), (Ellipsis,)):
        return {"type": "array", "items": type_schema(arguments[0])}
    if origin in (dict, collections.abc.Mapping) and arguments[0] is str:
        return {"type": "object", "additionalProperties": type_schema(arguments[1])}
    raise TypeError(f"{hint!r} has no JSON form; expected a scalar, a Literal, a union, tuple[X, ...] or dict[str, X]")


def as_text(schema: dict[str, Any]) -> str:
    """A schema as the text of its file."""
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_text(trace_schema()))
