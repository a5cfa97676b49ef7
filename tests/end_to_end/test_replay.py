"""``replay`` shows a run while it happens, and runs exactly the case that it is asked for."""

from __future__ import annotations

import json
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

from tests.end_to_end.support import CLI, WORKER, clean_environment, config, judge, lines, place

LIMIT = 240.0  # seconds; nothing waits for it but a test that fails

# It asks a real service on this machine before it does anything, and goes on when that answers.
WAITING = """
import runpy, socket, sys

print("waiting", flush=True)
service = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
service.recv(1)
runpy.run_path("worker.py", run_name="__main__")
"""


def test_the_timeline_is_printed_as_it_happens(tmp_path: Path) -> None:
    """The target waits for this test, and this test for the line that says so."""
    with ExitStack() as stack:
        service = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        service.settimeout(LIMIT)
        port = service.getsockname()[1]
        keys = f'passthrough = ["127.0.0.1:{port}"]\nrun_within = "200s"\nidle_after = "200s"\nstart_within = "200s"'
        command = f'["python", "waiting.py", "{port}"]'
        asks = f'\n[[targets.worker.effects]]\nmatch = {{ tcp = "127.0.0.1:{port}" }}\nrole = "ignore"\n'
        text = config(keys).replace('["python", "worker.py"]', command) + asks
        project = place(tmp_path, text, {"worker.py": WORKER, "waiting.py": WAITING})
        trace = tmp_path / "wanted.jsonl"
        trace.write_text(
            '{"seq":1,"at":0,"event":"run-started","run":"worker/baseline/2","target":"worker","scenario":"baseline",'
            '"rules":[],"subject":null,"n":null,"variant":null,"baseline":true,"isolation":"namespace","environment":{}}\n'
        )
        process = stack.enter_context(
            subprocess.Popen(
                [*CLI, "replay", str(trace), f"--report={tmp_path / 'report'}"],
                cwd=project,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )
        stack.callback(process.kill)
        connections = [stack.enter_context(service.accept()[0]) for _ in range(3)]  # the three fault-free runs
        assert process.stdout is not None
        seen: list[str] = []
        while not seen or "waiting" not in seen[-1]:
            seen.append(process.stdout.readline())
            assert seen[-1], seen
        assert "run worker/baseline/2" in seen[0]
        for connection in connections:
            connection.sendall(b"!")
        rest = process.stdout.read()
        assert process.wait(LIMIT) == 0, rest
    shown = "".join(seen) + rest
    recorded = lines(tmp_path / "report" / "replay" / "traces" / "worker" / "baseline" / "2.jsonl")
    numbers = [int(line.split()[0]) for line in shown.splitlines() if line[:6].strip().isdigit()]
    assert numbers == [event["seq"] for event in recorded]  # each once, in order
    assert shown.endswith("\nno violation\n")


def test_a_run_under_one_environment_is_replayed_alone(tmp_path: Path) -> None:
    environments = 'bypass_env = [{ FAIL_OPEN = "1" }, { SKIP_GATE = "1" }]\ngrace_window = "1s"'
    session = judge(
        tmp_path, config(environments), {"worker.py": WORKER}, "--scenario=outage-with-bypass-flags", "--environment=2"
    )
    assert session.exit == 3, session.said
    runs = [run for run in session.target["runs"] if run["scenario"] != "baseline"]
    assert runs
    assert {run["environment"] for run in runs} == {2}
    wanted = runs[0]["id"]
    assert wanted.endswith("/environment-2")
    done = subprocess.run(
        [*CLI, "replay", wanted, f"--report={tmp_path / 'report'}"],
        cwd=tmp_path / "project",
        env={**clean_environment(), "COLUMNS": "200"},  # a line is cut to the terminal's width
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run {wanted}" in done.stdout
    replayed = json.loads((tmp_path / "report" / "replay" / "results.json").read_text(encoding="utf-8"))
    again = [run for run in replayed["targets"][0]["runs"] if run["scenario"] != "baseline"]
    assert [run["id"] for run in again] == [wanted]
