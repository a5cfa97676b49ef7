"""Reads one TOML table: every value by its key and type, and nothing that is not known."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from machineid_conformance.config import duration
from machineid_conformance.config.errors import ConfigurationError, did_you_mean, shown

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def quoted(key: str) -> str:
    """One key as TOML would have it written."""
    return key if _BARE.fullmatch(key) else '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


def join(parent: str, key: str) -> str:
    """The dotted key of ``key`` in ``parent``; ``key`` may be a path of its own, such as ``answers[0].status``."""
    return f"{parent}.{key}" if parent else key


class Table:
    """One table of the file. ``known`` are the keys that may stand in it; None: any (names of targets, environments).

    Raises:
        ConfigurationError: by every method, naming file, dotted key, what was found and what was expected.
    """

    def __init__(self, values: Any, *, file: str, key: str, known: Collection[str] | None) -> None:
        self.file = file
        self.key = key
        if not isinstance(values, Mapping):
            raise self.error(f"found {shown(values)}", expected="a table")
        self.values: Mapping[str, Any] = values
        if known is None:
            return
        for name in values:
            if name not in known:
                raise self.error("unknown key", quoted(name), hint=did_you_mean(name, known))

    def error(
        self, problem: str, name: str | None = None, *, expected: str | None = None, hint: str | None = None
    ) -> ConfigurationError:
        """An error at ``name`` in this table, or at the table itself."""
        key = join(self.key, name) if name is not None else self.key
        return ConfigurationError(problem, file=self.file, key=key or None, expected=expected, hint=hint)

    def wrong(self, name: str, expected: str, *, hint: str | None = None) -> ConfigurationError:
        """The value of ``name`` is not what was expected."""
        return self.error(f"found {shown(self.values[name])}", name, expected=expected, hint=hint)

    def has(self, name: str) -> bool:
        """Whether the file sets ``name``."""
        return name in self.values

    def text(self, name: str, default: str | None = None) -> str | None:
        """A string that is not empty."""
        if name not in self.values:
            return default
        value = self.values[name]
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, "a string that is not empty")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """``true`` or ``false``."""
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def integer(self, name: str, default: int, *, least: int = 1, most: int | None = None) -> int:
        """A whole number within bounds."""
        value = self.values.get(name, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            bounds = f"from {least} to {most}" if most is not None else f"of {least} or more"
            raise self.wrong(name, f"a whole number {bounds}")
        return value

    def duration(self, name: str, default: float) -> float:
        """A duration, in seconds."""
        if name not in self.values:
            return default
        try:
            return duration.seconds(self.values[name])
        except ValueError as error:
            raise self.wrong(name, str(error)) from None

    def choice(self, name: str, default: str, among: Sequence[str]) -> str:
        """One word of ``among``."""
        value = self.values.get(name, default)
        if not isinstance(value, str) or value not in among:
            hint = did_you_mean(value, among) if isinstance(value, str) else None
            raise self.wrong(name, "one of " + ", ".join(map(repr, among)), hint=hint)
        return value

    def texts(self, name: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings that are not empty."""
        if name not in self.values:
            return default
        value = self.values[name]
        if not isinstance(value, list):
            raise self.wrong(name, "a list of strings")
        for index, item in enumerate(value):
            if not isinstance(item, str) or not item.strip():
                raise self.error(f"found {shown(item)}", f"{name}[{index}]", expected="a string that is not empty")
        return tuple(value)

    def strings(self, name: str) -> dict[str, str]:
        """A table of strings: an environment, headers."""
        return self.of_strings(self.values[name], name) if name in self.values else {}

    def tables_of_strings(self, name: str) -> tuple[Mapping[str, str], ...]:
        """A list of tables of strings that are not empty."""
        found = []
        for index, item in enumerate(self._list(name)):
            where = f"{name}[{index}]"
            if not (strings := self.of_strings(item, where)):
                raise self.error("found an empty table", where, expected='a table such as { NAME = "value" }')
            found.append(strings)
        return tuple(found)

    def of_strings(self, value: Any, name: str) -> dict[str, str]:
        """``value`` as a table of strings, found under ``name``."""
        if not isinstance(value, Mapping):
            raise self.error(f"found {shown(value)}", name, expected='a table such as { NAME = "value" }')
        for key, item in value.items():
            if not isinstance(item, str):
                raise self.error(
                    f"found {shown(item)}", join(name, quoted(key)), expected="a string", hint="put it in quotes"
                )
        return dict(value)

    def table(self, name: str, known: Collection[str] | None) -> Table | None:
        """A table in this one, or None when the file has none."""
        if name not in self.values:
            return None
        return Table(self.values[name], file=self.file, key=join(self.key, name), known=known)

    def tables(self, name: str, known: Collection[str]) -> tuple[Table, ...]:
        """A list of tables."""
        where = join(self.key, name)
        items = enumerate(self._list(name))
        return tuple(Table(item, file=self.file, key=f"{where}[{index}]", known=known) for index, item in items)

    def _list(self, name: str) -> list[Any]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.wrong(name, "a list of tables")
        return value
