"""``python -m tests.soak.hostile --minutes 5``: each attack of ``tests/fake_control_plane/serving/hostile``, one after the other.

The time is shared by plain and TLS: half of it is fuzzing, the rest is the other attacks, again and again until it is over. Prints one
line an attack. Exit code 1 if a well-behaved client waited for more than 50 ms at the 99th percentile, if the memory grew from one
pass to the next, or if something was not given back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack

from tests.fake_control_plane.serving.hostile.siege import Besieged, besieged
from tests.fake_control_plane.serving.test_hostile import ATTACKS, MEMORY, WAITED

SECONDS = 10.0
"""One attack lasts so long."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.hostile", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=5.0, help="of attacks, all in all (default %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the fuzzed bytes (default: the time)")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    failures: list[str] = []
    for tls in (False, True):
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(besieged(*(("--tls-dir", folder) if tls else ())))
            print("TLS" if tls else "plain", flush=True)
            failures += _siege(server, options.minutes * 30, options.seed)
    print("\n".join(failures) or "every attack was endured", flush=True)
    return 1 if failures else 0


def _siege(server: Besieged, seconds: float, seed: int) -> list[str]:
    failures = []
    until = time.monotonic() + seconds
    after_a_pass: list[int] = []
    while not after_a_pass or time.monotonic() < until:
        for attack, connections in ATTACKS.items():
            seed += 1
            lasting = min(SECONDS, seconds / 10) * (len(ATTACKS) - 1 if attack == "fuzz" else 1)
            endured = server.endure(attack, connections=connections, seconds=lasting, seed=seed)
            print(endured.line(), flush=True)
            if endured.waited > WAITED:
                failures.append(f"too slow: {endured.line()}")
            if endured.memory > 2 * MEMORY + 100_000 * (connections if server.tls is not None else 0):
                failures.append(f"too much memory: {endured.line()}")
            if (still := server.recover()) > server.before:
                failures.append(f"{still - server.before} descriptors not given back: {endured.line()}")
        after_a_pass.append(server.memory())
        print(f"RSS after a pass: {after_a_pass[-1] / 1e6:.0f} MB", flush=True)
    if len(after_a_pass) > 1 and after_a_pass[-1] > 1.2 * after_a_pass[0]:
        failures.append(f"the memory grows: {after_a_pass}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
