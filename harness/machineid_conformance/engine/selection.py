"""What of all that could be run was asked for."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from machineid_conformance.config.model import Target
from machineid_conformance.engine.plan import PlannedRun
from machineid_conformance.engine.stream import Request
from machineid_conformance.scenario.model import Scenario


class SelectionError(ValueError):
    """A name or glob that matches nothing. Exit code 2."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """``everything``: nothing was narrowed, so the results can be complete."""

    request: Request

    @property
    def everything(self) -> bool:
        request = self.request
        return not (
            request.rules
            or request.scenario_globs
            or request.scenarios is not None
            or request.boundary is not None
            or request.variant is not None
            or request.environment is not None
        )

    def targets(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """The targets that were asked for, in the configuration's order.

        Raises:
            SelectionError: a name is no target's, or no chosen target declares the environment that was asked for.
        """
        request, names = self.request, [target.name for target in targets]
        for name in request.targets:
            if name not in names:
                raise SelectionError(f"--target {name}: no such target; {_nearest(name, names)}")
        if request.scenarios is not None:
            chosen = tuple(target for target in targets if target.name in request.scenarios)
        else:
            chosen = tuple(target for target in targets if not request.targets or target.name in request.targets)
        declared = max((max(len(target.bypass_env), len(target.variants)) for target in chosen), default=0)
        if request.environment is not None and request.environment > declared:
            raise SelectionError(
                f"--environment {request.environment}: the longest list of bypass_env or variants has {declared} "
                f"environments; {f'give a number from 1 to {declared}' if declared else 'declare some, or leave it out'}"
            )
        return chosen

    def check(self, scenarios: Sequence[Scenario], rules: Collection[str]) -> None:
        """Raise SelectionError for a glob or a variant that matches nothing."""
        for glob in self.request.scenario_globs:
            ids = [scenario.id for scenario in scenarios]
            if not fnmatch.filter(ids, glob):
                raise SelectionError(f"--scenario {glob}: matches no scenario; {_nearest(glob, ids)}")
        for glob in self.request.rules:
            if not fnmatch.filter(list(rules), glob):
                raise SelectionError(f"--rule {glob}: matches no rule; {_nearest(glob, list(rules))}")
        variants = sorted({variant.id for scenario in scenarios for variant in scenario.variants})
        if self.request.variant is not None and self.request.variant not in variants:
            raise SelectionError(
                f"--variant {self.request.variant}: no scenario has such a variant; {_nearest(self.request.variant, variants)}"
            )

    def scenario(self, target: str, scenario: Scenario) -> bool:
        """Whether this scenario is to run; the baseline always is."""
        request = self.request
        if request.scenarios is not None and scenario.id not in request.scenarios.get(target, ()):
            return False
        if request.scenario_globs and not _any(request.scenario_globs, [scenario.id]):
            return False
        return not request.rules or _any(request.rules, scenario.rules)

    def run(self, run: PlannedRun) -> bool:
        """Whether this run of a chosen scenario is to run."""
        request = self.request
        if request.boundary is not None and run.n is not None and run.n != request.boundary:
            return False
        if request.variant is not None and run.variant is not None and run.variant.id != request.variant:
            return False
        return request.environment is None or run.environment_number in (None, request.environment)


def _any(globs: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatch.filter(list(names), glob) for glob in globs)


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names) or 'none'}"
