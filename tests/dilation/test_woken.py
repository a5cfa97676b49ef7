"""Who wakes from a wait runs in real time, and so does everybody else in his world, before the harness hears of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from machineid_conformance.dilation.build import Library, place
from machineid_conformance.dilation.page import Page
from machineid_conformance.isolation import processes

RATE = 1000.0
LOOKS = 20
"""A program that is found asleep so often in a row waits for time; one that started has other things to wait for."""
WORKS = """
def work(processor_seconds):
    until = time.process_time() + processor_seconds
    while time.process_time() < until: pass
"""


class Waking:
    """A library with both of its pages, and programs in its time."""

    def __init__(self, library: Library, folder: Path) -> None:
        self.library = place(library, folder)
        self.page = Page(self.library.page, self.library.woken)

    def start(self, program: str) -> subprocess.Popen[str]:
        """The program says a line when it is about to wait."""
        environment = {**os.environ, "LD_PRELOAD": str(self.library.path)}
        command = [
            sys.executable,
            "-c",
            f"import json, os, select, signal, socket, sys, threading, time\n{WORKS}\n{program}",
        ]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def fast(self, process: subprocess.Popen[str]) -> None:
        """Time is fast once the program sleeps, as the engine does it."""
        self.settled(process)
        self.page.set_rate(RATE)

    def settled(self, process: subprocess.Popen[str]) -> None:
        looks = 0
        while looks < LOOKS and process.poll() is None:
            seen = processes.Process(process.pid, 0, "", 0.0)
            looks = 0 if processes.runnable(seen) else looks + 1


def answer(process: subprocess.Popen[str]) -> dict[str, float]:
    found: dict[str, float] = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    return found


@pytest.fixture
def waking(library: Library, tmp_path: Path) -> Iterator[Waking]:
    made = Waking(library, tmp_path)
    yield made
    made.page.close()


WAITS = {
    "sleep": "time.sleep(LONG)",
    "poll": "select.poll().poll(LONG * 1000)",
    "select": "select.select([], [], [], LONG)",
    "lock": "held = threading.Lock(); held.acquire(); held.acquire(timeout=LONG)",
    "condition": "threading.Event().wait(LONG)",
    "socket": "pair = socket.socketpair(); pair[0].settimeout(LONG)\n  try: pair[0].recv(1)\n  except TimeoutError: pass",
}


@pytest.mark.parametrize("wait", sorted(WAITS))
def test_the_end_of_a_wait_makes_time_real(waking: Waking, wait: str) -> None:
    text = WAITS[wait].replace("LONG", "300")
    process = waking.start(f"""
def main():
  print("ready", flush=True)
  began = time.monotonic()
  {text}
  woke = time.monotonic()
  work(0.2)
  print(json.dumps({{"waited": woke - began, "worked": time.monotonic() - woke}}))
main()
""")
    waking.fast(process)
    found = answer(process)
    assert found["waited"] >= 300
    assert found["worked"] < 20  # at the rate of the wait it would be 200 s
    assert waking.page.slowed


def test_everybody_else_is_slowed_too(waking: Waking) -> None:
    other = waking.start("""
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
work(0.2)
print(json.dumps({"worked": time.monotonic() - began}))
""")
    sleeper = waking.start('print("ready", flush=True); time.sleep(300); print("{}")')
    waking.fast(sleeper)
    answer(sleeper)
    assert waking.page.slowed
    assert other.stdin is not None
    print(file=other.stdin, flush=True)
    assert answer(other)["worked"] < 20


def test_naps_are_one_wait(waking: Waking) -> None:
    process = waking.start("""
print("ready", flush=True)
began = time.monotonic()
while time.monotonic() - began < 100: time.sleep(0.05)
print(json.dumps({"waited": time.monotonic() - began}))
""")
    waking.fast(process)
    found = answer(process)
    assert 100 <= found["waited"] < 200
    assert not waking.page.slowed


def test_the_next_rate_is_fast_again(waking: Waking) -> None:
    process = waking.start("""
print("ready", flush=True)
began = time.monotonic()
for n in range(5): time.sleep(200)
print(json.dumps({"waited": time.monotonic() - began}))
""")
    while process.poll() is None:
        waking.fast(process)
    assert 1000 <= answer(process)["waited"] < 1500


def test_who_comes_out_of_naps_is_noticed_by_what_he_does_next(waking: Waking) -> None:
    process = waking.start("""
print("ready", flush=True)
began = time.monotonic()
while time.monotonic() - began < 100: time.sleep(0.05)
pair = socket.socketpair()
pair[0].settimeout(300)
pair[0].send(b"?")
sent = time.monotonic()
work(0.2)
print(json.dumps({"waited": sent - began, "worked": time.monotonic() - sent}))
""")
    waking.fast(process)
    found = answer(process)
    assert 100 <= found["waited"] < 200
    assert found["worked"] < 20
    assert waking.page.slowed


def test_the_ends_of_waits_are_known(waking: Waking) -> None:
    before = waking.page.elapsed()
    process = waking.start("""
for seconds in (300, 200, 400): threading.Thread(target=time.sleep, args=(seconds,), daemon=True).start()
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 100)
print("ready", flush=True)
signal.pause()
print(json.dumps({}))
""")
    waking.settled(process)
    first = waking.page.first_end()
    assert first is not None
    assert before + 100 <= first <= waking.page.elapsed() + 100
    waking.page.set_rate(RATE, first)
    answer(process)
    assert waking.page.elapsed() == pytest.approx(first, abs=20)
    assert waking.page.first_end() is not None  # the process is gone, and with it who would have taken these back


def test_time_goes_no_further_than_it_is_to(waking: Waking) -> None:
    """However late the one is who waits for it."""
    process = waking.start("""
print("ready", flush=True)
time.sleep(300)
print(json.dumps({}))
""")
    waking.settled(process)
    os.kill(process.pid, signal.SIGSTOP)
    waking.page.set_rate(RATE, waking.page.first_end())
    while not waking.page.slowed:
        pass
    reached = waking.page.elapsed()
    while waking.page.elapsed() < reached + 0.5:
        pass
    os.kill(process.pid, signal.SIGCONT)
    answer(process)
    assert 300 <= waking.page.elapsed() < 320


def test_an_alarm_is_not_early_where_time_slows_before_it(waking: Waking) -> None:
    """The kernel has it in real time: at the rate of the stretch to its end, and at 1 from there."""
    process = waking.start("""
signal.signal(signal.SIGALRM, lambda *_: None)
began = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 101)
print("ready", flush=True)
signal.pause()
print(json.dumps({"waited": time.monotonic() - began}))
""")
    waking.settled(process)
    waking.page.set_rate(50, waking.page.elapsed() + 99)
    assert 100.9 <= answer(process)["waited"] < 120


def test_an_alarm_is_not_early_where_somebody_wakes_before_it(waking: Waking) -> None:
    process = waking.start("""
signal.signal(signal.SIGALRM, lambda *_: None)
began = time.monotonic()
signal.setitimer(signal.ITIMER_REAL, 51)
print("ready", flush=True)
time.sleep(50)
signal.pause()
print(json.dumps({"waited": time.monotonic() - began}))
""")
    waking.settled(process)
    waking.page.set_rate(50)
    assert 50.9 <= answer(process)["waited"] < 70
