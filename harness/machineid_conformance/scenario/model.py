"""A scenario as frozen values: what is done to a target, and when. ``scenario.load`` makes them from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Relation = Literal["before", "during", "after"]
Subject = Literal["start", "register", "validate", "effect", "stop", "exit"]
Sweep = Literal["once", "validate", "effect"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """``n``: the n-th subject of the run, counted from 1 over restarts; ``each``: the boundary that the sweep binds."""

    relation: Relation
    subject: Subject
    n: int | Literal["each"] = 1


@dataclass(frozen=True, kw_only=True)
class Until:
    """When a fault or a hold ends: after so many failed control-plane calls or target seconds, whichever is first; else at the end."""

    calls: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Action:
    """``kind``: an operator's action (revoke restore remove disable enable rotate plan cap) or fault hold restart stimulus signal.

    ``argument`` by kind: a device or ``$device`` (revoke restore remove), None (disable enable rotate restart), a plan state or
    name, a number (cap), a fault as ``{name: {parameter: value}}`` or ``$variant``, ``{"validate": share}`` (hold: the share of
    the measured deadline), a signal's name.
    """

    kind: str
    argument: Any = None


@dataclass(frozen=True, kw_only=True)
class Step:
    at: Moment
    do: Action
    until: Until | None = None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One form of the scenario's fault. ``fault`` is the fault's name, ``parameters`` its parameters."""

    id: str
    fault: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``needs``: what must hold for the scenario to run at all, each a word of ``scenario.needs``; a scenario whose need does not
    hold is left out with that reason. ``watch``: how long a stopped or cut-off target is watched: ``idle`` (``idle_after``), ``grace``
    (``grace_window``) or target seconds. ``waits``: the run is mostly waiting, and is scheduled beside others.
    """

    id: str
    title: str
    rules: tuple[str, ...]
    sweep: Sweep
    steps: tuple[Step, ...]
    variants: tuple[Variant, ...] = ()
    needs: tuple[str, ...] = ()
    watch: Literal["idle", "grace"] | float = "idle"
    waits: bool = False
    path: Path | None = None
    bundled: bool = True
