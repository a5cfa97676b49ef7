"""What cannot be meant is exit 2 and one clear message, from the command line as its users start it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.end_to_end.support import WORKER, config, judge


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A mistake, and the words that the message must hold."""

    config: str = config()
    arguments: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    says: tuple[str, ...]


MISTAKES = {
    "a key that is unknown": Bad(
        config=config("horzion = 4"), says=("machineid-conformance.toml", "targets.worker", "horzion", "horizon")
    ),
    "a value of the wrong type": Bad(
        config=config('max_gap = "ten"'), says=("machineid-conformance.toml", "max_gap", "'ten'")
    ),
    "no TOML": Bad(config="edition = = 1", says=("machineid-conformance.toml",)),
    "a target that is unknown": Bad(arguments=("--target", "wroker"), says=("wroker", "did you mean worker?")),
    "a scenario glob that matches nothing": Bad(
        arguments=("--scenario", "revoke-at-boundry"), says=("revoke-at-boundry", "did you mean revoke-at-boundary?")
    ),
    "a rule glob that matches nothing": Bad(
        arguments=("--rule", "stop/exit"), says=("stop/exit", "did you mean stop/exits?")
    ),
    "scenarios that match no file": Bad(
        config=config(top='scenarios = ["own/*.yaml"]'), says=("own/*.yaml", "no file")
    ),
    "a scenario with a wrong trigger": Bad(
        config=config(top='scenarios = ["own/*.yaml"]'),
        files={
            "own/mine.yaml": "id: mine\ntitle: Mine\nrules: [stop/exits]\nsteps:\n"
            "  - at: { bevore: validate, n: 1 }\n    do: { revoke: $device }\n"
        },
        says=("mine.yaml:5", "bevore", "before"),
    ),
    "a command that does not exist": Bad(
        config=config().replace('["python", "worker.py"]', '["no-such-program", "--x"]'),
        says=("worker", "no-such-program", "cannot be executed"),
    ),
    "a command after -- that does not exist": Bad(arguments=("--", "no-such-program"), says=("no-such-program",)),
    "a command that is not executable": Bad(
        config=config().replace('["python", "worker.py"]', '["./worker.py"]'),
        says=("./worker.py", "cannot be executed"),
    ),
    "a target of a kind of later work": Bad(
        config=config().replace('command = ["python", "worker.py"]', 'image = "worker:latest"'),
        says=("targets.worker", "image", "command"),
    ),
    "a configuration that is not there": Bad(arguments=("--config", "other.toml"), says=("other.toml",)),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_exit_2_and_one_message(mistake: Bad, tmp_path: Path) -> None:
    session = judge(tmp_path, mistake.config, {"worker.py": WORKER, **mistake.files}, *mistake.arguments)
    assert session.exit == 2, session.said
    assert session.results == {}
    assert session.stdout == ""
    for words in mistake.says:
        assert words in session.stderr, session.said
    assert "Traceback" not in session.stderr
    assert session.stderr.count("machineid-conformance: ") == 1, session.said
    assert len(session.stderr.strip().splitlines()) <= 6, session.said


def test_a_report_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file stands where the folder should be", encoding="utf-8")
    session = judge(tmp_path, config(), {"worker.py": WORKER})
    assert session.exit == 2, session.said
    assert f"the report folder {tmp_path / 'report'} cannot be written: File exists" in session.stderr
    assert "--report" in session.stderr
    assert "Traceback" not in session.stderr


NO_CALL = "print('nobody was asked')\n"
SILENT = {"ends at once": "", "does not call the control plane": NO_CALL, "raises": "raise SystemExit('no database')\n"}


@pytest.mark.parametrize("program", SILENT.values(), ids=SILENT)
def test_a_target_that_shows_nothing_gets_a_diagnosis(program: str, tmp_path: Path) -> None:
    session = judge(tmp_path, config(), {"worker.py": program}, "--scenario", "startup-revoked")
    assert session.exit == 3, session.said
    assert session.target["verdict"] == "inconclusive"
    assert len(session.target["problems"]) >= 1
    assert session.target["problems"][0] in " ".join(session.stdout.split()), session.said
    assert {row["status"] for row in session.rules.values()} == {"inconclusive"}
