"""YAML nodes that remember where they stood, so that every error names its line.

Only YAML's safe tags are read, and only what JSON could say: no objects, no dates, no keys but strings, no key twice.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from machineid_conformance.config.errors import did_you_mean, shown
from machineid_conformance.scenario.errors import ScenarioError

MAX_DEPTH = 12
"""Deeper than any scenario; a file whose alias contains itself ends here."""

FAST: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser takes a tenth of the time; PyYAML has it wherever it was built with it."""


class Located:
    """One YAML node of ``path``. ``name`` is what messages call it: ``steps[0].at``."""

    def __init__(self, node: yaml.Node, *, path: Path, name: str, depth: int = 0) -> None:
        self.node = node
        self.path = path
        self.name = name
        self.depth = depth
        if depth > MAX_DEPTH:
            raise self.error(f"is nested more than {MAX_DEPTH} levels deep")

    def error(self, problem: str) -> ScenarioError:
        """An error at this node."""
        mark = self.node.start_mark
        return ScenarioError(
            f"{self.name}: {problem}" if self.name else problem,
            path=self.path,
            line=mark.line + 1,
            column=mark.column + 1,
        )

    def wrong(self, expected: str, *, hint: str | None = None) -> ScenarioError:
        """This value is not what was expected."""
        found = shown(self.plain())
        return self.error(f"found {found}; expected {expected}" + (f"; {hint}" if hint else ""))

    def child(self, node: yaml.Node, name: str) -> Located:
        """A node below this one."""
        return Located(node, path=self.path, name=name, depth=self.depth + 1)

    def mapping(self, known: Collection[str] | None, *, expected: str = "a mapping") -> dict[str, Located]:
        """The entries by their keys, in order. ``known`` are the keys that there are; None: any."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.wrong(expected)
        found: dict[str, Located] = {}
        for key_node, value_node in self.node.value:
            key_at = self.child(key_node, self.name)
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
                raise key_at.error(f"the key {shown(key_at.plain())} is no word; write it in quotes if it is meant so")
            key = str(key_node.value)
            if known is not None and key not in known:
                raise key_at.error(f"unknown key {key!r}; {did_you_mean(key, known)}")
            if key in found:
                raise key_at.error(f"the key {key!r} stands here twice")
            found[key] = self.child(value_node, f"{self.name}.{key}" if self.name else key)
        return found

    def only(self, known: Collection[str] | None, *, expected: str) -> tuple[str, Located]:
        """The one entry of a mapping that has exactly one."""
        entries = self.mapping(known, expected=expected)
        if len(entries) != 1:
            raise self.error(f"found {len(entries)} keys{_listed(entries)}; expected {expected}")
        return next(iter(entries.items()))

    def items(self, *, expected: str) -> Iterator[Located]:
        """The items of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.wrong(expected)
        for index, node in enumerate(self.node.value):
            yield self.child(node, f"{self.name}[{index}]")

    def text(self, *, expected: str = "a string that is not empty") -> str:
        """A string that is not empty."""
        value = self.plain()
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(expected, hint=None if isinstance(value, str | list | dict) else "put it in quotes")
        return value

    def word(self, among: Collection[str], *, expected: str | None = None) -> str:
        """One word of ``among``."""
        value = self.plain()
        if not isinstance(value, str) or value not in among:
            listed = expected or "one of " + ", ".join(sorted(among))
            raise self.wrong(listed, hint=did_you_mean(value, among) if isinstance(value, str) else None)
        return value

    def flag(self) -> bool:
        """True or false."""
        value = self.plain()
        if not isinstance(value, bool):
            raise self.wrong("true or false")
        return value

    def integer(self, *, least: int = 1) -> int:
        """A whole number of ``least`` or more."""
        value = self.plain()
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.wrong(f"a whole number of {least} or more")
        return value

    def number(self, *, expected: str, below: float = math.inf) -> float:
        """A number above zero and below ``below``."""
        value = self.plain()
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < below:
            raise self.wrong(expected)
        return float(value)

    def plain(self) -> Any:
        """The value as JSON could say it: mappings, lists, strings, numbers, booleans, None."""
        if isinstance(self.node, yaml.MappingNode):
            return {key: value.plain() for key, value in self.mapping(None).items()}
        if isinstance(self.node, yaml.SequenceNode):
            return [item.plain() for item in self.items(expected="a list")]
        try:
            value = yaml.constructor.SafeConstructor().construct_object(self.node)
        except (yaml.YAMLError, ValueError) as error:
            reason = getattr(error, "problem", None) or str(error)
            raise self.error(f"cannot be read as {self.node.tag}: {reason}") from None
        if isinstance(value, date | bytes | set) or (isinstance(value, float) and not math.isfinite(value)):
            raise self.error(
                f"found {shown(value)}; expected a string, a number, true, false or null; put it in quotes"
            )
        return value


def compose(text: str, path: Path) -> Located:
    """The document in ``text``.

    Raises:
        ScenarioError: it is not YAML, empty, or more than one document.
    """
    try:
        node = _parsed(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = "; ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioError(
            f"not YAML: {problem}",
            path=path,
            line=mark.line + 1 if mark else None,
            column=mark.column + 1 if mark else None,
        ) from None
    except yaml.YAMLError as error:  # a character that YAML forbids; it has no mark
        raise ScenarioError(f"not YAML: {str(error).splitlines()[0]}", path=path) from None
    if node is None:
        raise ScenarioError("is empty; expected a scenario: id, title, rules, steps", path=path, line=1)
    return Located(node, path=path, name="")


def _parsed(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=FAST)
    except yaml.YAMLError:  # again, so that a mistake has the same words with and without libyaml
        return yaml.compose(text, Loader=yaml.SafeLoader)


def _listed(keys: Collection[str]) -> str:
    return f" ({', '.join(keys)})" if keys else ""
