"""What the engine process says while it works: JSON Lines, one message a line, for the CLI and the plugin to show.

The request goes to the engine's standard input as one JSON object (``Request``); the engine answers on its standard output.
Order: ``planned`` once a target, any number of ``run-started`` / ``event`` / ``run-judged`` / ``scenario-done``, ``target-judged`` once
a target, ``finished`` or ``failed`` once, last. An engine that is asked to end (SIGTERM, SIGINT, the end of its standard input) ends its
targets, says ``target-judged`` of each with what is known, and ``finished`` with ``interrupted``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to do. ``config`` is a path, or None with ``command``. Globs as on the command line; None selects all.

    ``scenarios`` maps a target to the scenario ids to run (the plugin's selection); None: all. ``environment`` counts from 1 the
    environments that a scenario runs under (``bypass_env``, ``variants``). ``follow`` is the id of a run whose events are wanted as they
    are recorded.
    """

    root: str  # folder that relative paths are relative to
    config: str | None = None
    command: tuple[str, ...] | None = None
    device: str | None = None
    targets: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    scenario_globs: tuple[str, ...] = ()
    scenarios: dict[str, tuple[str, ...]] | None = None
    boundary: int | None = None
    variant: str | None = None
    environment: int | None = None
    follow: str | None = None
    profile: str | None = None
    jobs: int | None = None
    speed: str | None = None
    isolation: str | None = None
    faults: Literal["built-in", "toxiproxy"] = "built-in"  # who delivers the network faults
    strict: bool = False
    report: str | None = None  # folder; default .machineid-conformance below root


MessageKind = Literal[
    "planned",
    "run-started",
    "event",
    "run-judged",
    "scenario-done",
    "target-judged",
    "finished",
    "failed",
    "notice",
]


@dataclass(frozen=True, kw_only=True)
class Message:
    """``kind`` and its payload.

    planned        {target, runs, scenarios: {id: runs}, left_out: {id: reason}, isolation, seconds?}: again when baselines are known
    run-started    {target, run, scenario, boundary, variant, environment}
    event          {run, event: one line of the run's trace}: only of the run that ``Request.follow`` names
    run-judged     {target, run, scenario, subject, boundary, variant, environment, seconds, wall_seconds, trace,
                    rules: {rule id: {outcome, reason, level, findings: [{run, message, events, expected, got}]}}}
    scenario-done  {target, scenario, runs: [run ids]}: every run of this scenario is judged
    target-judged  {target: one object of results.json "targets"}
    notice         {text}: something that a person should read now (a diagnosis, a repeated run, isolation)
    finished       {results: path of results.json, verdict, complete, interrupted, exit}
    failed         {error: usage | configuration | isolation | harness | interrupted, message, exit}: nothing more follows
    """

    kind: MessageKind
    payload: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """One line of the stream."""
        return {"kind": self.kind, **self.payload}
