"""Ctrl-C and SIGTERM in the middle: what was judged until then is written and said, as what it is, and nothing stays."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance import cli
from tests.end_to_end.remains import LIMIT, Session
from tests.end_to_end.support import CLI, WORKER, clean_environment, lines, place, problems

SOON = 30.0
"""Seconds that an interrupted session may take here, where other tests share the machine."""
FAULT_FREE = 3
"""How many fault-free runs a target has, one after the other here: who says its name once more has a baseline."""

# It says its name to a real service on this machine (``passthrough``), and goes on when the service lets it; ``eager`` then works
# before it asked anybody.
GATED = """
import runpy, socket, sys, urllib.request

service = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
service.sendall(sys.argv[2].encode().ljust(8))
service.recv(1)
if sys.argv[2] == "eager":
    urllib.request.urlopen(urllib.request.Request("http://api.example/charge", data=b"{}", method="POST"))
runpy.run_path("worker.py", run_name="__main__")
"""
NAMES = ("worker", "eager", "endless")
"""``worker`` conforms, ``eager`` does not, and ``endless`` is never let go on: it has no baseline."""

TARGET = """
[targets.{name}]
command = ["python", "gated.py", "{port}", "{name}", "{marker}"]
device = "worker:dev:{name}:01"
passthrough = ["127.0.0.1:{port}"]
profile = "high"
horizon = 3
serial = true
start_within = "100s"
run_within = "100s"
idle_after = "100s"

[[targets.{name}.effects]]
match = {{ tcp = "127.0.0.1:{port}" }}
role = "ignore"

[[targets.{name}.effects]]
match = {{ method = "GET", host = "queue.example", path = "/next" }}
role = "task-source"
answers = [{{ json = {{ id = 1 }} }}, {{ status = 204 }}]
"""

RUN = (*CLI, "run", "--report=../report")
PYTEST = (
    *(sys.executable, "-m", "pytest", "-p", "machineid_conformance.plugin", "-p", "no:cacheprovider"),
    *("--machineid-conformance", "--machineid-report=../report"),
)
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "140"}
"""Other plugins that are installed here would cost each pytest seconds of a busy machine."""

FRONTS = {
    "run, Ctrl-C": (RUN, signal.SIGINT, cli.INTERRUPTED),
    "run, SIGTERM": (RUN, signal.SIGTERM, cli.TERMINATED),
    "pytest, Ctrl-C": (PYTEST, signal.SIGINT, pytest.ExitCode.INTERRUPTED),
    "pytest, SIGTERM": (PYTEST, signal.SIGTERM, pytest.ExitCode.INTERRUPTED),
    "xdist, Ctrl-C": ((*PYTEST, "-p", "xdist", "-n2"), signal.SIGINT, pytest.ExitCode.INTERRUPTED),
    "xdist, SIGTERM": ((*PYTEST, "-p", "xdist", "-n2"), signal.SIGTERM, pytest.ExitCode.INTERRUPTED),
}


@contextmanager
def in_the_middle(folder: Path, command: tuple[str, ...]) -> Iterator[Session]:
    """A session in which ``worker`` and ``eager`` are at their first runs with a fault, and ``endless`` at a fault-free one."""
    marker = f"marker-{folder.name}-{os.getpid()}"
    scratch = folder / "scratch"
    scratch.mkdir()
    with ExitStack() as stack:
        service = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=100))
        service.settimeout(LIMIT)
        port = service.getsockname()[1]
        tables = [TARGET.format(name=name, port=port, marker=marker) for name in NAMES]
        project = place(folder, "edition = 1\n" + "".join(tables), {"gated.py": GATED, "worker.py": WORKER})
        output = stack.enter_context((folder / "output").open("wb"))
        process = stack.enter_context(
            subprocess.Popen(
                command,
                cwd=project,
                env={**clean_environment(), "TMPDIR": str(scratch), **ALONE},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        )
        stack.callback(process.kill)
        arrived = Counter[str]()
        while arrived["worker"] <= FAULT_FREE or arrived["eager"] <= FAULT_FREE or not arrived["endless"]:
            connection = stack.enter_context(service.accept()[0])
            connection.settimeout(LIMIT)
            name = connection.recv(8, socket.MSG_WAITALL).decode().strip()
            arrived[name] += 1
            if name != "endless" and arrived[name] <= FAULT_FREE:
                connection.sendall(b"!")
        yield Session(process, marker, scratch)


@pytest.mark.parametrize("front", FRONTS)
def test_the_results_so_far_are_written_and_nothing_stays(front: str, tmp_path: Path) -> None:
    command, number, exit_code = FRONTS[front]
    with in_the_middle(tmp_path, command) as session:
        session.process.send_signal(number)
        assert session.process.wait(SOON) == exit_code, (tmp_path / "output").read_text()
        session.assert_nothing_stays()
        # What is pytest's own, it keeps.
        assert [path for path in session.scratch.iterdir() if not path.name.startswith("pytest-of-")] == []
    results = json.loads((tmp_path / "report" / "results.json").read_text(encoding="utf-8"))
    assert_said(results, " ".join((tmp_path / "output").read_text(encoding="utf-8").split()))
    assert_so_far(results, tmp_path / "report")


def assert_so_far(results: dict[str, Any], report: Path) -> None:
    assert problems("results", [results]) == []
    assert (results["complete"], results["interrupted"]) == (False, True)
    assert results["verdict"] == "non-conforming"  # what eager did stays seen
    targets = {target["name"]: target for target in results["targets"]}
    assert {name: target["verdict"] for name, target in targets.items()} == {
        "worker": "inconclusive",
        "eager": "non-conforming",
        "endless": "inconclusive",
    }
    for name in ("worker", "eager"):
        target = targets[name]
        assert [run["scenario"] for run in target["runs"]].count("baseline") == FAULT_FREE == len(target["runs"])
        assert all(problems("trace", lines(report / run["trace"])) == [] for run in target["runs"])
        assert target["planned_runs"] > 100
        assert [boundary["kind"] for boundary in target["boundaries"]] == ["startup", "task"]
        assert target["problems"] == []
        assert "the session was interrupted before any run of it was judged" in target["left_out"].values()
    failed = [row["id"] for row in targets["eager"]["rules"] if row["status"] == "fail"]
    assert "startup/gate" in failed
    worker = {row["id"]: row["status"] for row in targets["worker"]["rules"]}
    assert worker["startup/gate"] == "pass"
    assert "fail" not in worker.values()
    endless = targets["endless"]
    assert (endless["planned_runs"], endless["runs"], endless["boundaries"]) == (None, [], [])
    assert endless["problems"] == ["the session was interrupted before its fault-free runs were over"]
    assert {row["status"] for row in endless["rules"]} == {"inconclusive"}


def assert_said(results: dict[str, Any], said: str) -> None:
    assert "completeness incomplete: " in said
    for target in results["targets"]:
        judged, planned = len(target["runs"]), target["planned_runs"]
        known = f"after {judged} of {planned} runs" if planned else "before its fault-free runs were over"
        assert f"{target['name']} interrupted {known}" in said
    assert "verdict NON-CONFORMING" in said
    assert "startup/gate" in said
    assert "Traceback" not in said
