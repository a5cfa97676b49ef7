"""Minutes of a target's waiting in seconds, where that can be had; and where it cannot, that it is said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.features.support import Judged, configure, judge, require

WAITS = """
import subprocess, time
from client import allowed, gate, register, send

register()
gate("startup")
for number in range(2):
    if not allowed("task"):
        time.sleep(600)  # and goes on, as if that were an answer
    send("POST", "api.example", "/work", str(number))
"""
SLEEPS = "time.sleep(600)"
WITHOUT_ENVIRONMENT = 'subprocess.run(["sleep", "600"], env={"PATH": "/usr/bin:/bin"})'
PROXIED = """
import json, os, subprocess, time, urllib.request

def send(url, body, **headers):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)

def call(operation):
    body = {"deviceId": os.environ["MACHINEID_DEVICE_ID"]}
    return send("https://machineid.io/api/v1/devices/" + operation, body, **{"x-org-key": os.environ["MACHINEID_ORG_KEY"]})

def allowed():
    try:
        return call("validate")["allowed"]
    except OSError as error:
        print("validate failed:", error, flush=True)

call("register")
for number in range(2):
    if not allowed():
        time.sleep(600)
    send("https://api.example/work", number)
"""
"""The same, on a client that honours proxy variables."""
LASTS = ("outage-lasts",)
CUT = 'grace_window_real = "1s"'


def time_of(judged: Judged) -> Mapping[str, Any]:
    """What results.json says of the target's time."""
    found: Mapping[str, Any] = judged.target()["target_time"]
    return found


def assert_real(judged: Judged, because: str) -> None:
    """Time was real, and who reads the summary is told why and what was not seen."""
    assert because in time_of(judged)["real_because"], judged.printed
    assert because in judged.text
    assert 1 <= time_of(judged)["outages_watched"] < 600
    assert "outages were watched for 1 s)" in judged.text
    assert judged.status("degraded/no-grace") != "fail"  # ten minutes were not watched


def test_a_grace_of_ten_minutes_is_found_in_seconds(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", program=WAITS), scenarios=LASTS)
    assert judged.status("degraded/no-grace") == "fail", judged.printed
    assert time_of(judged) == {"real_because": None, "outages_watched": None}
    late = [run.record for run in judged.runs(*LASTS) if run.record["boundary"] > 1]
    assert late
    for run in late:
        assert run["seconds"] > 600
        assert run["wall_seconds"] < run["seconds"] / 5
        assert run["speed"] > 20
    assert {run.record["speed"] for run in judged.runs()} == {1}  # the baseline's
    assert "times as fast as real time while the target waits" in judged.text


def test_a_factor_is_the_highest_rate(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", program=WAITS.replace("600", "30"))
    judged = judge(config, scenarios=LASTS, options=("--speed", "30"))
    assert judged.status("degraded/no-grace") == "fail", judged.printed
    assert max(run.record["speed"] for run in judged.runs(*LASTS)) == 30


@pytest.mark.parametrize(
    ("keys", "compiler", "because"),
    [
        ("speed = 1", "cc", "speed = 1"),
        ("", "no-such-compiler", "there is no such program"),
        ('expose = ["/usr/lib"]', "cc", "expose leads to real services"),
    ],
    ids=["asked-for", "no-compiler", "expose"],
)
def test_real_time_is_said_and_how_long_was_watched(tmp_path: Path, keys: str, compiler: str, because: str) -> None:
    config = configure(tmp_path / "target", f"{keys}\n{CUT}", program=WAITS)
    environment = {"CC": compiler, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert_real(judge(config, scenarios=LASTS, environment=environment), because)


def test_a_static_program_keeps_all_of_its_target_in_real_time(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    require(compiler, "a C compiler")
    folder = tmp_path / "target"
    config = configure(folder, CUT, program=WAITS.replace(SLEEPS, 'subprocess.run(["./waits"])'))
    source = tmp_path / "waits.c"
    source.write_text("#include <unistd.h>\nint main(void) { return sleep(600); }\n")
    subprocess.run([str(compiler), "-static", "-o", str(folder / "waits"), str(source)], check=True)
    judged = judge(config, scenarios=LASTS)
    assert "'./waits' does not load the library" in judged.text, judged.printed
    assert_real(judged, "does not load the library")


def test_programs_that_get_another_environment_are_in_target_time_too(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", program=WAITS.replace(SLEEPS, WITHOUT_ENVIRONMENT))
    judged = judge(config, scenarios=LASTS)
    assert judged.status("degraded/no-grace") == "fail", judged.printed
    assert time_of(judged)["real_because"] is None


@pytest.mark.parametrize("waits", [SLEEPS, WITHOUT_ENVIRONMENT], ids=["itself", "by-another"])
def test_in_proxy_isolation_the_library_goes_by_a_variable(tmp_path: Path, waits: str) -> None:
    """A program without the variable keeps real time, and that is seen."""
    config = configure(tmp_path / "target", CUT, program=PROXIED.replace(SLEEPS, waits))
    judged = judge(config, scenarios=LASTS, options=("--isolation", "proxy"))
    if waits == SLEEPS:
        assert time_of(judged)["real_because"] is None, judged.printed
        assert max(run.record["speed"] for run in judged.runs(*LASTS)) > 20
    else:
        assert_real(judged, "'sleep 600' does not load the library")
