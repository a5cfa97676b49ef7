"""Whether all processes sleep at one and the same moment."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from machineid_conformance.isolation.processes import asleep

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no worlds in target time")

TIMES = 2000

NEVER_BOTH = """
import os, threading
ends = [os.pipe() for _ in range(2)]

def hand_over(take, give):
    while os.read(take, 1):
        os.write(give, b"x")

for (take, _), (_, give) in (ends, ends[::-1]):
    threading.Thread(target=hand_over, args=(take, give), daemon=True).start()
os.write(ends[0][1], b"x")
"""
"""Two threads, one of which always has something to do."""

SLEEPS = "import threading"

AND_WAIT = "\nprint('ready', flush=True)\nthreading.Event().wait()\n"


@contextmanager
def child(program: str) -> Iterator[int]:
    """A shell with one child; its pid."""
    command = ["sh", "-c", '"$@" & wait', "sh", sys.executable, "-c", program + AND_WAIT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as shell:
        try:
            assert shell.stdout is not None
            assert shell.stdout.readline() == "ready\n"
            yield shell.pid
        finally:
            for process in asleep(shell.pid)[0]:
                subprocess.run(["kill", "-9", str(process.pid)], check=True)


def test_of_two_threads_that_wake_each_other_both_sleep_at_no_moment() -> None:
    with child(NEVER_BOTH) as shell:
        seen = [asleep(shell) for _ in range(TIMES)]
    assert all(len(alive) == 1 for alive, _ in seen)
    assert not any(found for _, found in seen)


def test_who_sleeps_is_known_to() -> None:
    with child(SLEEPS) as shell:
        assert any(asleep(shell)[1] for _ in range(TIMES))  # once it has gone to sleep
        assert all(asleep(shell)[1] for _ in range(10))
