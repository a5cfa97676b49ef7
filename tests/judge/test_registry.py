"""How rules are found."""

from __future__ import annotations

from types import ModuleType

import pytest

from machineid_conformance.judge.api import Rule
from machineid_conformance.judge.registry import AREAS, RegistryError, collect, rules


class Row(Rule):
    level = "MUST"
    statement = "s"
    applies_when = "always"
    source = "here"
    remedy = "r"

    def __init__(self, name: str) -> None:
        self.id = name


def module(name: str, *found: object) -> ModuleType:
    made = ModuleType(name)
    made.RULES = found  # type: ignore[attr-defined]
    return made


def test_rules_come_in_the_order_of_the_areas() -> None:
    found = list(rules())
    assert len(found) == len(set(found))
    areas = [name.split("/")[0] for name in found]
    assert areas == sorted(areas, key=AREAS.index)
    assert [name for name in found if name.startswith("stop/")] == [
        "stop/next-boundary", "stop/exposure", "stop/latency", "stop/exits", "stop/exit-status", "stop/no-orphans",
        "stop/surgical",
    ]  # fmt: skip
    assert [name for name in found if name.startswith("placement/")] == [
        "placement/in-run", "placement/task", "placement/side-effect", "placement/tool-call", "placement/llm-call",
        "placement/handoff", "placement/awaited", "placement/resume", "placement/coverage",
    ]  # fmt: skip
    assert [name for name in found if name.startswith("startup/")] == [
        "startup/gate", "startup/denied", "startup/cap", "startup/unreachable",
    ]  # fmt: skip


def test_a_users_own_area_comes_last() -> None:
    found = collect([module("mine", Row("own/rule"), Row("stop/exits"))])
    assert list(found) == ["stop/exits", "own/rule"]


def test_an_id_that_is_taken_is_an_error() -> None:
    with pytest.raises(RegistryError, match="second: rule stop/exits stands in first already"):
        collect([module("first", Row("stop/exits")), module("second", Row("stop/exits"))])


@pytest.mark.parametrize("name", ["exits", "Stop/exits", "stop/", "stop/exits/now", ""])
def test_an_id_is_an_area_and_a_name(name: str) -> None:
    with pytest.raises(RegistryError, match="expected an id like area/name"):
        collect([module("odd", Row(name))])


def test_a_module_without_rules_is_an_error() -> None:
    with pytest.raises(RegistryError, match="empty: expected RULES"):
        collect([ModuleType("empty")])
    with pytest.raises(RegistryError, match="expected RULES"):
        collect([module("odd", "no rule")])


def test_an_incomplete_row_is_an_error() -> None:
    row = Row("stop/exits")
    row.remedy = ""
    with pytest.raises(RegistryError, match="rule stop/exits lacks remedy"):
        collect([module("odd", row)])
