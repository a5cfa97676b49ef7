"""The configuration as frozen values. ``config.load`` makes them; nothing else reads a TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

from machineid_conformance.config import templates
from machineid_conformance.trace.events import Role

Profile = Literal["low", "medium", "high"]
Sweep = Literal["kinds", "classes", "all"]
Isolation = Literal["auto", "namespace", "proxy"]
Workdir = Literal["overlay", "copy", "shared"]


@dataclass(frozen=True, kw_only=True)
class Match:
    """What an effect rule looks for. Every field that is set must match; ``method``, ``host`` and ``path`` are globs."""

    method: str | None = None
    host: str | None = None
    path: str | None = None
    body: str | None = None  # a substring
    stdout: str | None = None  # a regular expression
    file: str | None = None  # a glob, relative to the working folder
    tcp: str | None = None  # "host:port"; globs in both parts
    smtp: bool = False


@dataclass(frozen=True, kw_only=True)
class ScriptedAnswer:
    """One scripted answer of an effect rule: ``json`` or ``text``, a status and headers."""

    status: int = 200
    json: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class EffectRule:
    match: Match
    role: Role | None = None  # None: inferred from the method and the host
    label: str | None = None
    device: str | None = None
    answers: tuple[ScriptedAnswer, ...] = ()  # in order, the last repeats
    group: str | None = None
    persona: str | None = None


@dataclass(frozen=True, kw_only=True)
class StimulusRequest:
    method: str = "POST"
    path: str = "/"
    json: Any = None
    text: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Stimulus:
    """What is sent to a target that is pushed to: ``requests`` in turn, ``count`` in all."""

    listen: str
    requests: tuple[StimulusRequest, ...]
    count: int = 4
    denied_status: int = 403


@dataclass(frozen=True, kw_only=True)
class ExpectedFailure:
    reason: str
    until: date | None = None


@dataclass(frozen=True, kw_only=True)
class Target:
    """One runtime under test. Durations are in target seconds; see design.md, Configuration, for every key."""

    name: str
    command: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()  # every id, {n} filled in; empty: the first registered one counts as declared
    device_templates: tuple[str, ...] = ()  # the same as they stand in the file; differs where {n:02} does
    instances: int = 1
    preregistered: bool = False
    profile: Profile = "medium"
    concurrency: int = 1
    sweep: Sweep = "kinds"
    horizon: int = 8
    max_gap: int = 10
    stop_within: float | None = None
    grace_window: float = 900.0
    grace_window_real: float = 60.0  # real seconds: how much of it is watched at most, where time cannot be made fast
    start_within: float = 30.0
    run_within: float = 120.0
    idle_after: float = 2.0
    speed: float | Literal["auto"] = "auto"
    isolation: Isolation = "auto"
    passthrough: tuple[str, ...] = ()
    allow_remote: bool = False
    expose: tuple[str, ...] = ()
    workdir: Workdir = "overlay"
    setup: str | None = None
    teardown: str | None = None
    serial: bool = False
    control_plane: tuple[str, ...] = ("machineid.io",)
    base_url: bool = False
    strict: bool = False
    logs: tuple[str, ...] = ()
    bypass_env: tuple[Mapping[str, str], ...] = ()
    variants: tuple[Mapping[str, str], ...] = ()
    xfail: Mapping[str, ExpectedFailure] = field(default_factory=dict)
    effects: tuple[EffectRule, ...] = ()
    stimulus: Stimulus | None = None

    @property
    def device(self) -> str | None:
        """The declared device whose permit covers what names no other, if one is declared."""
        return self.devices[0] if self.devices else None

    def devices_of(self, instance: int) -> tuple[str, ...]:
        """The declared devices of one instance, counted from 1; the first goes into its MACHINEID_DEVICE_ID."""
        return tuple(templates.fill(device, n=instance) for device in self.device_templates or self.devices)

    def declares(self, role: Role) -> bool:
        """Whether an effect rule gives something this role."""
        return any(rule.role == role for rule in self.effects)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Targets that share one org."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    path: Path | None  # None: made from the command line
    edition: int
    targets: tuple[Target, ...]
    groups: tuple[Group, ...] = ()
    scenarios: tuple[str, ...] = ()  # globs of the user's own, relative to ``path``
    sha256: str = ""
