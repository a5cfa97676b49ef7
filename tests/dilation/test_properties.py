"""Programs of random waits on threads and processes, in a world whose rate changes at random moments.

Alarms and other timers of the kernel's are not among them: what they may do when the rate falls is in ``test_direct.py``.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from machineid_conformance.dilation.build import Library
from tests.dilation.worlds import ATTEMPTS, World, slack

PROGRAM = Path(__file__).with_name("programs") / "random_waits.py"
KINDS = ("sleep", "event", "queue", "select", "poll", "epoll", "receive")
RATES = (1.0, 1.5, 7.0, 20.0, 100.0)
LONGEST = 20.0  # real seconds for one program

Plan = list[list[list[tuple[str, float]]]]
Changes = list[tuple[int, float]]

WAITS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(min_value=1, max_value=400).map(lambda number: number / 100)),
    min_size=1,
    max_size=4,
)
PLANS = st.lists(st.lists(WAITS, min_size=1, max_size=3), min_size=1, max_size=3)
CHANGES = st.lists(st.tuples(st.integers(min_value=1, max_value=60), st.sampled_from(RATES)), min_size=1, max_size=8)
"""Real milliseconds to a change, and the rate from then on; over again as long as the program runs, each turn ending at the highest."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("properties")


def run(library: Library, folder: Path, plan: Plan, changes: Changes) -> list[tuple[str, float, float]]:
    """What was waited for, asked and taken, in target seconds."""
    with (
        World(library, folder / f"world-{len(list(folder.iterdir()))}") as world,
        subprocess.Popen(
            [sys.executable, "-S", PROGRAM, json.dumps(plan)], env=world.environment, stdout=subprocess.PIPE
        ) as process,
    ):
        assert process.stdout is not None
        said = b""
        until = time.monotonic() + LONGEST
        turns = [*((pause / 1000, rate) for pause, rate in changes), (0.06, RATES[-1])]
        turn = 0
        ended = False
        try:
            while not ended:
                pause, rate = turns[turn % len(turns)]
                turn += 1
                moment = time.monotonic() + pause
                while not ended and (left := moment - time.monotonic()) > 0:
                    if select.select([process.stdout], [], [], left)[0]:
                        got = os.read(process.stdout.fileno(), 65536)
                        said += got
                        ended = not got
                world.page.set_rate(rate)
                assert time.monotonic() < until, f"not ended after {LONGEST:g} s; it said {said.decode()}"
        finally:
            if not ended:
                process.kill()
    lines = [line.split() for line in said.decode().splitlines()]
    assert all(len(line) == 3 for line in lines), said.decode()
    return [(kind, float(asked), int(took) / 1e9) for kind, asked, took in lines]


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=PLANS, changes=CHANGES)
@example(plan=[[[(kind, 3.0)] for kind in KINDS]], changes=[(5, 1.0), (5, 100.0)])
def test_waits_under_a_changing_rate(library: Library, folder: Path, plan: Plan, changes: Changes) -> None:
    fastest = max(RATES)
    asked = sorted(wait for process in plan for thread in process for wait in thread)
    late: list[tuple[str, float, float]] = []
    for _ in range(ATTEMPTS):
        waits = run(library, folder, plan, changes)
        assert sorted((kind, seconds) for kind, seconds, _ in waits) == asked
        early = [(kind, seconds, took) for kind, seconds, took in waits if took < seconds - 1e-9]
        assert early == []
        late = [(kind, seconds, took) for kind, seconds, took in waits if took > seconds + slack(seconds, fastest)]
        if not late:
            break
    assert late == []
