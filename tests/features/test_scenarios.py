"""A user's own scenarios run beside the catalogue."""

from __future__ import annotations

from pathlib import Path

from machineid_conformance.trace.events import Operator
from tests.features.support import configure, judge

OWN = """
id: night-shift
title: The device is revoked before its second validate, and the plan freezes before the third
rules: [stop/next-boundary, stop/exits]
steps:
  - at: { before: validate, n: 2 }
    do: { revoke: $device }
"""


def test_own_scenarios_run_beside_the_catalogue(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", root='scenarios = ["conformance/*.yaml"]')
    (config.parent / "conformance").mkdir()
    (config.parent / "conformance" / "night-shift.yaml").write_text(OWN)
    judged = judge(config, scenarios=("night-*", "startup-revoked"))
    (run,) = judged.runs("night-shift")
    assert [operator.action for operator in run.of(Operator)] == ["revoke"]
    assert judged.rule("stop/next-boundary")["counted"] == [run.record["id"]]
    assert judged.having("fail", "warn") == set(), judged.explain()
    assert judged.status("startup/denied") == "pass"


def test_a_mistake_in_one_is_said_with_its_line(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", root='scenarios = ["conformance/*.yaml"]')
    (config.parent / "conformance").mkdir()
    (config.parent / "conformance" / "night-shift.yaml").write_text(OWN.replace("before: validate", "befor: validate"))
    judged = judge(config)
    assert judged.exit == 2
    assert "night-shift.yaml" in judged.text
    assert ":6" in judged.text
    assert "befor" in judged.text


def test_a_glob_that_matches_no_file_is_an_error(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", root='scenarios = ["conformence/*.yaml"]'))
    assert judged.exit == 2
    assert "conformence/*.yaml" in judged.text
