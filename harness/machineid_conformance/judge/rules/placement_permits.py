"""placement/side-effect, placement/tool-call, placement/llm-call: each spends a permit of its own."""

from __future__ import annotations

from dataclasses import dataclass

from machineid_conformance.config.model import Profile, Target
from machineid_conformance.judge.api import Baseline, Case, Level, Observation, Rule
from machineid_conformance.judge.rules.placement_evidence import not_at, permits_of
from machineid_conformance.trace.events import Role


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnPermit(Rule):
    """One role whose every effect spends its own permit, at some profiles."""

    id: str
    statement: str
    applies_when: str
    source: str
    remedy: str
    role: Role
    words: str
    profiles: tuple[Profile, ...]
    absent: str
    level: Level = "MUST"
    always: bool = True

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """Why it does not apply: the profile, or nothing of this role."""
        profile = not_at(target, *self.profiles)
        if profile is not None:
            return profile
        # A declared rule that matched nothing yet leaves the rule open: it applies, and starves.
        return None if self.role in baseline.roles or target.declares(self.role) else self.absent

    def check(self, case: Case) -> Observation:
        """Fails on each effect of the role that found no permit."""
        return permits_of(
            case,
            lambda item: item.effect.role == self.role,
            lambda item: item.violation == "no-permit",
            expected=f"an allow of its own for each {self.words}",
            nothing=f"no {self.words} was seen before the run was disturbed",
        )


RULES: tuple[Rule, ...] = (
    OwnPermit(
        id="placement/side-effect",
        statement="Each side effect spends its own permit.",
        applies_when="profile high, and it has side effects",
        source="GUIDE Pattern C",
        remedy="Validate immediately before each write, send or purchase; one allow covers one of them.",
        role="side-effect",
        words="side effect",
        profiles=("high",),
        absent="the fault-free runs had no side effect; it would apply to a target that writes or sends something",
    ),
    OwnPermit(
        id="placement/tool-call",
        statement="Each tool call spends its own permit.",
        applies_when="profile medium or high, and tool calls are declared",
        source='GUIDE "task, tool call"; SWARM; CREWAI',
        remedy="Validate before every tool call, in the one place through which all tools are called.",
        role="tool-call",
        words="tool call",
        profiles=("medium", "high"),
        absent='no tool call is declared; declare the tools\' requests with role = "tool-call"',
    ),
    OwnPermit(
        id="placement/llm-call",
        statement="Each LLM call spends its own permit.",
        applies_when="profile high, and LLM calls are seen",
        source="CREWAI LLM-call boundary",
        remedy="Validate before every LLM call, in a hook or in the client that all agents share.",
        role="llm-call",
        words="LLM call",
        profiles=("high",),
        absent='no LLM call was seen; declare the requests to your model with role = "llm-call" if its host is not a known one',
    ),
)
