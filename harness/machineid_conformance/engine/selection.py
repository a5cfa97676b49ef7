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
        )

    def targets(self, targets: Sequence[Target]) -> tuple[Target, ...]:
        """The targets that were asked for, in the configuration's order."""
        names = [target.name for target in targets]
        for name in self.request.targets:
            if name not in names:
                raise SelectionError(f"--target {name}: no such target; {_nearest(name, names)}")
        if self.request.scenarios is not None:
            return tuple(target for target in targets if target.name in self.request.scenarios)
        return tuple(target for target in targets if not self.request.targets or target.name in self.request.targets)

    def check(self, scenarios: Sequence[Scenario], rules: Collection[str]) -> None:
        """Raise SelectionError for a glob that matches nothing."""
        for glob in self.request.scenario_globs:
            ids = [scenario.id for scenario in scenarios]
            if not fnmatch.filter(ids, glob):
                raise SelectionError(f"--scenario {glob}: matches no scenario; {_nearest(glob, ids)}")
        for glob in self.request.rules:
            if not fnmatch.filter(list(rules), glob):
                raise SelectionError(f"--rule {glob}: matches no rule; {_nearest(glob, list(rules))}")

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
        return request.variant is None or run.variant is None or run.variant.id == request.variant


def _any(globs: Sequence[str], names: Sequence[str]) -> bool:
    return any(fnmatch.filter(list(names), glob) for glob in globs)


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.3)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names) or 'none'}"
