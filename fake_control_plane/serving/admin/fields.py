"""What a request may say, field by field: the same declaration reads it and describes it in the OpenAPI document."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal

from fake_control_plane.serving.admin.problems import Refused

Kind = Literal["text", "whole", "number", "texts", "words"]

_MOST = 10_000
"""Of ``texts`` in one request."""

_LARGEST = 2**53 - 1
"""Of whole numbers: the largest that every JSON implementation keeps (RFC 8259, 6)."""

_WHOLE = re.compile(r"[0-9]{1,16}")

_EXPECTED: Mapping[Kind, str] = {
    "text": "a string that is not empty",
    "whole": "a whole number",
    "number": "a number",
    "texts": "an array of one string or more",
    "words": "an object whose values are strings",
}
_SCHEMAS: Mapping[Kind, Mapping[str, Any]] = {
    "text": {"type": "string", "minLength": 1},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "texts": {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "maxItems": _MOST},
    "words": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
}


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of a body, or one query parameter. ``default`` stands in for a field that is not required and not there.

    ``choices``: what a text may be, or the names that ``words`` may have. ``least`` and ``most`` bound whole and other numbers.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = True
    default: Any = None
    choices: tuple[str, ...] = ()
    least: float = 0
    most: float = _LARGEST

    @property
    def expected(self) -> str:
        """What is right, in words."""
        if self.choices:
            choices = ", ".join(self.choices)
            return (
                f"one of {choices}"
                if self.kind == "text"
                else f"{_EXPECTED[self.kind]}, and whose names are of {choices}"
            )
        if self.kind in ("whole", "number"):
            return f"{_EXPECTED[self.kind]} from {self.least:.0f} to {self.most:.0f}"
        return _EXPECTED[self.kind]

    def schema(self) -> dict[str, Any]:
        """What is right, as JSON Schema."""
        schema = {**_SCHEMAS[self.kind], "description": self.meaning}
        if self.kind in ("whole", "number"):
            schema |= {"minimum": self.least, "maximum": self.most}
        if self.choices and self.kind == "text":
            schema["enum"] = list(self.choices)
        if self.choices and self.kind == "words":
            word = schema.pop("additionalProperties")
            schema |= {"properties": dict.fromkeys(self.choices, word), "additionalProperties": False}
        if self.default is not None:
            schema["default"] = self.default
        return schema

    def read(self, value: object, *, where: str) -> Any:
        """The value, if it is right.

        Raises:
            Refused: it is not; the message names ``where`` and the field, and what came.
        """
        if self.kind == "whole" and isinstance(value, float) and value.is_integer():
            value = int(value)  # 3.0 is a whole number to JSON Schema
        if self._fits(value):
            return value
        shown = repr(value)
        raise Refused(
            "invalid_value",
            f"{where} {self.name}: got {shown if len(shown) <= 200 else shown[:199] + '…'}; expected {self.expected}",
            expected=self.expected,
        )

    def _fits(self, value: object) -> bool:
        if self.kind in ("whole", "number"):
            kinds: type | UnionType = int if self.kind == "whole" else int | float
            # Nothing compares with NaN, so that it does not fit.
            return isinstance(value, kinds) and not isinstance(value, bool) and self.least <= value <= self.most  # type: ignore[operator]
        if self.kind == "texts":
            return isinstance(value, list) and 1 <= len(value) <= _MOST and all(_is_text(item) for item in value)
        if self.kind == "words":
            return (
                isinstance(value, dict)
                and (not self.choices or set(value) <= set(self.choices))
                and all(_is_text(item) for item in value.values())
            )
        return _is_text(value) and (not self.choices or value in self.choices)


def read_object(value: object, fields: Collection[Field], *, where: str) -> dict[str, Any]:
    """The values of a body's fields.

    Raises:
        Refused: it is no object, or a field is unknown, missing or wrong.
    """
    if not isinstance(value, dict):
        raise Refused(
            "malformed_json", f"{where}: got {type(value).__name__}; expected an object", expected="a JSON object"
        )
    _only_known(value, fields, where=where)
    return {field.name: _of(field, value, where=where) for field in fields}


def read_query(pairs: Iterable[tuple[str, str]], fields: Collection[Field]) -> dict[str, Any]:
    """The values of query parameters, each at most once.

    Raises:
        Refused: a parameter is unknown, given twice, missing or wrong.
    """
    values: dict[str, object] = {}
    kinds = {field.name: field.kind for field in fields}
    for name, text in pairs:
        if name in values:
            raise Refused(
                "invalid_value", f"query {name}: given twice; expected it once", expected="each parameter once"
            )
        values[name] = int(text) if kinds.get(name) == "whole" and _WHOLE.fullmatch(text) else text
    _only_known(values, fields, where="query")
    return {field.name: _of(field, values, where="query") for field in fields}


def _of(field: Field, values: Mapping[str, object], *, where: str) -> Any:
    if field.name in values:
        return field.read(values[field.name], where=where)
    if field.required:
        raise Refused(
            "invalid_value", f"{where} {field.name}: is missing; expected {field.expected}", expected=field.expected
        )
    return field.default


def _only_known(values: Mapping[str, object], fields: Collection[Field], *, where: str) -> None:
    known = [field.name for field in fields]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            expected = ", ".join(known) or "none"
            raise Refused(
                "invalid_value",
                f"{where}: {name[:100]!r} is unknown{f'; did you mean {near[0]!r}?' if near else ''}; expected {expected}",
                expected=expected,
            )


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write and UTF-8 cannot
        return False
    return True
