"""``python -m tests.soak.hostile --minutes 5``: each attack of ``tests/fake_control_plane/serving/hostile``, one after the other.

Two passes over plain HTTP and two over TLS share the minutes of fuzzing; the other attacks of a pass take ten seconds each. Prints one
line an attack, with the load of the machine, and first of all one without any: what this machine gives a client now. Exit code 1 if a
well-behaved client waited for more than 50 ms at the 99th percentile, if the memory grew from one pass to the next, or if something
was not given back.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from tests.fake_control_plane.serving.hostile.siege import Besieged, Endured, besieged
from tests.fake_control_plane.serving.test_hostile import ATTACKS, MEMORY, WAITED

SECONDS = 10.0
"""One attack lasts so long, but for fuzzing."""

PASSES = 2
"""Over each of plain and TLS: what grows shows in the second."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.hostile", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=5.0, help="of fuzzing, all in all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the fuzzed bytes (default: the time)")
    parser.add_argument("--over", choices=("plain", "TLS"), action="append", help="only this (default: both)")
    parser.add_argument("--attack", choices=tuple(ATTACKS), action="append", help="only this one; may be repeated")
    options = parser.parse_args(arguments)
    attacks = {name: many for name, many in ATTACKS.items() if not options.attack or name in options.attack}
    print(f"seed {options.seed}", flush=True)
    failures: list[str] = []
    for over in options.over or ("plain", "TLS"):
        tls = over == "TLS"
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(besieged(*(("--tls-dir", folder) if tls else ())))
            print(over, flush=True)
            failures += _siege(server, attacks, options.minutes * 30, options.seed)
    print("\n".join(failures) or "every attack was endured", flush=True)
    return 1 if failures else 0


def _siege(server: Besieged, attacks: Mapping[str, int], seconds: float, seed: int) -> list[str]:
    failures = []
    after_a_pass: list[int] = []
    allowed = 0.0
    _print(server.calm(min(SECONDS, seconds / 10)))
    for _ in range(PASSES):
        for attack, connections in attacks.items():
            seed += 1
            lasting = seconds / PASSES if attack == "fuzz" else min(SECONDS, seconds / 10)
            try:
                endured = server.endure(attack, connections=connections, seconds=lasting, seed=seed)
            except AssertionError as failed:  # a machine that is too busy for an attack says nothing about the others
                failures.append(f"{attack}: {failed}")
                print(failures[-1], flush=True)
                server.recover()
                continue
            _print(endured)
            if endured.waited > WAITED:
                failures.append(f"too slow: {endured.line()}")
            # What thousands of TLS connections took is kept for the next ones.
            allowed = max(allowed, 2 * MEMORY + 100_000 * (connections if server.tls is not None else 0))
            if endured.memory > allowed:
                failures.append(f"too much memory: {endured.line()}")
            if (still := server.recover()) > server.before:
                failures.append(f"{still - server.before} descriptors not given back: {endured.line()}")
        after_a_pass.append(server.memory())
        print(f"RSS after a pass: {after_a_pass[-1] / 1e6:.0f} MB", flush=True)
    if after_a_pass[-1] > 1.2 * after_a_pass[0]:
        failures.append(f"the memory grows: {after_a_pass}")
    return failures


def _print(endured: Endured) -> None:
    print(f"load {os.getloadavg()[0]:5.1f}  {endured.line()}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
