"""What a scenario may need of a target, and why it is left out where that is missing.

Each need is a word. Two of them also say over what a scenario is repeated: with ``bypass-env`` there is one run for
each table of the target's ``bypass_env``, with ``variants`` one for each table of its ``variants``, set in its
environment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from machineid_conformance.config.model import Target
from machineid_conformance.scenario.model import Scenario

if TYPE_CHECKING:  # scenarios are plain data to everything else; only this signature names a value of the judge
    from machineid_conformance.judge.api import Baseline

FAST_ENOUGH = 20.0
"""The slowest ``speed`` at which ten minutes are worth waiting for."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What is known of a target when its runs are planned. ``baseline`` is None before its baselines are done."""

    target: Target
    baseline: Baseline | None
    group_size: int  # targets that share its org; 1 without a group
    isolation: str  # what is in force: namespace or proxy
    real_time: str | None = None  # why the target's time is real time; None: it is faster while it waits


@dataclass(frozen=True, kw_only=True)
class Need:
    """``meaning`` is for the manual; ``missing`` gives the reason and what would change it, None if the need holds."""

    meaning: str
    missing: Callable[[Situation], str | None]


def missing(
    scenario: Scenario,
    target: Target,
    baseline: Baseline | None,
    *,
    group_size: int = 1,
    isolation: str = "namespace",
    real_time: str | None = None,
) -> str | None:
    """Why ``scenario`` cannot run on ``target``, with what would make it run, or None.

    Before there is a baseline, what only a baseline can tell counts as given.
    """
    situation = Situation(
        target=target, baseline=baseline, group_size=group_size, isolation=isolation, real_time=real_time
    )
    for word in scenario.needs:
        if (reason := WORDS[word].missing(situation)) is not None:
            return reason
    return None


def _registers(situation: Situation) -> str | None:
    if situation.target.preregistered:
        return "the target does not register (preregistered = true); it would run without that"
    if situation.baseline is not None and not situation.baseline.registers:
        return "the target made no register call in its fault-free runs; it would run if the target registered"
    return None


def _https(situation: Situation) -> str | None:
    if situation.baseline is not None and not situation.baseline.uses_https:
        return "the target speaks plain HTTP to the control plane; it would run over https"
    return None


def _namespace(situation: Situation) -> str | None:
    if situation.isolation != "namespace":
        return f'needs isolation = "namespace", found {situation.isolation!r}'
    return None


def _many_devices(situation: Situation) -> str | None:
    if len(situation.target.devices) < 2 and situation.group_size < 2:
        return (
            "there is one device; it would run with devices = [two or more], instances with {n} in device, or a group"
        )
    return None


def _many_processes(situation: Situation) -> str | None:
    if situation.target.instances < 2 and situation.group_size < 2:
        return "there is one process; it would run with instances = 2 or more, or with a group"
    return None


def _stimulus(situation: Situation) -> str | None:
    return (
        "nothing is pushed to the target; it would run with a stimulus" if situation.target.stimulus is None else None
    )


def _no_stimulus(situation: Situation) -> str | None:
    return "the target is driven by a stimulus; it would run without one" if situation.target.stimulus else None


def _bypass_env(situation: Situation) -> str | None:
    if not situation.target.bypass_env:
        return 'no bypass environment is declared; it would run with bypass_env = [ { NAME = "value" } ]'
    return None


def _variants(situation: Situation) -> str | None:
    if not situation.target.variants:
        return 'no variants are declared; it would run with variants = [ { APP_ENV = "prod" } ]'
    return None


def _loops(situation: Situation) -> str | None:
    baseline = situation.baseline
    if baseline is not None and not baseline.reaches_horizon and len(baseline.boundaries) < 2:
        return (
            "the target does not loop: it has one boundary and then ends; it would run with a boundary during the work"
        )
    return None


def _later_boundary(situation: Situation) -> str | None:
    if situation.baseline is not None and len(situation.baseline.boundaries) < 2:
        return "the target has no boundary after startup; it would run with a validate during the work"
    return None


def _effects(situation: Situation) -> str | None:
    if situation.baseline is not None and situation.baseline.effects < 1:
        return "the target did no work in its fault-free runs; it would run if an effect were seen"
    return None


def _target_time(situation: Situation) -> str | None:
    if situation.real_time is not None:
        return f"its minutes of waiting would be real ones: {situation.real_time}; it would run where target time can be fast"
    speed = situation.target.speed
    if speed != "auto" and speed < FAST_ENOUGH:
        return f'its minutes of waiting would take too long at speed = {speed:g}; it would run with speed = "auto"'
    return None


WORDS: dict[str, Need] = {
    "registers": Need(meaning="the target registers its device", missing=_registers),
    "https": Need(meaning="it speaks https to the control plane", missing=_https),
    "namespace": Need(meaning="it runs in namespace isolation", missing=_namespace),
    "many-devices": Need(meaning="more than one device takes part", missing=_many_devices),
    "many-processes": Need(meaning="more than one instance, or a group of targets", missing=_many_processes),
    "stimulus": Need(meaning="requests are pushed to it", missing=_stimulus),
    "no-stimulus": Need(meaning="nothing is pushed to it", missing=_no_stimulus),
    "bypass-env": Need(meaning="`bypass_env` is declared; one run for each of its tables", missing=_bypass_env),
    "variants": Need(meaning="`variants` is declared; one run for each of its tables", missing=_variants),
    "loops": Need(meaning="it goes on: it reaches the horizon, or has a second boundary", missing=_loops),
    "later-boundary": Need(meaning="it has a boundary after startup", missing=_later_boundary),
    "effects": Need(meaning="it does work", missing=_effects),
    "target-time": Need(meaning="its time can be fast while it waits", missing=_target_time),
}
