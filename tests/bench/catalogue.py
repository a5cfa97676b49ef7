"""The whole catalogue for one bundled target: ``python -m tests.bench.catalogue [--target sdk-worker] [--sweep all] [--jobs 1]``.

The command line, as its users start it, with ``--jobs auto`` and ``--speed auto``; and its peers, the same runs in real time
(``--speed 1``), and one at a time (``--jobs 1``). The goal is less than 30 s of wall time at ``auto`` on two quiet cores. No number of jobs
beats the longest single run, which is printed beside it: in real time, a target that never gives up on a dripping answer is watched for
the 30 s that ``fail-closed/slow-body`` asks for.

Processor time is that of the harness (command line, engine, spawner: what this process has waited for) and of all else, the targets with
the supervisors of their worlds (``tests/bench/cost.py`` tells those two apart).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.floor import RUNTIMES
from tests.bench.processor import Seconds, accounted
from tests.matrix.catalogue import load_targets, toml

GOAL = 30.0
AUTO = "auto"
PEERS: tuple[tuple[str, ...], ...] = ((), ("--speed", "1"), ("--jobs", "1"))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One session. Seconds; ``targets`` is None where no control group can be made."""

    name: str
    wall: float
    harness: float
    targets: float | None
    verdict: str
    runs: int
    longest: float
    longest_run: str


def session(target: str, config: Path, options: Sequence[str], everything: Seconds | None) -> Measured:
    """Run the harness once, with these options of its command line.

    Raises:
        RuntimeError: it did not judge the target conforming, so this is not the work that was to be measured.
    """
    with tempfile.TemporaryDirectory() as report:
        command = [sys.executable, "-m", "machineid_conformance", "run", "--config", str(config), "--target", target]
        command += ["--report", report, *options]
        total, before, began = everything() if everything else 0.0, _waited_for(), time.monotonic()
        done = subprocess.run(
            command, cwd=config.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        wall, harness = time.monotonic() - began, _waited_for() - before
        used = everything() - total - harness if everything else None
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        document: Mapping[str, Any] = json.loads((Path(report) / "results.json").read_text(encoding="utf-8"))
    (judged,) = document["targets"]
    longest = max(judged["runs"], key=lambda run: run["wall_seconds"])
    return Measured(
        name=" ".join(options) or AUTO, wall=wall, harness=harness, targets=used, verdict=judged["verdict"], runs=len(judged["runs"]),
        longest=longest["wall_seconds"], longest_run=longest["id"],
    )  # fmt: skip


def _waited_for() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def report(target: str, measured: list[Measured]) -> None:
    """Print the table."""
    cores = len(os.sched_getaffinity(0))
    print(f"{target}: the whole catalogue on {cores} cores, load average {os.getloadavg()[0]:.1f} at the end")
    print("  options     runs   wall s   harness cpu s   ms a run   targets cpu s   ms a run   verdict")
    for one in measured:
        harness = f"{one.harness:15.1f} {1000 * one.harness / one.runs:10.1f}"
        targets = f"{'-':>16} {'-':>10}"
        if one.targets is not None:
            targets = f"{one.targets:16.1f} {1000 * one.targets / one.runs:10.1f}"
        print(f"  {one.name:10} {one.runs:5} {one.wall:8.1f} {harness} {targets}   {one.verdict}")
    for one in measured:
        print(f"  longest run with {one.name}: {one.longest:.1f} s, {one.longest_run}")
    auto, *peers = measured
    print(f"  goal {GOAL:.0f} s at auto: {'reached' if auto.wall <= GOAL else 'not reached'}")
    for peer in peers:
        print(f"  {peer.name} / auto: {peer.wall / auto.wall:.1f} times the wall time")


def swept(target: str, sweep: str, folder: Path) -> Path:
    """A configuration of that target alone, with that ``sweep``."""
    table = {**load_targets()[target], "sweep": sweep}
    table["cwd"] = str((RUNTIMES.parent / table["cwd"]).resolve())
    config = folder / RUNTIMES.name
    lines = [f"{key} = {toml(value)}" for key, value in table.items()]
    config.write_text("\n".join(["edition = 1", f"[targets.{target}]", *lines, ""]), encoding="utf-8")
    return config


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--target", default="sdk-worker", help="a conforming target of tests/runtimes (default sdk-worker)"
    )
    parser.add_argument(
        "--sweep", choices=("kinds", "classes", "all"), default="kinds", help="of the target (default kinds)"
    )
    options = parser.parse_args()
    with accounted() as everything, tempfile.TemporaryDirectory() as folder:
        config = swept(options.target, options.sweep, Path(folder))
        measured = [session(options.target, config, peer, everything) for peer in PEERS]
        report(f"{options.target}, sweep {options.sweep}", measured)


if __name__ == "__main__":
    main()
