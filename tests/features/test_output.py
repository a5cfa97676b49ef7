"""What a target writes: declared log files, and more lines than anybody wants."""

from __future__ import annotations

from pathlib import Path

from machineid_conformance.trace.events import Output
from tests.features.support import configure, judge

FILE_LOGGER = """
import os
import client
from client import json, register, send

os.makedirs("var/log", exist_ok=True)


def log(**fields):
    with open("var/log/app.jsonl", "a") as file:
        file.write(json.dumps(fields) + "\\n")


client.log = log
register()
client.gate("startup")
send("POST", "api.example", "/work", "{}")
"""


def test_declared_log_files_count_as_log_output(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", 'logs = ["var/log/*.jsonl"]', program=FILE_LOGGER)
    judged = judge(config, scenarios=("startup-revoked",))
    assert judged.having("fail", "warn") == set(), judged.explain()
    assert {"logging/request-id", "logging/code", "logging/structured"} <= judged.having("pass")
    (run,) = judged.runs("startup-revoked")
    assert {event.stream for event in run.of(Output)} == {"file:var/log/app.jsonl"}


def test_other_files_do_not(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", 'logs = ["var/log/*.txt"]', program=FILE_LOGGER)
    judged = judge(config, scenarios=("startup-revoked",))
    assert "logging/request-id" in judged.having("fail"), judged.printed


LINES = 20_000
LONG = 1 << 20

FLOOD = f"""
import os, sys, threading
from client import gate, register, send

out = sys.stdout.buffer
for number in range({LINES}):
    out.write(b"line %d\\n" % number)
out.write(b"x" * {LONG} + b"\\n")
out.write(b"\\xff\\xfe not UTF-8\\n")
out.flush()
register()
gate("startup")


def chatter():
    pause = threading.Event()
    while not pause.wait(0.01):  # 10,000 lines a second
        out.write(b"chatter\\n" * 100)
        out.flush()


threading.Thread(target=chatter, daemon=True).start()
gate("task")
send("POST", "api.example", "/work", "{{}}")
os._exit(0)
"""


def test_a_flood_is_taken_whole_and_holds_nothing_up(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", program=FLOOD), options=("--jobs", "1"))
    assert judged.having("fail", "warn") == set(), judged.explain()
    for run in judged.runs():
        said = [event for event in run.of(Output) if event.stream == "stdout"]
        assert [event.text for event in said[:LINES]] == [f"line {number}" for number in range(LINES)]
        long = []
        for event in said[LINES:]:
            long.append(event)
            if not event.continues:
                break
        assert sum(len(event.text) for event in long) == LONG
        assert said[LINES + len(long)].text.endswith(" not UTF-8")
        assert len(run.effects) == 1
