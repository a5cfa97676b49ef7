"""What a checker is given, and what it says.

A checker is a pure function of the trace and the target. It knows neither scenario nor runtime names: it reads events,
and the target's configuration. One rule is one file in ``judge/rules``, found by ``judge.registry``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from machineid_conformance.config.model import Profile, Target
from machineid_conformance.judge.view import RunView
from machineid_conformance.trace.events import Role

Level = Literal["MUST", "SHOULD", "report"]
Outcome = Literal["pass", "fail", "uncounted"]
"""``uncounted``: the run says nothing of this rule (the fault was not delivered, there was no work to stop, …)."""

Status = Literal["pass", "fail", "warn", "xfail", "inconclusive", "not-applicable", "info"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One violation. ``events`` are sequence numbers of ``run``'s trace: the last is the violating line."""

    run: str
    message: str
    events: tuple[int, ...]
    expected: str = ""
    got: str = ""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one run says of one rule."""

    outcome: Outcome
    reason: str | None = None  # why it did not count
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()  # figures and remarks for the report


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """One validate of the baseline.

    ``n`` counts from 1; ``kind``: startup task side-effect tool-call llm-call handoff loop.
    """

    n: int
    kind: str
    device: str | None
    covers: tuple[str, ...]  # labels of the effects that this allow covered
    work_after: bool  # the baseline did work after this validate was answered


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What the fault-free runs of the same target did: the positive control of every other run."""

    boundaries: tuple[Boundary, ...]
    effect_labels: tuple[str, ...]  # [n-1]: what work effect n is: the label declared for it, or its method and address
    effects_after: tuple[bool, ...]  # [n-1]: work started after effect n did
    deterministic: bool
    registers: bool
    reaches_horizon: bool
    roles: frozenset[Role] = frozenset()  # of the effects that the fault-free runs saw, work or not
    outputs: frozenset[str] = frozenset()  # log lines of fault-free runs, normalised (judge.logs)
    uses_https: bool = True
    diagnosis: str | None = None  # why nothing can be judged: the CA was rejected, no control-plane call was made, …

    @property
    def effects(self) -> int:
        """Work effects seen."""
        return len(self.effect_labels)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One run as a checker sees it."""

    view: RunView
    target: Target
    baseline: Baseline
    profile: Profile  # the profile to judge at: the target's, or ``high`` for what a lower one would find


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """One row of results.json, before ``xfail`` and ``strict`` are applied."""

    rule: str
    level: Level
    status: Status
    runs: int
    reason: str | None
    findings: tuple[Finding, ...] = ()
    counted: tuple[str, ...] = ()
    uncounted: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


class Rule:
    """One row of requirements.md. Subclass it in a file of ``judge/rules``; the class attributes are the row."""

    id: str
    level: Level
    statement: str
    applies_when: str
    source: str
    remedy: str
    """What to change in a runtime that violates it: one or two sentences, with a line of code where that helps."""
    always: bool = False
    """True: judged on every run (identity, secrets, placement); else on the runs whose scenario names the rule."""

    by_time: bool = False
    """True: a violation is something that was missing or late, so a machine too busy for the target can look like one. What a target did
    do it did, busy machine or not.
    """

    shown_by_runs: bool = False
    """True: a run that exercised the rule shows that it applies, whatever ``not_applicable`` says (a group's surgical revoke)."""

    def level_for(self, target: Target) -> Level:
        """The level, where the configuration raises it (``stop/latency`` with ``stop_within``)."""
        del target
        return self.level

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """Why the rule does not apply to this target and what would make it apply, or None when it does."""
        del target, baseline
        return None

    def not_shown(self, cases: Sequence[Case]) -> str | None:
        """Why the runs that were to judge this rule show that it does not apply, and what would make it apply, or None.

        Asked only when none of them counted: a target that never ends by itself has no exit status to judge.
        """
        del cases
        return None

    def check(self, case: Case) -> Observation:
        """What one run says. A rule that only spans runs leaves this alone."""
        del case
        raise LookupError(f"{self.id} is judged over all runs, not over one")

    def conclude(self, cases: Sequence[Case], observed: Sequence[tuple[Case, Observation]]) -> tuple[Observation, ...]:
        """What all runs together say, beyond ``observed``: what ``check`` said of the runs that named the rule."""
        del cases, observed
        return ()

    def starved(self, counted: Sequence[Case]) -> str | None:
        """Why runs that counted are not yet enough for a pass (a class needs startup and a later boundary), or None."""
        del counted
        return None
