"""The command line, with an engine that plays a recorded session."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance import cli, session
from machineid_conformance.judge.registry import rules

ENGINE = Path(__file__).parents[1] / "plugin" / "scripted_engine.py"
CONFIGURATION = 'edition = 1\n[targets.worker]\ncommand = ["python", "worker.py"]\n'
FAILING = {"scenario": "revoke-at-boundary", "rule": "stop/next-boundary"}

Play = Callable[..., None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    work = tmp_path / "work"
    work.mkdir()
    (work / "machineid-conformance.toml").write_text(CONFIGURATION)
    monkeypatch.chdir(work)
    monkeypatch.setenv("COLUMNS", "100")
    return work


@pytest.fixture
def play(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    path = folder.parent / "play.json"

    def written(**said: Any) -> None:
        path.write_text(json.dumps({**said, "starts": str(folder.parent / "starts")}))

    written()
    monkeypatch.setattr(session, "ENGINE", (sys.executable, str(ENGINE), str(path)))
    return written


def requests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder.parent / "starts").read_text().splitlines()]


def test_a_conforming_run(folder: Path, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run"]) == cli.CONFORMING
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "verdict       CONFORMING"
    assert "100 %" in err
    assert "\x1b" not in out + err
    assert requests(folder)[0]["scenarios"] is None


def test_a_violation_is_shown_once_in_full(folder: Path, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play(fail=[FAILING])
    assert cli.main(["run", "--target", "worker", "--profile", "high"]) == cli.NON_CONFORMING
    out = capsys.readouterr().out
    assert out.startswith("stop/next-boundary  MUST\n  the rule")
    assert ">    8    0.070s  target        effect 1: POST api.example/charge" in out
    again = "  again       machineid-conformance run --profile high --target worker --scenario revoke-at-boundary --boundary 1"
    assert again in out.splitlines()
    assert out.splitlines()[-1] == "verdict       NON-CONFORMING"


def test_the_command_that_is_shown_runs_that_case_alone(
    folder: Path, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    play(fail=[FAILING])
    cli.main(["run"])
    again = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  again"))
    assert cli.main(again.split()[2:]) == cli.NON_CONFORMING
    assert (requests(folder)[1]["scenario_globs"], requests(folder)[1]["boundary"]) == (["revoke-at-boundary"], 1)


def test_a_command_needs_no_configuration(folder: Path, play: Play) -> None:
    (folder / "machineid-conformance.toml").unlink()
    assert cli.main(["run", "--device", "a:b:c:01", "--", "python", "agent.py", "--", "-x"]) == cli.CONFORMING
    [request] = requests(folder)
    assert request["command"] == ["python", "agent.py", "--", "-x"]
    assert (request["config"], request["device"]) == (None, "a:b:c:01")


def test_every_option_reaches_the_engine(folder: Path, play: Play) -> None:
    selection = (
        "--target worker --rule stop/* --rule startup/gate --scenario baseline --boundary 2 --variant v --environment 2"
    )
    conditions = "--profile low --jobs 3 --speed 1 --isolation proxy --faults toxiproxy --strict --report out"
    cli.main(["run", "--config", "machineid-conformance.toml", *selection.split(), *conditions.split()])
    [request] = requests(folder)
    assert request == {
        "root": str(folder), "config": "machineid-conformance.toml", "command": None, "device": None,
        "targets": ["worker"], "rules": ["stop/*", "startup/gate"], "scenario_globs": ["baseline"], "scenarios": None,
        "boundary": 2, "variant": "v", "environment": 2, "follow": None,
        "profile": "low", "jobs": 3, "speed": "1", "isolation": "proxy", "faults": "toxiproxy", "strict": True,
        "report": "out",
    }  # fmt: skip


def test_with_nothing_to_judge_it_says_how_to_start(
    folder: Path, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "machineid-conformance.toml").unlink()
    assert cli.main(["run"]) == cli.USAGE
    err = capsys.readouterr().err
    assert "machineid-conformance run -- python worker.py" in err
    assert "[targets.worker]" in err


def test_what_the_engine_cannot_do_is_its_message_and_exit_code(
    folder: Path, play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    play(failed={"error": "isolation", "message": "user namespaces are off", "exit": 2})
    assert cli.main(["run"]) == cli.USAGE
    assert capsys.readouterr().err == "machineid-conformance: user namespaces are off\n"
    play(crash="the disk is full")
    assert cli.main(["run"]) == cli.HARNESS
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["run", "--boundary", "0"], ["run", "--profil", "low"], ["rules", "--", "x"], ["drill"]]
)
def test_usage_errors_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        cli.main(arguments)
    assert exited.value.code == cli.USAGE
    assert "usage:" in capsys.readouterr().err


def test_rules_lists_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["rules"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {rule} " in out for rule in rules())


def test_explain_says_all_of_one_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "fail-closed/refused"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("fail-closed/refused  MUST\n  says")
    for word in ("source", "remedy", "exercised by", "fail-closed-refused"):
        assert word in out


def test_explain_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "fail-closed/refsued"]) == cli.USAGE
    assert "nearest: fail-closed/refused" in capsys.readouterr().err


def test_replay_runs_one_case_with_its_timeline(folder: Path, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    play(fail=[FAILING])
    cli.main(["run"])
    capsys.readouterr()
    assert cli.main(["replay", "worker/revoke-at-boundary/validate-2"]) == cli.NON_CONFORMING
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("     1    0.000s  harness       run worker/revoke-at-boundary/validate-2")
    assert sum(line.startswith(">") for line in out) == 1
    assert out[-2] == "  violation   effect 1 started after the deny"
    assert out[-1].startswith(">    8    0.070s  target        effect 1: POST api.example/charge")
    request = requests(folder)[1]
    assert (request["targets"], request["scenario_globs"], request["boundary"]) == (
        ["worker"],
        ["revoke-at-boundary"],
        2,
    )
    # The results of the session that is replayed are still there.
    assert request["report"] == str(folder / ".machineid-conformance" / "replay")
    assert len(json.loads((folder / ".machineid-conformance" / "results.json").read_text())["targets"][0]["runs"]) > 2


def test_replay_takes_a_trace_too(folder: Path, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["run"])
    trace = next((folder / ".machineid-conformance" / "traces").glob("*revoke-at-boundary*2.jsonl"))
    assert cli.main(["replay", str(trace)]) == cli.CONFORMING
    assert capsys.readouterr().out.endswith("\nno violation\n")


def test_replay_says_what_it_cannot_find(folder: Path, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", "worker/nope"]) == cli.USAGE
    assert "nothing was run here" in capsys.readouterr().err
    cli.main(["run"])
    capsys.readouterr()
    assert cli.main(["replay", "worker/revoke-at-boundary/validate-9"]) == cli.USAGE
    assert "nearest: worker/revoke-at-boundary/validate-" in capsys.readouterr().err


def test_replay_of_a_command_asks_for_the_command(folder: Path, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "machineid-conformance.toml").unlink()
    cli.main(["run", "--", "python", "worker.py"])
    capsys.readouterr()
    assert cli.main(["replay", "command/baseline"]) == cli.USAGE
    assert "replay command/baseline -- python worker.py" in capsys.readouterr().err
    assert cli.main(["replay", "command/baseline", "--", "python", "worker.py"]) == cli.CONFORMING


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, cli.INTERRUPTED), (signal.SIGTERM, cli.TERMINATED)])
def test_an_interrupted_run_writes_what_there_is(
    folder: Path, play: Play, number: signal.Signals, exit_code: int
) -> None:
    play(wait=True)
    program = "import sys; from machineid_conformance import cli, session; session.ENGINE = tuple(sys.argv[1:4]); "
    program += "print('up', flush=True); sys.exit(cli.main(['run']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program, *session.ENGINE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    with process:
        assert process.stderr.readline().startswith("worker: ")  # the plan; then the engine waits
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == exit_code == 128 + number, err
    assert "interrupted: ending the targets" in err
    assert "completeness  incomplete: worker interrupted after 1 of " in out
    assert json.loads((folder / ".machineid-conformance" / "results.json").read_text())["complete"] is False


def test_a_reader_that_goes_away_is_no_traceback(folder: Path, play: Play) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from machineid_conformance import cli; sys.exit(cli.main(['rules']))"
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == cli.HARNESS
    assert done.stderr == ""


def test_the_module_is_the_script() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "machineid_conformance", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("machineid-conformance ")


def test_the_command_line_alone_imports_no_rule_and_no_event() -> None:
    program = "import sys, machineid_conformance.cli; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    packages = {name.split(".")[1] for name in done.stdout.split() if name.startswith("machineid_conformance.")}
    assert "session" in packages
    assert packages.isdisjoint({"judge", "trace", "scenario", "replay", "gateway", "isolation"})
