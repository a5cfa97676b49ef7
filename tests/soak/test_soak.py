"""The soak sees a difference when there is one, keeps the cores busy, and leaves nothing behind."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.support import Judged
from tests.matrix.catalogue import Expectation, Isolation, Violation, load_violations
from tests.soak import matrix
from tests.soak.__main__ import main
from tests.soak.equality import differences
from tests.soak.load import busy_cores
from tests.soak.matrix import difference
from tests.soak.outcome import Pass, table

EXPECTED = Expectation(warn=frozenset(), not_applicable=frozenset({"c/d"}), inconclusive=frozenset())
REPORT = Path("report")


def target(*, verdict: str = "conforming", **changed: str) -> dict[str, Any]:
    """A target of results.json with two rules, as they are expected but for ``changed``."""
    rows = {"a/b": "pass", "c/d": "not-applicable"} | {
        name.replace("_", "/"): status for name, status in changed.items()
    }
    return {
        "name": "good",
        "verdict": verdict,
        "runs": [{"id": "good/revoke/1", "trace": "traces/1.jsonl"}],
        "rules": [
            {
                "id": rule,
                "level": "MUST",
                "status": status,
                "runs": 1,
                "reason": None,
                "findings": [{"run": "good/revoke/1", "message": "it went on"}] if status == "fail" else [],
            }
            for rule, status in rows.items()
        ],
    }


FIRST = {"a/b": "pass", "c/d": "not-applicable"}


def test_the_same_is_no_difference() -> None:
    assert difference(target(), EXPECTED, FIRST, REPORT) == []


def test_a_rule_that_fails_is_explained_with_its_trace() -> None:
    (text,) = difference(target(a_b="fail", verdict="non-conforming"), EXPECTED, FIRST, REPORT)
    assert "a/b: fail, not what is written down for it" in text
    assert "a/b: fail, and pass in the first pass" in text
    assert "verdict: non-conforming, expected conforming" in text
    assert "good/revoke/1: it went on" in text
    assert "trace: report/traces/1.jsonl" in text


@pytest.mark.parametrize("status", ["inconclusive", "warn", "xfail", "pass"])
def test_any_other_status_is_a_difference(status: str) -> None:
    rule = "c_d" if status == "pass" else "a_b"
    (text,) = difference(target(**{rule: status}), EXPECTED, FIRST, REPORT)
    assert f"{rule.replace('_', '/')}: {status}" in text


def test_what_is_as_expected_and_not_as_in_the_first_pass_is_a_difference() -> None:
    (text,) = difference(target(), EXPECTED, {**FIRST, "e/f": "info"}, REPORT)
    assert text.startswith("good, e/f: None, and info in the first pass")


def judged(folder: Path, *, status: str, events: list[dict[str, Any]]) -> Judged:
    report = folder / "report"
    report.mkdir(parents=True)
    (report / "1.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    rules = [{"id": "a/b", "status": status, "findings": []}]
    results = {"started_at": folder.name, "targets": [{"rules": rules, "runs": [{"id": "good/1", "trace": "1.jsonl"}]}]}
    return Judged(exit=0, results=results, report=report, stdout="", stderr="")


def test_sessions_are_equal_but_for_times(tmp_path: Path) -> None:
    spawned = {"event": "spawned", "seq": 1, "at": 0.1, "instance": 1}
    said = {"event": "output", "seq": 2, "at": 0.2, "instance": 1, "stream": "stdout", "text": "one"}
    reference = judged(tmp_path / "1", status="pass", events=[spawned, said])
    same = judged(tmp_path / "2", status="pass", events=[{**said, "seq": 1}, {**spawned, "seq": 2, "at": 0.3}])
    assert differences(reference, same, names=("run", "pytest")) == []

    other = judged(tmp_path / "3", status="fail", events=[spawned, {**said, "text": "two"}])
    results, trace = differences(reference, other, names=("run", "pytest"))
    assert "pytest differs from run in results.json" in results
    assert '"status": "fail"' in results
    assert "pytest differs from run in good/1, channel output 1 stdout" in trace
    assert '"text": "two"' in trace
    assert differences(reference, other, names=("run", "pytest"), traces=False) == [results]


def test_how_far_a_body_had_dripped_is_a_time_and_what_was_cut_is_not(tmp_path: Path) -> None:
    def session(name: str, evidence: str) -> Judged:
        return judged(
            tmp_path / name, status="pass", events=[{"event": "fault-delivered", "seq": 1, "evidence": evidence}]
        )

    reference = session("1", "FIN received 1.9 s after the request, 3 of 88 body bytes sent")
    later = session("2", "FIN received 2.1 s after the request, 4 of 88 body bytes sent")
    assert differences(reference, later, names=("run", "pytest")) == []
    other = session("3", "FIN received 2.1 s after the request, 4 of 90 body bytes sent")
    assert len(differences(reference, other, names=("run", "pytest"))) == 1


def test_busy_cores_compute_and_end() -> None:
    with busy_cores() as burning:
        assert len(burning) == len(os.sched_getaffinity(0))
        for process in burning:
            clock = time_of(process.pid)
            while time_of(process.pid) <= clock:
                os.sched_yield()
    assert all(process.returncode is not None for process in burning)


def time_of(process: int) -> int:
    """Ticks that a process has computed for (proc(5), utime)."""
    return int(Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11])


def test_a_burner_that_ended_early_is_said() -> None:
    def killed() -> None:
        with busy_cores() as burning:
            burning[0].kill()
            burning[0].wait()

    with pytest.raises(RuntimeError, match=r"1 of .* ended before the work did"):
        killed()


def test_the_table_sums_up_each_stage() -> None:
    passes = [Pass(stage="one", number=1, runs=10, seconds=1.0), Pass(stage="one", number=2, runs=10, seconds=2.0)]
    passes[1].differences.append("x")
    heading, row = table(passes)
    assert heading.split()[:4] == ["passes", "runs", "differences", "seconds"]
    assert row.split() == ["one", "2", "20", "1", "3", "0"]


# -- real passes ----------------------------------------------------------------------------------------------------------------


def test_two_passes_of_a_violating_runtime(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--only", "plain-print", "--times", "2", "--report", str(tmp_path)]) == 0
    first, second, *_, row = capsys.readouterr().out.splitlines()
    assert first.startswith("matrix in namespace isolation, pass 1: no difference, 6 runs, ")
    assert second.startswith("matrix in namespace isolation, pass 2: no difference, 6 runs, ")
    assert row.split()[-5:-2] == ["2", "12", "0"]
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_difference_ends_with_1_and_keeps_its_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(isolation: Isolation) -> tuple[Violation, ...]:
        return tuple(replace(one, fails=frozenset({"logging/code"})) for one in load_violations(isolation))

    monkeypatch.setattr(matrix, "load_violations", mistaken)
    assert main(["matrix", "--only", "plain-print", "--report", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "pass 1: 1 differences" in said
    assert "logging/code: pass, not what is written down for it" in said
    assert "logging/structured: warn, not what is written down for it" in said
    assert len(list(tmp_path.rglob("*.jsonl"))) == 6


def test_a_name_that_nobody_has_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--only", "nobody", "--report", str(tmp_path)]) == 2
    assert "no runtime of tests/runtimes is called nobody" in capsys.readouterr().err
    assert main(["matrix", "--only", "urllib3-worker", "--isolation", "proxy", "--report", str(tmp_path)]) == 2
