"""How strict the verdict is: profiles, ``stop_within``, ``strict`` and ``xfail``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.support import WORKER, configure, judge

ONE_GATE_A_UNIT = """
from client import gate, register, send

register()
gate("startup")
while send("GET", "queue.example", "/next")[0] == 200:
    gate("task")
    send("POST", "api.example", "/charge", "{}")
    send("POST", "api.example", "/mail", "{}")
"""

QUEUE = """
[[targets.worker.effects]]
match = { host = "queue.example" }
role = "task-source"
answers = [{ json = { id = 1 } }, { json = { id = 2 } }, { status = 204 }]
"""

STARTUP_ONLY = ONE_GATE_A_UNIT.replace('    gate("task")\n', "")


@pytest.mark.parametrize(
    ("program", "profile", "failing"),
    [
        (ONE_GATE_A_UNIT, "low", set()),
        (ONE_GATE_A_UNIT, "medium", set()),
        (ONE_GATE_A_UNIT, "high", {"placement/side-effect"}),
        (STARTUP_ONLY, "low", set()),
        (STARTUP_ONLY, "medium", {"placement/task"}),
        (STARTUP_ONLY, "high", {"placement/side-effect", "placement/task"}),
    ],
)
def test_a_profile_says_where_boundaries_must_be(tmp_path: Path, program: str, profile: str, failing: set[str]) -> None:
    judged = judge(configure(tmp_path / "target", f'profile = "{profile}"\n{QUEUE}', program=program))
    assert judged.having("fail") == failing, judged.explain()
    at_high = " ".join(judged.target()["at_high"])
    assert ("placement/side-effect" in at_high) == (profile != "high")  # a lower profile says what high would find
    skipped = judged.having("not-applicable")
    assert ("placement/side-effect" in skipped) == (profile != "high")
    assert ("placement/task" in skipped) == (profile == "low")


def test_the_profile_of_the_command_line_goes_before(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", f'profile = "low"\n{QUEUE}', program=ONE_GATE_A_UNIT)
    judged = judge(config, options=("--profile", "high"))
    assert judged.having("fail") == {"placement/side-effect"}


LINGERING = WORKER.replace(
    "from client import gate, register, send",
    """import threading
from client import Refused, register, send
import client


def gate(boundary):
    try:
        client.gate(boundary)
    except Refused:
        threading.Event().wait(0.7)
        raise""",
)


@pytest.mark.parametrize(
    ("key", "level", "status"),
    [('stop_within = "0.5s"', "MUST", "fail"), ('stop_within = "60s"', "MUST", "pass"), ("", "report", "info")],
)
def test_stop_within_makes_latency_a_must(tmp_path: Path, key: str, level: str, status: str) -> None:
    config = configure(tmp_path / "target", key, program=LINGERING)
    judged = judge(config, scenarios=("revoke-at-boundary",), options=("--boundary", "2"))
    row = judged.rule("stop/latency")
    assert (row["level"], row["status"]) == (level, status), judged.printed
    assert judged.target()["stop_latency"]["deny_to_end"]["min"] >= 0.7


EXITS_ZERO = WORKER.replace("register()", "client.Refused = lambda status: SystemExit(0)\nregister()", 1).replace(
    "from client import", "import client\nfrom client import", 1
)


@pytest.mark.parametrize(("keys", "options"), [("strict = true", ()), ("", ("--strict",)), ("", ())])
def test_strict_makes_a_warning_a_failure(tmp_path: Path, keys: str, options: tuple[str, ...]) -> None:
    config = configure(tmp_path / "target", keys, program=EXITS_ZERO)
    judged = judge(config, scenarios=("startup-revoked",), options=options)
    strict = bool(keys or options)
    assert judged.status("stop/exit-status") == ("fail" if strict else "warn"), judged.printed
    assert judged.exit == (1 if strict else 3)
    assert judged.target()["verdict"] == ("non-conforming" if strict else "inconclusive")


def test_an_expected_failure_that_has_expired(tmp_path: Path) -> None:
    keys = 'xfail = { "placement/side-effect" = { reason = "until OPS-1", until = 2020-01-31 } }\nprofile = "high"\n'
    judged = judge(configure(tmp_path / "target", keys + QUEUE, program=ONE_GATE_A_UNIT))
    assert judged.exit == 1
    assert judged.status("placement/side-effect") == "fail"
    (problem,) = judged.target()["xfail_problems"]
    assert "expired on 2020-01-31 (until OPS-1)" in problem


def test_an_expected_failure_that_passes(tmp_path: Path) -> None:
    """Only a whole session can say so: in a selection, the run that violates the rule may be left out."""
    keys = 'grace_window = "2s"\nsweep = "classes"\nxfail = { "startup/gate" = { reason = "until OPS-1" } }'
    config = configure(tmp_path / "target", keys)
    judged = judge(config, scenarios=())
    assert judged.exit == 1, judged.printed
    (problem,) = judged.target()["xfail_problems"]
    assert problem == "xfail 'startup/gate' (until OPS-1): the rule passes; remove the entry"
    assert f"problem {problem}" in judged.text

    for options in (
        ("--scenario", "baseline"),
        ("--rule", "startup/gate"),
        ("--boundary", "1", "--scenario", "revoke-*"),
    ):
        narrowed = judge(config, scenarios=(), options=options)
        assert narrowed.exit == 3, narrowed.printed
        assert narrowed.status("startup/gate") == "pass"
        assert narrowed.target()["xfail_problems"] == []


def test_a_declared_failure_keeps_the_verdict_and_ends_with_0(tmp_path: Path) -> None:
    """The whole catalogue, since only a whole session can end with 0."""
    keys = """
    env = { PATIENCE = "3" }
    preregistered = true
    profile = "high"
    sweep = "classes"
    grace_window = "2s"
    xfail = { "placement/side-effect" = { reason = "two effects a unit until OPS-1", until = 2999-01-31 } }
    """
    program = """
    from client import gate, send

    gate("startup")
    send("POST", "api.example", "/charge", "{}")
    send("POST", "api.example", "/mail", "{}")
    """
    judged = judge(configure(tmp_path / "target", keys, program=program), scenarios=())
    assert judged.exit == 0, judged.printed
    assert judged.document["complete"] is True
    assert judged.target()["sweep"] == "classes"
    assert judged.document["verdict"] == "non-conforming"
    assert judged.having("xfail", "fail") == {"placement/side-effect"}
    assert judged.rule("placement/side-effect")["reason"] == "two effects a unit until OPS-1"
