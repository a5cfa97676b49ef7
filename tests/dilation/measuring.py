"""Runs programs of many waits in worlds of several rates, all at once since they only wait, and times each wait twice."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from tests.dilation.worlds import World, slack

ASKED = {1.0: 3.0, 20.0: 50.0, 100.0: 250.0}
"""Rate to target seconds: whole ones, for alarms; below the 300 after which Node's fetch gives up by itself."""

_LONGEST = 30.0  # real seconds to the end of a program: a wait that never ends is a failure of its own
_STAMP = 1.0  # real seconds by which the test may see a line late; a wait that is not dilated at all takes a hundred


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program that keeps the protocol of ``programs/waits.py``, and its waits."""

    name: str
    command: tuple[str, ...]
    waits: tuple[str, ...]
    resolution: float = 0.0
    """By how many target seconds its own clock is too coarse to tell that a wait was not early."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One wait: how long it was to last, and did, in target seconds on the program's clock, and in real seconds on the test's."""

    rate: float
    asked: float
    target: float
    real: float

    def early(self, resolution: float) -> bool:
        return self.target < self.asked - resolution

    def late(self) -> bool:
        """Beyond the stated error, on either clock."""
        most = self.asked + slack(self.asked, self.rate)
        return self.target > most or not self.asked / 2 <= self.real * self.rate <= most + _STAMP * self.rate


Wait = tuple[str, str, float]
"""Program, wait, rate."""


def measure(
    programs: Mapping[str, Program], worlds: Mapping[float, World], waits: Collection[Wait]
) -> dict[Wait, Timing]:
    """Each wait once, begun when all programs have started. One that did not end is left out: what its program says is on stderr."""
    groups: dict[tuple[str, float], list[str]] = {}
    for name, wait, rate in waits:
        groups.setdefault((name, rate), []).append(wait)
    with contextlib.ExitStack() as stack:
        silent, refusing = stack.enter_context(_ports())
        runs = {
            (name, rate): stack.enter_context(_Run(programs[name], worlds[rate], names, ASKED[rate], silent, refusing))
            for (name, rate), names in groups.items()
        }
        for run in runs.values():
            run.await_ready()
        for run in runs.values():
            run.begin()
        return {
            (name, wait, rate): Timing(rate=rate, asked=ASKED[rate], target=target, real=real)
            for (name, rate), run in runs.items()
            for wait, (target, real) in run.results().items()
        }


@contextlib.contextmanager
def _ports() -> Iterator[tuple[int, int]]:
    """A port on which the kernel takes connections that nobody answers, and one that refuses them and that nobody else can take."""
    with socket.socket() as silent, socket.socket() as refusing:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1000)
        refusing.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1], refusing.getsockname()[1]


class _Run:
    def __init__(
        self, program: Program, world: World, waits: list[str], seconds: float, silent: int, refusing: int
    ) -> None:
        self._what = f"{program.name} at {world.page.rate:g}x"
        environment = {name: value for name, value in world.environment.items() if not name.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            [*program.command, f"{seconds:g}", str(silent), str(refusing), *waits],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, process_group=0,
        )  # fmt: skip
        self._ready = threading.Event()
        self._began: dict[str, float] = {}
        self._results: dict[str, tuple[float, float]] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Its children too, such as the process that is waited for in vain.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._reader.join()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            now = time.monotonic()
            word, _, rest = line.strip().partition(" ")
            if word == "ready":
                self._ready.set()
            elif word == "begin":
                self._began[rest] = now
            elif word == "end":
                name, _, nanoseconds = rest.rpartition(" ")
                self._results[name] = (int(nanoseconds) / 1e9, now - self._began[name])
        self._ready.set()

    def await_ready(self) -> None:
        assert self._ready.wait(_LONGEST), f"{self._what} is not ready after {_LONGEST:g} s"

    def begin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has failed: results says so
            self._process.stdin.write("\n")

    def results(self) -> dict[str, tuple[float, float]]:
        self._reader.join(_LONGEST)
        return dict(self._results)
