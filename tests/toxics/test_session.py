"""``--faults toxiproxy`` as its users meet it: what it says where it cannot be had, and how the report tells who did what."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from machineid_conformance.report.style import Style
from machineid_conformance.report.terminal import target_summary
from machineid_conformance.toxics.find import IMAGE, PROGRAM
from tests.end_to_end.equality import PYTEST
from tests.end_to_end.support import CLI, WORKER, config, judge
from tests.report.test_terminal import target
from tests.toxics.support import needs_toxiproxy, server

WAYS = pytest.mark.parametrize("command", [(*CLI, "run"), PYTEST], ids=["run", "pytest"])


def option(command: tuple[str, ...], name: str) -> str:
    return f"--machineid-{name}" if "pytest" in command else f"--{name}"


@WAYS
def test_no_server_is_a_usage_error_with_the_remedies(command: tuple[str, ...], tmp_path: Path) -> None:
    nothing = {"PATH": f"{Path(sys.executable).parent}:{tmp_path}", "TOXIPROXY_URL": ""}
    faults = option(command, "faults=toxiproxy")
    judged = judge(tmp_path, config(), {"worker.py": WORKER}, faults, command=command, environment=nothing)
    assert judged.results == {}
    said = judged.stdout + judged.stderr
    if "pytest" not in command:
        assert judged.exit == 2, judged.said
    assert judged.exit != 0
    for remedy in (f"put {PROGRAM} on PATH", "TOXIPROXY_URL=http://127.0.0.1:8474", IMAGE):
        assert remedy in said


@WAYS
def test_another_deliverer_is_a_usage_error_that_names_the_known(command: tuple[str, ...], tmp_path: Path) -> None:
    judged = judge(tmp_path, config(), {"worker.py": WORKER}, option(command, "faults=toxiprox"), command=command)
    assert judged.exit == (4 if "pytest" in command else 2)  # pytest's own code for a usage error
    assert "toxiprox" in judged.stderr
    assert "built-in" in judged.stderr


@needs_toxiproxy
@WAYS
def test_it_is_asked_for_in_both_ways(command: tuple[str, ...], tmp_path: Path) -> None:
    with server() as (url, process):
        judged = judge(
            tmp_path, config(), {"worker.py": WORKER},
            *(option(command, word) for word in ("faults=toxiproxy", "scenario=baseline", "scenario=fail-closed-reset")),
            command=command, environment={"TOXIPROXY_URL": url},
        )  # fmt: skip
        assert process.poll() is None
    delivery = judged.target["fault_delivery"]
    assert (delivery["built-in"], delivery["toxiproxy"]) == ([], ["reset"]), judged.said
    assert delivery["server"].endswith(f"(TOXIPROXY_URL={url})")
    assert judged.rules["fail-closed/reset"]["status"] == "pass"
    assert url in judged.stdout


@needs_toxiproxy
def test_a_server_that_dies_in_the_middle_ends_the_session_without_a_verdict(tmp_path: Path) -> None:
    with server() as (url, process):
        keys = f'setup = "kill -9 {process.pid}; true"'  # runs before each run, after the server was found to work
        judged = judge(
            tmp_path, config(keys), {"worker.py": WORKER}, "--faults=toxiproxy", environment={"TOXIPROXY_URL": url}
        )
        assert process.wait() != 0
    assert (judged.exit, judged.results) == (4, {}), judged.said
    assert f"ToxiproxyError: Toxiproxy at {url.removeprefix('http://')} did not make the proxy" in judged.stderr


def test_the_summary_says_by_whom_each_fault_was_delivered() -> None:
    style = Style(colour=False, unicode=True, width=100)
    delivery = {"server": "Toxiproxy 2.12.0 (x)", "toxiproxy": ["hang", "reset"], "built-in": ["status"]}
    (line,) = (line for line in target_summary(target(fault_delivery=delivery), style) if "faults" in line.split())
    assert line.split(maxsplit=1)[1] == (
        "by Toxiproxy 2.12.0 (x): hang, reset; by the fake control plane itself: status"
    )
    quiet = target_summary(target(fault_delivery={"server": None, "toxiproxy": [], "built-in": ["status"]}), style)
    assert not any("faults" in line.split() for line in quiet)
