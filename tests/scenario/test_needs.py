"""A scenario is left out with a reason that says what would make it run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance.config.model import Stimulus, StimulusRequest, Target
from machineid_conformance.judge.api import Baseline, Boundary
from machineid_conformance.scenario.model import Scenario
from machineid_conformance.scenario.needs import WORDS, missing

TARGET = Target(name="w", command=("w",), cwd=Path())
STIMULUS = Stimulus(listen="http://127.0.0.1:{port}", requests=(StimulusRequest(),))


def boundaries(count: int) -> tuple[Boundary, ...]:
    return tuple(Boundary(n=n, kind="loop", device=None, covers=(), work_after=True) for n in range(1, count + 1))


FULL = Baseline(
    boundaries=boundaries(2),
    effect_labels=("dequeue", "charge", "dequeue"),
    effects_after=(True, True, False),
    deterministic=True,
    registers=True,
    reaches_horizon=False,
)


def needing(*words: str) -> Scenario:
    return Scenario(id="own", title="Own", rules=("stop/exits",), sweep="once", steps=(), needs=words)


MISSING: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("registers", {"preregistered": True}, {}, {}, "preregistered = true"),
    ("registers", {}, {"registers": False}, {}, "it would run if the target registered"),
    ("https", {}, {"uses_https": False}, {}, "it would run over https"),
    ("namespace", {}, {}, {"isolation": "proxy"}, "needs isolation = \"namespace\", found 'proxy'"),
    ("many-devices", {"devices": ("a",)}, {}, {}, "it would run with devices = [two or more]"),
    ("many-processes", {}, {}, {}, "it would run with instances = 2 or more, or with a group"),
    ("stimulus", {}, {}, {}, "it would run with a stimulus"),
    ("no-stimulus", {"stimulus": STIMULUS}, {}, {}, "it would run without one"),
    ("bypass-env", {}, {}, {}, 'it would run with bypass_env = [ { NAME = "value" } ]'),
    ("variants", {}, {}, {}, 'it would run with variants = [ { APP_ENV = "prod" } ]'),
    ("loops", {}, {"boundaries": boundaries(1)}, {}, "it would run with a boundary during the work"),
    ("later-boundary", {}, {"boundaries": boundaries(1)}, {}, "it would run with a validate during the work"),
    ("effects", {}, {"effect_labels": ()}, {}, "it would run if an effect were seen"),
    ("target-time", {}, {}, {"real_time": "no compiler"}, "would be real ones: no compiler; it would run where"),
    ("target-time", {"speed": 5.0}, {}, {}, 'at speed = 5; it would run with speed = "auto"'),
]


@pytest.mark.parametrize(("word", "target", "baseline", "situation", "remedy"), MISSING)
def test_what_is_missing(
    word: str, target: dict[str, Any], baseline: dict[str, Any], situation: dict[str, Any], remedy: str
) -> None:
    reason = missing(
        needing(word), dataclasses.replace(TARGET, **target), dataclasses.replace(FULL, **baseline), **situation
    )

    assert reason is not None
    assert remedy in reason


GIVEN: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ("registers", {}, {}, {}),
    ("https", {}, {}, {}),
    ("namespace", {}, {}, {"isolation": "namespace"}),
    ("many-devices", {"devices": ("a", "b")}, {}, {}),
    ("many-devices", {"devices": ("a",)}, {}, {"group_size": 2}),
    ("many-processes", {"instances": 2}, {}, {}),
    ("many-processes", {}, {}, {"group_size": 2}),
    ("stimulus", {"stimulus": STIMULUS}, {}, {}),
    ("no-stimulus", {}, {}, {}),
    ("bypass-env", {"bypass_env": ({"A": "1"},)}, {}, {}),
    ("variants", {"variants": ({"A": "1"},)}, {}, {}),
    ("loops", {}, {}, {}),
    ("loops", {}, {"boundaries": boundaries(1), "reaches_horizon": True}, {}),
    ("later-boundary", {}, {}, {}),
    ("effects", {}, {}, {}),
    ("target-time", {}, {}, {}),
    ("target-time", {"speed": 50.0}, {}, {}),
]


@pytest.mark.parametrize(("word", "target", "baseline", "situation"), GIVEN)
def test_what_is_given(word: str, target: dict[str, Any], baseline: dict[str, Any], situation: dict[str, Any]) -> None:
    found = missing(
        needing(word), dataclasses.replace(TARGET, **target), dataclasses.replace(FULL, **baseline), **situation
    )

    assert found is None


def test_before_the_baseline_what_only_it_can_tell_counts_as_given() -> None:
    assert missing(needing("registers", "https", "loops", "later-boundary", "effects"), TARGET, None) is None
    assert missing(needing("registers"), dataclasses.replace(TARGET, preregistered=True), None) is not None


def test_every_word_is_tried_here() -> None:
    assert {case[0] for case in MISSING} == {case[0] for case in GIVEN} == set(WORDS)
