"""A signal ends a wait at whatever moment of it the signal comes, although the library makes a wait of many short ones."""

from __future__ import annotations

import random
import select
import subprocess
import sys
from pathlib import Path

import pytest

from tests.dilation.worlds import World

LONGEST = 30.0  # real seconds; a hundred signals take one


@pytest.mark.parametrize("wait", ["poll", "select", "epoll", "sleep", "semaphore", "futex", "sigtimedwait", "receive"])
def test_signals_end_waits(interrupted: Path, world: World, wait: str) -> None:
    chance = random.Random(wait)
    world.page.set_rate(20)
    with subprocess.Popen(
        [interrupted, wait], env=world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while not select.select([process.stdout], [], [], 0.004)[0]:
            world.page.set_rate(chance.choice((10, 20, 40)))
        out, said = process.communicate(timeout=LONGEST)
    assert (process.returncode, said) == (0, "")
    handled, ended = map(int, out.split())
    assert handled > 50
    # One that comes as the program is on its way into the call ends nothing, with the library or without.
    assert ended >= 0.95 * handled


def test_a_program_sees_its_own_handlers(world: World) -> None:
    program = """
import ctypes, signal
libc = ctypes.CDLL(None)
libc.signal.restype = ctypes.c_void_p
kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
first, second = kind(lambda number: seen.append(number)), kind(lambda number: None)
address = lambda of: ctypes.cast(of, ctypes.c_void_p).value
seen = []
assert libc.signal(signal.SIGUSR1, first) is None
assert libc.signal(signal.SIGUSR1, second) == address(first)
assert libc.signal(signal.SIGUSR1, ctypes.c_void_p(1)) == address(second)
assert libc.signal(signal.SIGUSR1, first) == 1
signal.raise_signal(signal.SIGUSR1)
assert seen == [signal.SIGUSR1]
assert libc.signal(0, first) == ctypes.c_void_p(-1).value
"""
    subprocess.run([sys.executable, "-c", program], env=world.environment, check=True)
