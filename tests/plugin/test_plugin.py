"""The plugin's own behaviour, with an engine that plays a recorded session."""

from __future__ import annotations

import re
import signal
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance.scenario.load import load_catalogue

Repository = Any

ITEMS = len(load_catalogue()) + 1
"""A scenario each, and the verdict."""
FAILING = {"scenario": "revoke-at-boundary", "rule": "stop/next-boundary"}
ITEM = "machineid-conformance.toml::worker::revoke-at-boundary"


def test_node_ids_are_file_target_scenario_and_the_verdict_is_last(repository: Repository) -> None:
    done = repository.pytest("--machineid-conformance", "--collect-only", "-q")
    ids = [line for line in done.stdout.splitlines() if "::" in line]
    assert ITEM in ids
    assert ids[-1] == "machineid-conformance.toml::worker::verdict"
    assert all(line.startswith("machineid-conformance.toml::worker::") for line in ids)
    assert repository.starts == []


def test_a_command_stands_where_the_file_would(repository: Repository) -> None:
    (repository.folder / "machineid-conformance.toml").unlink()
    done = repository.pytest("--machineid-conformance", "--machineid-command", "python worker.py", "-v")
    assert done.returncode == 0, done.stdout
    assert "command::command::revoke-at-boundary PASSED" in done.stdout
    assert repository.starts[0]["command"] == ["python", "worker.py"]
    assert repository.starts[0]["config"] is None


def test_the_configuration_of_the_folder_where_it_is_started_goes_before_that_of_the_root(
    repository: Repository,
) -> None:
    below = repository.folder / "services" / "agent"
    below.mkdir(parents=True)
    text = (repository.folder / "machineid-conformance.toml").read_text(encoding="utf-8")
    (below / "machineid-conformance.toml").write_text(text.replace("targets.worker", "targets.agent"), encoding="utf-8")
    options = ("--machineid-conformance", "--collect-only", "-q")
    assert (
        "services/agent/machineid-conformance.toml::agent::verdict"
        in repository.pytest(*options, below="services/agent").stdout
    )
    assert "\nmachineid-conformance.toml::worker::verdict" in repository.pytest(*options, below="services").stdout


def test_neither_configuration_nor_command_says_how_to_start(repository: Repository) -> None:
    (repository.folder / "machineid-conformance.toml").unlink()
    done = repository.pytest("--machineid-conformance")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert 'pytest --machineid-conformance --machineid-command "python worker.py"' in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--machineid-target", "wroker"], "did you mean worker?"),
        (["--machineid-scenario", "revoke-at-bondary"], "did you mean revoke-at-boundary?"),
        (["--machineid-rule", "stop/next-bondary"], "did you mean stop/next-boundary?"),
        (["--machineid-boundary", "0"], "--machineid-boundary: expected a whole number from 1, got 0"),
        (["--machineid-profile", "hihg"], "high"),
        (["--machineid-config", "nope.toml"], "no such file"),
        (["--machineid-conformance=with-test"], "expected one of only, with-tests"),
        (["machineid-conformance.toml::worker::nope"], "no conformance item is called worker::nope"),
        (["--machineid-command", ""], "--machineid-command is empty"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(repository: Repository, options: list[str], said: str) -> None:
    done = repository.pytest("--machineid-conformance", *options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert repository.starts == []


def test_a_failure_shows_the_rule_the_trace_and_the_command(repository: Repository) -> None:
    repository.play(fail=[FAILING])
    done = repository.pytest("--machineid-conformance")
    assert done.returncode == 1
    assert "worker::revoke-at-boundary [boundary 1]" in done.stdout
    assert re.search(r"^> +8 +0\.070s +target +effect 1: POST api\.example/charge", done.stdout, re.MULTILINE)
    assert "expected    no work after the deny of line 6" in done.stdout
    again = (
        "again       pytest --machineid-conformance --machineid-target worker --machineid-scenario revoke-at-boundary "
        "--machineid-boundary 1"
    )
    assert again in done.stdout
    assert "\x1b" not in done.stdout
    # The second run of the same rule says where it differs, not all of it again.
    assert done.stdout.count("expected    no work after the deny") == 1


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
@pytest.mark.parametrize("machine", [{"CI": "true"}, {"CI": "", "BUILD_NUMBER": ""}], ids=["CI", "a person's"])
def test_the_short_summary_has_one_line_a_failure(
    repository: Repository, required: Any, tmp_path: Path, machine: dict[str, str], workers: list[str]
) -> None:
    """A CI machine's is not cut to the terminal's width: a whole failure in it would stand there twice."""
    required(*["xdist"][: len(workers)])
    repository.play(fail=[FAILING])
    done = repository.pytest(
        "--machineid-conformance", f"--junitxml={tmp_path / 'junit.xml'}", *workers, environment=machine
    )
    assert done.returncode == 1
    _, _, below = done.stdout.partition("short test summary info")
    summary = below.splitlines()[1:-1]
    assert len(summary) == 4, done.stdout  # two runs, their scenario, the verdict
    said = {
        f"SUBFAILED[boundary 1] {ITEM}": "violates stop/next-boundary",
        f"SUBFAILED[boundary 2] {ITEM}": "violates stop/next-boundary",
        f"FAILED {ITEM}": "2 of 2 runs violate stop/next-boundary",
        "FAILED machineid-conformance.toml::worker::verdict": "worker is non-conforming",
    }
    if machine["CI"]:
        assert dict(line.split(" - ") for line in summary) == said
    else:
        assert {line.partition(" - ")[0] for line in summary} == set(said)
        assert all(len(line) <= 100 for line in summary)
    # The whole text stands above, as it did.
    assert done.stdout.count("  expected    no work after the deny of line 6") == 1
    failures = list(ET.parse(tmp_path / "junit.xml").getroot().iter("failure"))
    assert {"2 of 2 runs violate stop/next-boundary", "worker is non-conforming"} <= {
        failure.get("message") for failure in failures
    }


def test_a_should_is_a_warning_and_a_failure_under_strict(repository: Repository) -> None:
    repository.play(fail=[{**FAILING, "rule": "stop/exit-status", "level": "SHOULD"}])
    done = repository.pytest("--machineid-conformance", "-rP")
    assert done.returncode == 0, done.stdout
    assert "warning       stop/exit-status (SHOULD)" in done.stdout
    assert "conformance warnings" in done.stdout
    assert repository.pytest("--machineid-conformance", "--machineid-strict").returncode == 1


def test_an_expected_failure_is_xfailed_and_the_session_is_green(repository: Repository) -> None:
    with (repository.folder / "machineid-conformance.toml").open("a") as file:
        file.write('xfail = { "stop/next-boundary" = { reason = "until OPS-1" } }\n')
    row = {"id": "stop/next-boundary", "level": "MUST", "status": "xfail", "runs": 2, "reason": "until OPS-1"}
    repository.play(fail=[FAILING], rows=[row])
    done = repository.pytest("--machineid-conformance", "-rx")
    assert done.returncode == 0, done.stdout
    assert "verdict       NON-CONFORMING" in done.stdout
    assert f"XFAIL {ITEM}" in done.stdout
    assert "2 xfailed" in done.stdout


def test_an_expected_failure_that_passes_fails_the_verdict(repository: Repository) -> None:
    repository.play(extra={"xfail_problems": ["xfail stop/next-boundary passes: take it out"]})
    done = repository.pytest("--machineid-conformance")
    assert done.returncode == 1
    assert "xfail stop/next-boundary passes: take it out" in done.stdout


def test_an_inconclusive_must_fails_at_the_verdict_and_a_should_is_skipped(repository: Repository) -> None:
    starved = {"status": "inconclusive", "runs": 0, "findings": []}
    should = {"id": "stop/surgical", "level": "SHOULD", "reason": "one device only", **starved}
    repository.play(rows=[should])
    done = repository.pytest("--machineid-conformance", "-v")
    assert done.returncode == 0, done.stdout
    assert "SUBSKIPPED[stop/surgical inconclusive]" in done.stdout
    assert "inconclusive  stop/surgical (SHOULD): one device only" in done.stdout
    must = {"id": "stop/no-orphans", "level": "MUST", "reason": "nothing ended", **starved}
    repository.play(rows=[must])
    done = repository.pytest("--machineid-conformance")
    assert done.returncode == 1
    assert "stop/no-orphans (MUST) is inconclusive: nothing ended" in done.stdout
    assert "FAILED machineid-conformance.toml::worker::verdict" in done.stdout


def test_a_rule_that_only_all_runs_together_violate_is_shown_at_the_verdict(repository: Repository) -> None:
    finding = {"run": "worker/revoke-at-boundary/validate-1", "message": "two outcomes", "events": [8]}
    repository.play(
        rows=[{"id": "stop/exits", "level": "MUST", "status": "fail", "runs": 2, "reason": None, "findings": [finding]}]
    )
    done = repository.pytest("--machineid-conformance")
    assert done.returncode == 1
    assert "stop/exits (MUST) fail: two outcomes" in done.stdout
    assert "violation   two outcomes" in done.stdout
    assert re.search(r"^> +8 ", done.stdout, re.MULTILINE)


def test_what_does_not_count_or_is_left_out_is_skipped_with_the_reason(repository: Repository) -> None:
    repository.play(
        uncounted=[
            {"scenario": "fail-closed-refused", "rule": rule, "reason": "never refused"} for rule in RULES_OF_REFUSED
        ],
        left_out={"surgical-revoke": "needs two devices"},
    )
    done = repository.pytest("--machineid-conformance", "-rs")
    assert done.returncode == 0, done.stdout
    assert "no run counted: never refused" in done.stdout
    assert "needs two devices" in done.stdout


RULES_OF_REFUSED = ("fail-closed/refused", "fail-closed/one-policy", "logging/failure", "logging/failure-reason")


@pytest.mark.parametrize(
    "options",
    [
        ["-k", "revoke-in-flight or verdict"],
        ["machineid-conformance.toml::worker::revoke-in-flight", "machineid-conformance.toml::worker::verdict"],
        ["--machineid-scenario", "revoke-in-flight"],
    ],
)
def test_a_selection_is_incomplete_and_its_verdict_is_skipped(repository: Repository, options: list[str]) -> None:
    done = repository.pytest("--machineid-conformance=only", *options, "-rs")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "incomplete: only a part" in done.stdout
    assert "verdict       INCONCLUSIVE" in done.stdout
    [request] = repository.starts
    assert request["scenarios"] == {"worker": ["revoke-in-flight"]} or request["scenario_globs"] == ["revoke-in-flight"]


def test_a_node_id_right_after_the_flag_is_a_selection_too(repository: Repository) -> None:
    done = repository.pytest("--machineid-conformance", ITEM)
    assert "1 passed" in done.stdout
    assert repository.starts[0]["scenarios"] == {"worker": ["revoke-at-boundary"]}


def test_the_marker_selects(repository: Repository) -> None:
    only = repository.pytest("--machineid-conformance=with-tests", "-m", "machineid_conformance")
    assert f"{ITEMS} passed" in only.stdout
    done = repository.pytest("--machineid-conformance=with-tests", "-m", "not machineid_conformance")
    assert f"2 passed, {ITEMS} deselected" in done.stdout
    assert len(repository.starts) == 1


def test_last_failed_runs_what_failed(repository: Repository) -> None:
    repository.play(fail=[FAILING])
    repository.pytest("--machineid-conformance")
    done = repository.pytest("--machineid-conformance", "--lf")
    assert done.returncode == 1
    assert repository.starts[1]["scenarios"] == {"worker": ["revoke-at-boundary"]}


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_stopping_at_the_first_failure_ends_the_engine(
    repository: Repository, required: Any, workers: list[str]
) -> None:
    required(*["xdist"][: len(workers)])
    repository.play(fail=[{"scenario": "baseline", "rule": "startup/gate"}], wait=True)
    done = repository.pytest("--machineid-conformance", "-x", *workers)
    assert done.returncode in (1, 2), done.stdout
    assert "stopping after" in done.stdout
    assert repository.results["complete"] is False


def test_junit_xml_has_one_case_an_item_and_the_failure_in_it(repository: Repository, tmp_path: Path) -> None:
    repository.play(fail=[FAILING])
    repository.pytest("--machineid-conformance", f"--junitxml={tmp_path / 'junit.xml'}")
    cases = list(ET.parse(tmp_path / "junit.xml").getroot().iter("testcase"))
    failing = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failing == {"revoke-at-boundary", "verdict"}
    assert {"baseline", "verdict"} <= {case.get("name") for case in cases}


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
@pytest.mark.parametrize("error", ["isolation", "configuration", "harness"])
def test_an_engine_that_cannot_start_is_one_error_of_the_session(
    repository: Repository, required: Any, error: str, workers: list[str]
) -> None:
    required(*["xdist"][: len(workers)])
    repository.play(failed={"error": error, "message": "user namespaces are off: sysctl …", "exit": 2})
    done = repository.pytest("--machineid-conformance", *workers)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: user namespaces are off: sysctl …" in done.stderr + done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_with_tests_an_engine_that_cannot_start_leaves_the_user_s_tests_alone(repository: Repository) -> None:
    repository.play(failed={"error": "isolation", "message": "user namespaces are off", "exit": 2})
    done = repository.pytest("--machineid-conformance=with-tests")
    assert done.returncode == 1
    assert "2 passed" in done.stdout
    assert f"{ITEMS} failed" in done.stdout


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_an_engine_that_crashes_says_so_with_the_end_of_its_stderr(
    repository: Repository, required: Any, workers: list[str]
) -> None:
    required(*["xdist"][: len(workers)])
    repository.play(crash="Traceback: the disk is full")
    done = repository.pytest("--machineid-conformance", *workers)
    assert done.returncode == 1
    assert "before it had finished" in done.stdout
    assert "the disk is full" in done.stdout


def test_the_header_says_that_coverage_s_limit_is_lifted(repository: Repository, required: Any) -> None:
    required("pytest_cov")
    done = repository.pytest("-p", "pytest_cov", "--machineid-conformance", "--cov=reports", "--cov-fail-under=90")
    assert "coverage's fail-under is lifted" in done.stdout


def test_ctrl_c_ends_the_engine_and_writes_what_there_is(repository: Repository) -> None:
    repository.play(wait=True)
    process = subprocess.Popen(
        repository.command("--machineid-conformance", "-v"),
        cwd=repository.folder,
        env={**repository.environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        said = ""
        while "::baseline PASSED" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert repository.results["complete"] is False
    assert "completeness  incomplete" in said
