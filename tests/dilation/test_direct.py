"""Every call of libc that waits, from C: the ones that no runtime of the table reaches, and what they answer besides waiting."""

from __future__ import annotations

import os
import random
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from machineid_conformance.dilation.build import Library
from tests.dilation.worlds import ATTEMPTS, World, slack

SECONDS = 20
FASTEST = 40.0
LONGEST = 20.0  # real seconds: a wait that never ends is a failure of its own
SOURCE = Path(__file__).with_name("programs") / "direct.c"
CASES = tuple(
    word.strip().removeprefix("ROW(").rstrip(")")
    for word in SOURCE.read_text().split("cases[] = {")[1].split("};")[0].split(",")
    if word.strip()
)
BY_TIMERS = (
    "timer_",
    "timerfd_",
    "alarm_",
    "interval",
    "fork_",
    "exec_",
    "sleep_interrupted",
    "sleep_overflow",
    "receive_interrupted",
)
"""What ends by a timer of the kernel's. When the rate falls it may fire before the library has armed it again (source/timers.c), by
as much as a busy machine keeps the library's thread waiting: that is measured again, as being late is."""
ACROSS_EXEC = frozenset({"exec_armed"})
"""Whose alarm nobody arms again when the rate changes between its old program and the new one: measured at a rate that stays."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    status: int
    took: float
    said: str


def run_all(program: Path, world: World, names: tuple[str, ...], changes: random.Random | None) -> dict[str, Outcome]:
    """All cases at once: they sleep. With ``changes`` the rate changes at random moments until the last has ended."""
    started = {
        name: subprocess.Popen(
            [program, name, str(SECONDS)],
            env=world.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    }
    handles = {os.pidfd_open(process.pid) for process in started.values()}
    running = set(handles)
    try:
        limit = time.monotonic() + LONGEST
        while changes and running and time.monotonic() < limit:
            ended, _, _ = select.select(running, [], [], changes.uniform(0.001, 0.15))
            running -= set(ended)
            world.page.set_rate(changes.choice((1.0, 2.5, 10.0, FASTEST)))
        return {name: outcome(process) for name, process in started.items()}
    finally:
        for handle in handles:
            os.close(handle)
        for process in started.values():
            if process.poll() is None:
                process.kill()
                process.wait()


def outcome(process: subprocess.Popen[str]) -> Outcome:
    out, said = process.communicate(timeout=LONGEST)
    return Outcome(status=process.returncode, took=int(out or 0) / 1e9, said=said)


@dataclass(frozen=True, kw_only=True)
class Measured:
    rate: float
    changing: bool
    outcomes: dict[str, list[Outcome]]

    def held(self, name: str, got: Outcome) -> bool:
        """Whether the wait ended when it should, by the bounds that a busy machine may break once."""
        early = slack(SECONDS, self.rate) if self.changing and name.startswith(BY_TIMERS) else SECONDS
        return SECONDS - early <= got.took <= SECONDS + slack(SECONDS, self.rate)


@pytest.fixture(scope="module", params=["20x", "changing"])
def measured(
    request: pytest.FixtureRequest, direct: Path, library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Measured:
    changing = request.param == "changing"
    rate = FASTEST if changing else 20.0
    names = tuple(name for name in CASES if not (changing and name in ACROSS_EXEC))
    measured = Measured(rate=rate, changing=changing, outcomes={name: [] for name in names})
    for attempt in range(ATTEMPTS):
        with World(library, tmp_path_factory.mktemp("direct") / "world") as world:
            world.page.set_rate(1 if changing else rate)
            for name, got in run_all(direct, world, names, random.Random(attempt) if changing else None).items():
                measured.outcomes[name].append(got)
        names = tuple(name for name in names if not measured.held(name, measured.outcomes[name][-1]))
        if not names:
            break
    return measured


def test_the_cases_are_those_of_the_program(direct: Path) -> None:
    listed = subprocess.run([direct], capture_output=True, text=True, check=True).stdout.split()
    assert tuple(listed) == CASES
    assert len(CASES) == 46


@pytest.mark.parametrize("name", CASES)
def test_a_wait_lasts_as_long_as_asked_in_target_time(measured: Measured, name: str) -> None:
    if measured.changing and name in ACROSS_EXEC:
        assert name not in measured.outcomes
        return
    outcomes = measured.outcomes[name]
    assert [(got.status, got.said) for got in outcomes] == [(0, "")] * len(outcomes)
    if not (measured.changing and name.startswith(BY_TIMERS)):
        # A millisecond: a deadline on CLOCK_REALTIME, measured on CLOCK_MONOTONIC, while the host's clock is being slewed.
        assert min(got.took for got in outcomes) >= SECONDS - 0.001
    assert measured.held(name, outcomes[-1]), [got.took for got in outcomes]


@pytest.mark.parametrize(
    "name", ["sem_timed", "cond_monotonic", "receive", "timerfd_interval", "exec_armed", "select_wide"]
)
def test_without_a_page_time_is_real(direct: Path, library: Library, name: str) -> None:
    # No page lies in the cache: it is a world's.
    done = subprocess.run(
        [direct, name, "1"],
        env={**os.environ, "LD_PRELOAD": str(library.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 0.999e9
