"""What the parts of the engine share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_control_plane.certificates import Authority
from machineid_conformance.dilation.build import Library, Unavailable
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.isolation.api import World, WorldSpec
from machineid_conformance.judge.api import Case, Observation
from machineid_conformance.toxics.find import Toxiproxy

OpenWorld = Callable[[WorldSpec], Awaitable[World]]


class SetupError(Exception):
    """``setup`` or ``teardown`` failed, or the target's command cannot be executed: nothing can be judged."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """What all runs of an engine share."""

    report: Path
    authority: Authority
    authority_pem: Path
    open_world: OpenWorld
    mode: str
    scratch: Path
    library: Library | Unavailable
    """Of target time."""
    toxiproxy: Toxiproxy | None = None
    """Delivers the network faults, if it was asked for."""
    tell: Callable[[str, Mapping[str, Any]], None] | None = None
    """Is told each event of every run, with the run's id, as it stands in its trace."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that is over. ``seconds`` are target seconds; ``speed`` is the highest rate at which they passed. ``outside``: the command line
    of a process of the target in real time, because of which all of it was.
    """

    run: PlannedRun
    trace: Path
    seconds: float
    wall_seconds: float
    speed: float = 1.0
    outside: str | None = None


@dataclass(kw_only=True)
class Judged:
    """A run that was judged: its record for results.json, its case and what each rule says."""

    ran: Ran
    case: Case
    observations: Mapping[str, Observation]
