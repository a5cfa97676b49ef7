"""Touches of a file: which are one effect, and which are work of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from machineid_conformance.engine.writes import Writes
from machineid_conformance.trace.events import ConnectionClosed, ConnectionOpened, EffectAnswered, FaultArmed
from tests.judge._traces import DEVICE, Trace

FILE = (1, "results.csv")
Meanwhile = Callable[[Trace], Trace]

NOTHING_NEW: dict[str, Meanwhile] = {
    "nothing": lambda trace: trace,
    "the end of the validate's connection": lambda trace: trace.add(
        ConnectionClosed(connection=1, by="target", how="fin")
    ),
    "a connection that is opened": lambda trace: trace.add(
        ConnectionOpened(connection=2, instance=1, host="api.example", port=443)
    ),
    "the answer to an effect that was begun before": lambda trace: trace.add(EffectAnswered(effect=1, status=200)),
    "the scenario's change": lambda trace: trace.operator("revoke", DEVICE),
    "the scenario's fault": lambda trace: trace.add(FaultArmed(fault="refuse", variant=None)),
}
NO_END_WHILE_OPEN: dict[str, Meanwhile] = {
    "output": lambda trace: trace.output("row 1"),
    "a declared line of output": lambda trace: trace.effect(transport="output"),
    "another file": lambda trace: trace.effect(transport="file", path="other.csv"),
}
WORK_OF_ITS_OWN: dict[str, Meanwhile] = {
    "a request": lambda trace: trace.effect(),
    "a dequeue": lambda trace: trace.dequeue(),
    "a validate under way": lambda trace: trace.ask(),
    "an allow": lambda trace: trace.allow(),
    "a deny": lambda trace: trace.deny(),
    "no answer": lambda trace: trace.fail("refuse"),
    "a stimulus": lambda trace: trace.stimulus(),
    "a stop": lambda trace: trace.signal("SIGSTOP"),
    "another start": lambda trace: trace.exit().spawn(),
}


def begun() -> Writes:
    """A file was created, which nothing before had to do with."""
    writes = Writes()
    assert writes.begins(FILE)
    for event in Trace().effect(transport="file", path=FILE[1]).events[1:]:
        writes.recorded(event)
    return writes


def meanwhile(writes: Writes, happens: Meanwhile) -> None:
    before = Trace().spawn().register()
    known = before.seq
    for event in happens(before).events[known:]:
        writes.recorded(event)


@pytest.mark.parametrize("shut", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("happens", NOTHING_NEW.values(), ids=NOTHING_NEW)
def test_what_the_target_did_not_set_about_ends_no_write(happens: Meanwhile, shut: bool) -> None:
    writes = begun()
    if shut:
        writes.close(FILE)
    meanwhile(writes, happens)
    assert not writes.begins(FILE)


@pytest.mark.parametrize("happens", NO_END_WHILE_OPEN.values(), ids=NO_END_WHILE_OPEN)
def test_a_file_may_be_written_in_parts_while_it_is_open(happens: Meanwhile) -> None:
    writes = begun()
    meanwhile(writes, happens)
    assert not writes.begins(FILE)
    writes.close(FILE)
    meanwhile(writes, happens)
    assert writes.begins(FILE)


@pytest.mark.parametrize("shut", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("happens", WORK_OF_ITS_OWN.values(), ids=WORK_OF_ITS_OWN)
def test_a_file_that_is_kept_open_hides_no_later_work(happens: Meanwhile, shut: bool) -> None:
    writes = begun()
    if shut:
        writes.close(FILE)
    meanwhile(writes, happens)
    assert writes.begins(FILE)


def test_a_file_that_is_made_and_then_filled_is_one_write() -> None:
    writes = begun()
    writes.close(FILE)
    assert not writes.begins(FILE)  # opened anew
    meanwhile(writes, NO_END_WHILE_OPEN["output"])
    assert not writes.begins(FILE)


def test_each_instance_has_its_own_files() -> None:
    writes = begun()
    writes.close((2, FILE[1]))  # which nobody began
    assert writes.begins((2, FILE[1]))
    assert not writes.begins(FILE)
