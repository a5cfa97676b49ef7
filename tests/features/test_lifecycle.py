"""What happens around each run: ``setup``, ``teardown``, ``serial`` and the working folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from machineid_conformance.trace.events import RunEnded
from tests.features.support import WORKER, configure, judge


def test_setup_and_teardown_run_around_each_run_one_run_at_a_time(tmp_path: Path) -> None:
    history = tmp_path / "history"
    keys = f"""
    setup = "echo setup >> {history}"
    teardown = "echo teardown >> {history}"
    serial = true
    """
    judged = judge(configure(tmp_path / "target", keys), scenarios=("startup-revoked",), options=("--jobs", "4"))
    assert judged.status("startup/denied") == "pass", judged.printed
    assert history.read_text().split() == ["setup", "teardown"] * 4


def test_without_serial_runs_overlap(tmp_path: Path) -> None:
    """Two setups wait for each other, each at one end of a pipe: that ends only if two runs are under way at once."""
    os.mkfifo(tmp_path / "pipe")
    meet = "if mkdir first; then timeout 60 cat pipe; elif mkdir second; then echo here > pipe; fi"
    judged = judge(configure(tmp_path / "target", f'setup = "cd {tmp_path}; {meet}"'), options=("--jobs", "3"))
    assert judged.exit == 3, judged.printed
    assert (tmp_path / "second").is_dir()


@pytest.mark.parametrize("key", ["setup", "teardown"])
def test_one_that_fails_is_an_error_with_its_output(tmp_path: Path, key: str) -> None:
    judged = judge(configure(tmp_path / "target", f"{key} = \"echo 'no database here' >&2; exit 7\""))
    assert judged.exit == 2, judged.printed
    assert f"{key} = " in judged.text
    assert "ended with status 7" in judged.text
    assert "no database here" in judged.text


NOTES = (
    WORKER
    + """
import os
print("found" if os.path.exists("notes.txt") else "clean", flush=True)
os.makedirs("state", exist_ok=True)
for name in ("notes.txt", "state/last.json"):
    with open(name, "w") as file:
        file.write("1")
"""
)


@pytest.mark.parametrize("workdir", ["overlay", "copy"])
def test_runs_do_not_share_files(tmp_path: Path, workdir: str) -> None:
    judged = judge(configure(tmp_path / "target", f'workdir = "{workdir}"', program=NOTES))
    for run in judged.runs():
        assert run.said[-1] == "clean"
        (ended,) = run.of(RunEnded)
        written = {path for path in ended.files_written if not path.endswith(".pyc")}
        assert written == {"notes.txt", "state/last.json"}
    assert not (tmp_path / "target" / "notes.txt").exists()


def test_a_shared_folder_is_the_folder_itself(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", 'workdir = "shared"', program=NOTES), options=("--jobs", "4"))
    assert sorted(run.said[-1] for run in judged.runs()) == ["clean", "found", "found"]
    assert (tmp_path / "target" / "notes.txt").read_text() == "1"
    for run in judged.runs():
        (ended,) = run.of(RunEnded)
        assert {"notes.txt", "state/last.json"} <= set(ended.files_written)
