"""The runtimes of ``tests/runtimes``: the conforming ones, and how each violating one is made from its twin.

A violating runtime is a conforming one with one place changed (``violations.toml``), so what makes it wrong is in plain
sight. It is written into a folder of the test, with a configuration of its own, and run like any other target.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Isolation = Literal["namespace", "proxy"]

RUNTIMES = Path(__file__).parents[1] / "runtimes"
CONFIG = RUNTIMES / "machineid-conformance.toml"
VIOLATIONS = RUNTIMES / "violations.toml"
EXPECTATIONS = Path(__file__).parent / "expectations.toml"
NEEDS = {"curl-worker": ("curl", "jq"), "node-worker": ("node",)}
"""Programs, beside Python, that a target runs."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One entry of ``violations.toml``; ``fails`` are the rules that must fail or warn in the runs of ``scenarios``.

    Either the lines ``replace`` of the program become ``by``, or the keys ``target`` of its table are set. ``not_in_proxy`` says
    why it cannot be shown in proxy isolation; None: it is.
    """

    name: str
    twin: str
    replace: str | None = None
    by: str = ""
    target: Mapping[str, Any] = field(default_factory=dict)
    scenarios: tuple[str, ...]
    fails: frozenset[str]
    not_in_proxy: str | None = None


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What a conforming target scores: each list is exact, and every other rule passes (or informs)."""

    warn: frozenset[str]
    not_applicable: frozenset[str]
    inconclusive: frozenset[str]


def load_targets() -> dict[str, dict[str, Any]]:
    """The target tables of the conforming runtimes, as TOML has them."""
    targets: dict[str, dict[str, Any]] = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["targets"]
    return targets


def load_violations(isolation: Isolation = "namespace") -> tuple[Violation, ...]:
    """Every violating runtime that can be shown in this isolation, in the order of the file."""
    entries = tomllib.loads(VIOLATIONS.read_text(encoding="utf-8"))
    violations = tuple(
        Violation(
            name=name,
            twin=entry["twin"],
            replace=entry.get("replace"),
            by=entry.get("with", ""),
            target=entry.get("target", {}),
            scenarios=tuple(entry["scenarios"]),
            fails=frozenset(entry["fails"]),
            not_in_proxy=entry.get("not-in-proxy"),
        )
        for name, entry in entries.items()
    )
    if isolation == "namespace":
        return violations
    twins = load_expectations(isolation)
    return tuple(one for one in violations if one.not_in_proxy is None and one.twin in twins)


def load_expectations(isolation: Isolation = "namespace") -> dict[str, Expectation]:
    """What each conforming target that can be judged in this isolation scores: its own lists, beside those of ``[all]``
    (and, in proxy isolation, of ``[proxy]``), less its ``applies``.
    """
    entries = tomllib.loads(EXPECTATIONS.read_text(encoding="utf-8"))
    everywhere, proxy = (frozenset(entries.pop(name)["not-applicable"]) for name in ("all", "proxy"))
    if isolation == "proxy":
        entries = {name: entry for name, entry in entries.items() if "not-in-proxy" not in entry}
        everywhere |= proxy
    return {
        name: Expectation(
            warn=frozenset(entry.get("warn", ())),
            not_applicable=(everywhere | frozenset(entry.get("not-applicable", ())))
            - frozenset(entry.get("applies", ())),
            inconclusive=frozenset(entry.get("inconclusive", ())),
        )
        for name, entry in entries.items()
    }


def missing_programs(name: str) -> tuple[str, ...]:
    """The programs that a target needs and this machine has not."""
    return tuple(program for program in NEEDS.get(name, ()) if shutil.which(program) is None)


def program_of(target: Mapping[str, Any]) -> Path:
    """The file that a target of ``machineid-conformance.toml`` runs."""
    return RUNTIMES / str(target["cwd"]) / str(target["command"][1])


def change(program: str, violation: Violation) -> str:
    """The program of the twin with the violation's lines in place of its own.

    Raises:
        ValueError: the lines to replace are not found exactly once, as whole lines.
    """
    if violation.replace is None:
        return program
    lines, wanted = program.split("\n"), violation.replace.split("\n")
    places = [n for n in range(len(lines)) if lines[n : n + len(wanted)] == wanted]
    if len(places) != 1:
        raise ValueError(
            f"violations.toml, {violation.name}: its `replace` must be found once in the program of {violation.twin}; "
            f"it is found {len(places)} times. It says:\n{violation.replace}"
        )
    return "\n".join([*lines[: places[0]], *violation.by.split("\n"), *lines[places[0] + len(wanted) :]])


def write_violations(violations: Sequence[Violation], folder: Path) -> Path:
    """Write each violating runtime into a folder of its own below ``folder``, and one configuration that has each of them
    as a target; returns the configuration's path.
    """
    targets = load_targets()
    tables = ["edition = 1\n"]
    for violation in violations:
        target = {**targets[violation.twin], "sweep": "kinds", **violation.target}
        original = program_of(target)
        program = folder / violation.name / original.name
        program.parent.mkdir()
        program.write_text(change(original.read_text(encoding="utf-8"), violation), encoding="utf-8")
        shutil.copymode(original, program)
        target["cwd"] = violation.name
        keys = "\n".join(f"{key} = {toml(value)}" for key, value in target.items())
        tables.append(f"[targets.{violation.name}]\n{keys}\n")
    config = folder / "machineid-conformance.toml"
    config.write_text("\n".join(tables), encoding="utf-8")
    return config


def write_conforming(folder: Path, *, sweep: str) -> Path:
    """Write a configuration with every conforming target under one sweep, whatever its own is; returns its path."""
    tables = ["edition = 1\n"]
    for name, target in load_targets().items():
        keys = {**target, "sweep": sweep, "cwd": str(RUNTIMES / str(target["cwd"]))}
        tables.append("\n".join([f"[targets.{name}]", *(f"{key} = {toml(value)}" for key, value in keys.items()), ""]))
    config = folder / "machineid-conformance.toml"
    config.write_text("\n".join(tables), encoding="utf-8")
    return config


def toml(value: Any) -> str:
    """A value of a target table as TOML, tables inline. A JSON string is a TOML basic string."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value)
