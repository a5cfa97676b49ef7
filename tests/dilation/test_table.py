"""The table of client and wait: each lasts as long as it asked for in target time, at 1x, 20x and 100x, within the stated error."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from machineid_conformance.dilation.build import Library
from tests.dilation.finding import missing, pythons
from tests.dilation.measuring import ASKED, Program, Timing, Wait, measure
from tests.dilation.worlds import ATTEMPTS, World

PROGRAMS = Path(__file__).with_name("programs")
RATES = tuple(ASKED)
MILLISECOND = 0.001  # target seconds
STANDARD = (
    "time.sleep",
    "Event.wait",
    "Queue.get",
    "Lock.acquire",
    "Future.result",
    "select",
    "poll",
    "epoll",
    "asyncio.sleep",
    "asyncio.wait_for",
    "socket.settimeout",
    "subprocess.wait",
    "signal.alarm",
)
CLIENTS = ("requests", "httpx", "httpx async", "aiohttp", "urllib3 Retry")


def program_of_waits(name: str, *command: str, waits: tuple[str, ...], resolution: float = 0.0) -> Program:
    return Program(name=name, command=command, waits=waits, resolution=resolution)


def programs(classes: Path) -> dict[str, Program]:
    """Name to program. Node counts in whole milliseconds of its loop's clock; bash reads CLOCK_REALTIME, which the host may
    be slewing; curl counts in whole milliseconds, from a moment that it rounds."""
    script = str(PROGRAMS / "waits.py")
    bash = str(PROGRAMS / "waits.sh")
    listed = [
        *(
            program_of_waits(f"Python {version}", python, script, waits=STANDARD)
            for version, python in sorted(pythons().items(), key=lambda item: int(item[0].split(".")[1]))
        ),
        program_of_waits("Python clients", sys.executable, script, waits=CLIENTS),
        program_of_waits(
            "Node",
            "node",
            str(PROGRAMS / "waits.mjs"),
            waits=("setTimeout", "timers/promises", "fetch AbortSignal.timeout"),
            resolution=MILLISECOND,
        ),
        program_of_waits(
            "JVM",
            *("java", "-cp", str(classes), "Waits"),
            waits=("Thread.sleep", "Object.wait", "CompletableFuture.get", "HttpClient timeout"),
        ),
        program_of_waits("bash", "bash", bash, waits=("sleep", "read -t"), resolution=MILLISECOND),
        program_of_waits("curl", "bash", bash, waits=("curl -m",), resolution=2 * MILLISECOND),
    ]
    return {program.name: program for program in listed}


NEEDS = {"Node": ("node",), "JVM": ("java", "javac"), "bash": ("bash",), "curl": ("bash", "curl")}
ROWS = [(program.name, wait) for program in programs(Path()).values() for wait in program.waits]


@dataclass(frozen=True, kw_only=True)
class Table:
    programs: dict[str, Program]
    timings: dict[Wait, list[Timing]]


@pytest.fixture(scope="module")
def measured(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """All waits at all rates at once; those that were late again, when the machine may be less busy: never more than the last counts."""
    folder = tmp_path_factory.mktemp("table")
    known = programs(folder)
    waits = [(name, wait, rate) for name, wait in ROWS if not missing(*NEEDS.get(name, ())) for rate in RATES]
    if any(name == "JVM" for name, _, _ in waits):
        subprocess.run(["javac", "-d", folder, PROGRAMS / "Waits.java"], check=True)
    timings: dict[Wait, list[Timing]] = {wait: [] for wait in waits}
    for attempt in range(ATTEMPTS):
        worlds = {rate: World(library, folder / f"{attempt}-{rate:g}") for rate in RATES}
        for rate, world in worlds.items():
            world.page.set_rate(rate)
        for wait, timing in measure(known, worlds, waits).items():
            timings[wait].append(timing)
        for world in worlds.values():
            world.page.close()
        waits = [wait for wait in waits if timings[wait] and timings[wait][-1].late()]
        if not waits:
            break
    return Table(programs=known, timings=timings)


@pytest.mark.parametrize(("name", "wait"), ROWS, ids=[f"{name}-{wait}" for name, wait in ROWS])
def test_a_wait_lasts_as_long_as_asked(
    measured: Table, name: str, wait: str, record_property: Callable[[str, object], None]
) -> None:
    reason = missing(*NEEDS.get(name, ()))
    if reason:
        pytest.skip(f"{name}: {reason}")
    cells = [measured.timings[name, wait, rate] for rate in RATES]
    ended = [rate for rate, timings in zip(RATES, cells, strict=True) if timings]
    assert ended == list(RATES), f"{name}, {wait}: ended at {ended} only; what it said is on stderr"
    resolution = measured.programs[name].resolution
    record_property("target time", [name, wait, *([cell[-1].asked, cell[-1].target, cell[-1].real] for cell in cells)])
    for timings in cells:
        assert not [timing for timing in timings if timing.early(resolution)]
        assert not timings[-1].late(), timings
