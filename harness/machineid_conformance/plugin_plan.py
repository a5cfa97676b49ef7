"""What a pytest session is to judge: the configuration, the scenarios of each target, and the request to the engine."""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from machineid_conformance.config.find import discover
from machineid_conformance.config.load import from_command, load
from machineid_conformance.config.model import Configuration, Target
from machineid_conformance.config.overrides import Overrides
from machineid_conformance.engine.selection import Selection
from machineid_conformance.engine.stream import Request
from machineid_conformance.judge.api import Rule
from machineid_conformance.judge.registry import rules as known_rules
from machineid_conformance.report.failure import Reproduction
from machineid_conformance.scenario.load import load_catalogue, load_globs
from machineid_conformance.scenario.model import Scenario
from machineid_conformance.start import DEFAULT_REPORT, HOW_TO_START

VERDICT = "verdict"
"""The name of a target's last item."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``configuration`` has the selected targets only, and ``scenarios`` are those that the globs leave.

    ``request`` asks for all of it; ``again`` makes the command that runs one case again.
    """

    configuration: Configuration
    scenarios: tuple[Scenario, ...]
    rules: Mapping[str, Rule]
    request: Request
    again: Reproduction
    today: date

    @property
    def report(self) -> Path:
        """The report folder."""
        assert self.request.report is not None
        return Path(self.request.report)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The selected targets."""
        return self.configuration.targets

    def expected_failure(self, target: Target, rule: str) -> str | None:
        """The reason of an ``xfail`` entry that is still in force for this rule, or None."""
        entry = target.xfail.get(rule)
        if entry is None or (entry.until is not None and entry.until < self.today):
            return None
        return entry.reason

    def names(self) -> list[tuple[str, str]]:
        """Target and scenario (or ``verdict``) of every item, in order."""
        return [
            (target.name, name)
            for target in self.targets
            for name in [*(scenario.id for scenario in self.scenarios), VERDICT]
        ]

    def request_for(self, chosen: Iterable[tuple[str, str]]) -> Request:
        """The request for these items. All of them: nothing was narrowed, and the results may be complete."""
        items = set(chosen)
        if items >= set(self.names()):
            return self.request
        wanted: dict[str, tuple[str, ...]] = {}
        for target, name in self.names():
            if (target, name) in items:
                wanted[target] = wanted.get(target, ()) + ((name,) if name != VERDICT else ())
        return replace(self.request, scenarios=wanted)


def make_plan(config: pytest.Config) -> Plan:
    """The plan of this session's options.

    Raises:
        pytest.UsageError: an option, a name or the configuration cannot be used; the message carries the remedy.
    """
    option = config.option
    command = _command(option.machineid_command)
    path = _path(config) if command is None else None
    if command is None and path is None:
        raise pytest.UsageError(HOW_TO_START)
    for name in ("boundary", "environment", "jobs"):
        value = getattr(option, f"machineid_{name}")
        if value is not None and value < 1:
            raise pytest.UsageError(f"--machineid-{name}: expected a whole number from 1, got {value}")
    overrides = Overrides(
        profile=option.machineid_profile,
        isolation=option.machineid_isolation,
        speed=option.machineid_speed,
        strict=option.machineid_strict,
    )
    rules = known_rules()
    try:
        if path is not None:
            configuration = load(path, known_rules=frozenset(rules), overrides=overrides)
        else:
            assert command is not None
            configuration = from_command(
                command, device=option.machineid_device, cwd=config.invocation_params.dir, overrides=overrides
            )
        scenarios = load_catalogue()
        if configuration.scenarios and configuration.path is not None:
            scenarios += load_globs(configuration.scenarios, configuration.path.parent)
        request = _request(config, path, command)
        selection = Selection(request=request)
        selection.check(scenarios, rules)
        configuration = replace(configuration, targets=selection.targets(configuration.targets))
    except ValueError as error:
        # ConfigurationError, ScenarioError and SelectionError: each names what was found, what was expected, and the
        # remedy.
        raise pytest.UsageError(str(error)) from error
    return Plan(
        configuration=configuration,
        scenarios=_chosen(scenarios, rules, request),
        rules=rules,
        request=request,
        again=_again(config, command),
        today=datetime.now(tz=UTC).date(),  # as the engine reads it
    )


def _request(config: pytest.Config, path: Path | None, command: tuple[str, ...] | None) -> Request:
    option = config.option
    report = config.rootpath / (option.machineid_report or DEFAULT_REPORT)
    return Request(
        root=str(config.invocation_params.dir),
        config=str(path) if path is not None else None,
        command=command,
        device=option.machineid_device,
        targets=tuple(option.machineid_target),
        rules=tuple(option.machineid_rule),
        scenario_globs=tuple(option.machineid_scenario),
        boundary=option.machineid_boundary,
        variant=option.machineid_variant,
        environment=option.machineid_environment,
        profile=option.machineid_profile,
        jobs=option.machineid_jobs,
        speed=option.machineid_speed,
        isolation=option.machineid_isolation,
        faults=option.machineid_faults or "built-in",
        strict=option.machineid_strict,
        report=str(report),
    )


def _command(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise pytest.UsageError(f"--machineid-command {text!r}: {error}") from error
    if not words:
        raise pytest.UsageError("--machineid-command is empty; expected the command that starts the runtime")
    return words


def _path(config: pytest.Config) -> Path | None:
    """The file that is named, else that of the folder where pytest was started, else of its root folder: in a repository of several
    runtimes the two differ.
    """
    here, given = config.invocation_params.dir, config.option.machineid_config
    if given is not None:
        return Path(here / given).resolve()
    return discover(here) or discover(config.rootpath)


def _chosen(scenarios: tuple[Scenario, ...], rules: Mapping[str, Rule], request: Request) -> tuple[Scenario, ...]:
    """The scenarios that the globs leave.

    A rule that every run is judged by is exercised by the fault-free runs, and by the scenarios that name it.
    """
    chosen = tuple(
        scenario
        for scenario in scenarios
        if not request.scenario_globs or any(fnmatch.fnmatchcase(scenario.id, glob) for glob in request.scenario_globs)
    )
    if not request.rules:
        return chosen
    wanted = {name for name in rules if any(fnmatch.fnmatchcase(name, glob) for glob in request.rules)}
    always = any(rules[rule].always for rule in wanted)
    return tuple(
        scenario for scenario in chosen if not wanted.isdisjoint(scenario.rules) or (always and not scenario.steps)
    )


def _again(config: pytest.Config, command: tuple[str, ...] | None) -> Reproduction:
    """The command line, as far as running one case again needs it."""
    repeated = ("config", "device", "profile", "speed", "isolation", "faults", "report")
    option = config.option
    return Reproduction(
        program=("pytest", "--machineid-conformance"),
        prefix="machineid-",
        options=tuple(
            (name, str(value)) for name in repeated if (value := getattr(option, f"machineid_{name}")) is not None
        ),
        command=command or (),
    )
