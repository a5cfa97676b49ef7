"""From a TOML file, or from a command alone, to a ``Configuration``."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import tomllib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from machineid_conformance.config.errors import ConfigurationError, did_you_mean, shown
from machineid_conformance.config.find import FILE, PYPROJECT, section_of
from machineid_conformance.config.model import Configuration, Group, Target
from machineid_conformance.config.overrides import COMMAND_LINE, Overrides
from machineid_conformance.config.table import Table, join, quoted
from machineid_conformance.config.target import LATER_KINDS, TARGET_KEYS, target

SECTION = "tool.machineid-conformance"
EDITION = 1
COMMAND_TARGET = "command"
"""The name of the target that was given on the command line."""

ROOT_KEYS = ("edition", "scenarios", "targets", "groups")
GROUP_KEYS = ("targets",)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def load(
    path: Path, *, known_rules: Collection[str] | None = None, overrides: Overrides | None = None
) -> Configuration:
    """The configuration in ``path``; ``known_rules`` are the rule ids that exist (None: not checked).

    Raises:
        ConfigurationError: the file cannot be read, or something in it cannot be used.
    """
    file = str(path)
    data = _read(path, file)
    document = _parse(data, file)
    key = ""
    if path.name == PYPROJECT:
        section = section_of(document)
        if section is None:
            raise ConfigurationError(f"has no [{SECTION}] table", file=file, hint=f"add one, or write a {FILE}")
        document, key = section, SECTION
    configuration = _configuration(
        Table(document, file=file, key=key, known=ROOT_KEYS), path, hashlib.sha256(data).hexdigest(), known_rules
    )
    return overrides.apply(configuration) if overrides is not None else configuration


def from_command(
    command: Sequence[str] | str, *, device: str | None = None, cwd: Path, overrides: Overrides | None = None
) -> Configuration:
    """A configuration of one target, with every default; its ``sha256`` is that of command and device as JSON.

    Raises:
        ConfigurationError: the command is empty or its quotes do not match, or the device id is none.
    """
    values: dict[str, Any] = {"command": command if isinstance(command, str) else list(command)}
    if device is not None:
        values["device"] = device
    table = Table(values, file=COMMAND_LINE, key="", known=TARGET_KEYS)
    found = target(COMMAND_TARGET, table, folder=cwd, known_rules=None)
    canonical = json.dumps([list(found.command), device]).encode()
    configuration = Configuration(
        path=None, edition=EDITION, targets=(found,), sha256=hashlib.sha256(canonical).hexdigest()
    )
    return overrides.apply(configuration) if overrides is not None else configuration


def command_line(command: Sequence[str]) -> str:
    """A command as a person would type it."""
    return shlex.join(command)


def _read(path: Path, file: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError("no such file", file=file, hint=f"write a {FILE}, or give a command instead") from None
    except IsADirectoryError:
        raise ConfigurationError("found a folder", file=file, expected=f"a file, such as {path / FILE}") from None
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}", file=file) from None


def _parse(data: bytes, file: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"byte {data[error.start]:#04x} is not UTF-8", file=f"{file}:{line}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        where = f"{file}:{place[1]}:{place[2]}" if place else f"{file}:{text.count(chr(10)) + 1}"
        problem = message[: place.start()] if place else message.removesuffix(" (at end of document)")
        raise ConfigurationError(f"not TOML: {problem}", file=where) from None


def _configuration(table: Table, path: Path, sha256: str, known_rules: Collection[str] | None) -> Configuration:
    folder = path.resolve().parent
    _edition(table)
    targets = tuple(_targets(table, folder, known_rules))
    return Configuration(
        path=path,
        edition=EDITION,
        targets=targets,
        groups=tuple(_groups(table, targets)),
        scenarios=table.texts("scenarios"),
        sha256=sha256,
    )


def _edition(table: Table) -> None:
    value = table.values.get("edition", EDITION)
    if isinstance(value, bool) or value != EDITION or not isinstance(value, int):
        raise table.wrong("edition", "1, the only edition of the rules that there is")


def _targets(table: Table, folder: Path, known_rules: Collection[str] | None) -> list[Target]:
    tables = table.table("targets", None)
    if tables is None or not tables.values:
        raise table.error("has no target", expected=f"[{join(table.key, 'targets.NAME')}] with a command")
    found = []
    for name in tables.values:
        _named(tables, name)
        child = tables.table(name, None)
        assert child is not None  # the name came from the table itself
        own = Table(
            child.values, file=table.file, key=join(tables.key, quoted(name)), known=(*TARGET_KEYS, *LATER_KINDS)
        )
        found.append(target(name, own, folder=folder, known_rules=known_rules))
    return found


def _groups(table: Table, targets: Sequence[Target]) -> list[Group]:
    tables = table.table("groups", None)
    if tables is None:
        return []
    known = [one.name for one in targets]
    found = []
    for name in tables.values:
        _named(tables, name)
        own = Table(tables.values[name], file=table.file, key=join(tables.key, quoted(name)), known=GROUP_KEYS)
        members = own.texts("targets")
        for index, member in enumerate(members):
            if member not in known:
                raise own.error(
                    f"found {shown(member)}", f"targets[{index}]", expected="a target", hint=did_you_mean(member, known)
                )
        if len(set(members)) < 2 or len(set(members)) < len(members):
            raise own.error(f"found {len(members)} targets", "targets", expected="two or more targets that differ")
        found.append(Group(name=name, targets=members))
    return found


def _named(tables: Table, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise tables.error(
            "found a name that cannot stand on a command line",
            quoted(name),
            expected="letters, digits, '_', '-' and '.'",
        )
