"""What a validate costs: ``python -m tests.bench.validate [--seconds 5] [--rounds 3] [--only NAME]…``.

``wrk`` with 16 connections posts validates of 1,000 devices, on one core; the server has another one (``taskset``). All servers take
turns, so that a machine that is slow for a moment is slow for all. A first round, which warms the JVM, is not counted.

Requests a second depend on what else the machine does; so beside them stands the processor time of a request, of the server alone
(user and system), and the share of its core that it used: below 95 %, it was wrk, or the machine, that was measured. The goals are 0.7
of the bare protocol and 6 times WireMock, by processor time.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.servers import DEVICES, PATH, SERVERS, MissingServer, Timed, device

SCRIPT = f"""
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["x-org-key"] = os.getenv("KEY")
local requests, at = {{}}, 0
function init(args)
  for number = 0, {DEVICES - 1} do
    requests[number] = wrk.format(nil, "{PATH}", nil, string.format('{{"deviceId": "{device(0)[:-4]}%04d"}}', number))
  end
end
function request()
  at = (at + 1) % {DEVICES}
  return requests[at]
end
function done(summary, latency, requests)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout
  io.write(string.format("RESULT %d %d %d %f %f\\n",
    summary.requests, summary.duration, errors, latency:percentile(50), latency:percentile(99)))
end
"""

GOALS = {"bare": 0.7, "WireMock": 6.0}


@dataclass(frozen=True, kw_only=True)
class Load:
    """``rate`` in requests a second, ``median`` and ``late`` (99th percentile) in seconds, ``cost``: processor seconds of a request;
    ``share`` of its core that the server used.
    """

    rate: float
    median: float
    late: float
    cost: float
    share: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table; exit code 1 if a goal is missed, 2 if wrk is not here."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.validate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (default %(default)s)")
    parser.add_argument("--only", action="append", choices=SERVERS, help="only this server; may be repeated")
    options = parser.parse_args(arguments)
    if shutil.which("wrk") is None:
        print("python -m tests.bench.validate: there is no wrk here: apt-get install wrk", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = work / "validate.lua"
        script.write_text(SCRIPT, encoding="ascii")
        cores = sorted(os.sched_getaffinity(0))
        servers: dict[str, Timed] = {}
        for name in options.only or SERVERS:
            folder = work / name.replace(" ", "-").replace(",", "")
            folder.mkdir()
            try:
                servers[name] = stack.enter_context(SERVERS[name](["taskset", "-c", str(cores[0])], folder))
            except MissingServer as missing:
                print(f"{name} is left out: {missing}", flush=True)
        measured: dict[str, list[Load]] = {name: [] for name in servers}
        for round_number in range(options.rounds + 1):
            for name, server in servers.items():
                load = _load(server, script, seconds=options.seconds, core=cores[-1])
                if round_number:
                    measured[name].append(load)
    return _report(measured)


def _load(server: Timed, script: Path, *, seconds: int, core: int) -> Load:
    before = _used(server)
    command = ["taskset", "-c", str(core), "wrk", "-t1", "-c16", f"-d{seconds}", "-s", str(script), server.url + PATH]
    environment = {**os.environ, "KEY": server.headers.get("x-org-key", "none")}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    used = _used(server) - before
    result = re.search(r"RESULT (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)", output)
    if result is None or int(result[3]) > int(result[1]) // 1000:
        raise RuntimeError(f"{server.url} does not answer as it should:\n{output}")
    count, duration = int(result[1]), int(result[2]) / 1e6
    return Load(
        rate=count / duration,
        median=float(result[4]) / 1e6,
        late=float(result[5]) / 1e6,
        cost=used / count,
        share=used / duration,
    )


def _used(server: Timed) -> float:
    """Processor seconds of its processes so far, with all their threads, user and system."""
    ticks = 0
    for pid in server.pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _report(measured: dict[str, list[Load]]) -> int:
    print(f"{'server':<18} {'requests/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'us/request':>11} {'of its core':>12}")
    best: dict[str, Load] = {}
    for name, loads in measured.items():
        middle = best[name] = sorted(loads, key=lambda load: load.cost)[len(loads) // 2]
        print(
            f"{name:<18} {statistics.median(load.rate for load in loads):>10,.0f} {middle.median * 1e3:>8.2f} {middle.late * 1e3:>8.2f} "
            f"{middle.cost * 1e6:>11.2f} {middle.share:>12.0%}"
        )
    print(
        f"load average {os.getloadavg()[0]:.1f}: beside others, everybody's requests cost more, and the ratios say less"
    )
    missed = 0
    for mine in ("fake", "fake, in files"):
        for other, goal in GOALS.items():
            if mine in best and other in best:
                ratio = best[other].cost / best[mine].cost
                verdict = "" if mine != "fake" else f" (goal {goal}: {'reached' if ratio >= goal else 'missed'})"
                missed += mine == "fake" and ratio < goal
                print(f"{mine}: {ratio:.2f} times {other}{verdict}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
