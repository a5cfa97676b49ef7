"""Memory over two million validates: ``python -m tests.bench.memory [--requests 2000000]``.

``wrk`` posts validates of 1,000 devices; after each 100,000 the resident memory of the server is written down. Exit code 1 if it grew
by more than a tenth, or 8 MB, after the first 200,000: by then the ring of the journal and every table is full. The journal must also
say how many entries it dropped: all but the last 10,000.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx

from tests.bench.servers import DEVICES, PATH, Timed, fake
from tests.bench.validate import SCRIPT

STEP = 100_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory", description=__doc__, allow_abbrev=False)
    parser.add_argument("--requests", type=int, default=2_000_000, help="(default %(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "validate.lua"
        script.write_text(SCRIPT, encoding="ascii")
        with fake([], Path(folder)) as server:
            made, resident = 0, [_resident(server)]
            print(f"{made:>9,} requests {resident[-1] / 1e6:7.1f} MB  load {os.getloadavg()[0]:.1f}", flush=True)
            while made < options.requests:
                made += _some(server, script)
                if made // STEP >= len(resident):
                    resident.append(_resident(server))
                    print(
                        f"{made:>9,} requests {resident[-1] / 1e6:7.1f} MB  load {os.getloadavg()[0]:.1f}", flush=True
                    )
            metrics = httpx.get(f"{server.admin_url}/metrics", trust_env=False).text
    entries, dropped = (
        int(float(re.search(rf"^fake_control_plane_journal_{name}_total (\S+)", metrics, re.MULTILINE)[1]))  # type: ignore[index]
        for name in ("entries", "dropped")
    )
    print(f"journal: {entries:,} entries, of which it dropped {dropped:,}")
    settled = resident[min(2, len(resident) - 1)]
    grown = max(resident[2:], default=settled) - settled
    print(f"grown by {grown / 1e6:.1f} MB since the first {2 * STEP:,}")
    ok = grown <= max(0.1 * settled, 8e6) and entries >= made + DEVICES and dropped == entries - 10_000
    return 0 if ok else 1


def _some(server: Timed, script: Path) -> int:
    """One second of requests; how many."""
    command = ["wrk", "-t1", "-c16", "-d1", "-s", str(script), server.url + PATH]
    environment = {**os.environ, "KEY": server.headers["x-org-key"]}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    result = re.search(r"RESULT (\d+) \d+ 0 ", output)
    if result is None:
        raise RuntimeError(f"requests failed:\n{output}")
    return int(result[1])


def _resident(server: Timed) -> int:
    """Bytes."""
    (pid,) = server.pids
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
