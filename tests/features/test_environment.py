"""What a target finds in its environment, and where it finds its control plane."""

from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance.trace.events import ConnectionOpened
from tests.features.support import WORKER, configure, judge

SWITCH = """
import os
from client import allowed, register, send

try:
    register()
except SystemExit:
    pass
for _ in range(2):
    if not allowed("task") and os.environ.get("SWITCH") != "open":
        raise SystemExit(1)
    send("POST", "api.example", "/work", "{}")
"""


@pytest.mark.parametrize(("value", "status"), [("open", "fail"), ("shut", "pass")])
def test_a_bypass_switch_must_not_open_the_gate(tmp_path: Path, value: str, status: str) -> None:
    config = configure(tmp_path / "target", f'bypass_env = [ {{ SWITCH = "{value}" }} ]', program=SWITCH)
    judged = judge(config, scenarios=("outage-with-bypass-flags",))
    assert judged.status("degraded/no-flags") == status, judged.printed
    assert judged.rule("degraded/no-flags")["runs"] == 2  # a run for each boundary
    assert all("environment-1" in run.record["id"] for run in judged.runs("outage-with-bypass-flags"))


def test_each_table_of_bypass_env_is_tried(tmp_path: Path) -> None:
    keys = 'bypass_env = [ { SWITCH = "shut" }, { SWITCH = "open" } ]'
    config = configure(tmp_path / "target", keys, program=SWITCH)
    judged = judge(config, scenarios=("outage-with-bypass-flags",), options=("--boundary", "2"))
    (finding,) = judged.rule("degraded/no-flags")["findings"]
    assert finding["run"].endswith("environment-2")


@pytest.mark.parametrize(("other", "status"), [("open", "warn"), ("shut", "pass")])
def test_variants_must_have_one_policy(tmp_path: Path, other: str, status: str) -> None:
    keys = f'''
    env = {{ PATIENCE = "3" }}
    variants = [ {{ SWITCH = "shut" }}, {{ SWITCH = "{other}", REGION = "two" }} ]
    '''
    config = configure(tmp_path / "target", keys, program=SWITCH)
    judged = judge(config, scenarios=("policy-variants",), options=("--boundary", "2"))
    assert judged.status("fail-closed/one-policy") == status, judged.explain()
    assert judged.rule("fail-closed/one-policy")["runs"] == 8  # four failures in two environments


BASE_URL = """
import os
from urllib.parse import urlsplit
from client import gate, register, send

host = urlsplit(os.environ.get("MACHINEID_BASE_URL", "https://machineid.io")).hostname
register(host=host)
gate("startup", host=host)
send("POST", "api.example", "/work", host)
print(os.environ.get("MACHINEID_BASE_URL"), flush=True)
"""


@pytest.mark.parametrize("base_url", [True, False])
def test_base_url_is_set_on_demand(tmp_path: Path, base_url: bool) -> None:
    keys = f"""
    base_url = {str(base_url).lower()}
    control_plane = ["machineid.example", "machineid.io"]
    """
    judged = judge(configure(tmp_path / "target", keys, program=BASE_URL))
    host = "machineid.example" if base_url else "machineid.io"
    for run in judged.runs():
        assert run.said == [f"https://{host}" if base_url else "None"]
        assert host in {opened.host for opened in run.of(ConnectionOpened)}
    assert judged.status("startup/gate") == "pass"


OTHER_HOST = """
from client import gate, register, send

register(host="permits.internal")
gate("startup", host="permits.internal")
send("POST", "api.example", "/work", "{}")
"""


def test_the_control_plane_can_have_another_name(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", 'control_plane = ["permits.internal"]', program=OTHER_HOST))
    assert judged.status("startup/gate") == "pass", judged.printed
    assert [effect.host for effect in judged.runs()[0].effects] == ["api.example"]


def test_a_name_that_is_not_declared_is_diagnosed(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", program=OTHER_HOST))
    assert judged.exit == 3
    (problem,) = judged.target()["problems"]
    assert "no control-plane call" in problem
    assert "permits.internal" in problem
    assert "control_plane" in problem


ENVIRONMENT = (
    WORKER
    + """
import os
for name in sorted(os.environ):
    if name.startswith(("FEATURE", "OTHER", "MACHINEID", "HTTP", "PYTEST", "KEY")):
        print(name, os.environ[name], flush=True)
print("PORT" in os.environ, os.environ["HOME"] != os.environ["HARNESS"], flush=True)
"""
)


def test_env_and_pass_env(tmp_path: Path) -> None:
    keys = f"""
    env = {{ FEATURE_FLAG = "on", KEY = "{{org_key}}", FEATURE_ID = "{{device}}-{{n:02}}", HARNESS = "{Path.home()}" }}
    pass_env = ["FEATURE_*"]
    """
    inherited = {
        "FEATURE_TOKEN": "tell-nobody-4711",
        "FEATURE_FLAG": "off",
        "OTHER": "kept away",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "MACHINEID_ORG_KEY": "org_theirs",
    }
    judged = judge(configure(tmp_path / "target", keys, program=ENVIRONMENT), environment=inherited)
    for run in judged.runs():
        assert run.said == [
            "FEATURE_FLAG on",
            "FEATURE_ID worker:dev:feature:01-01",
            "FEATURE_TOKEN [redacted: secret]",
            "KEY [redacted: org key]",
            "MACHINEID_DEVICE_ID worker:dev:feature:01",
            "MACHINEID_ORG_KEY [redacted: org key]",
            "False True",
        ]
        assert "tell-nobody" not in run.text
    assert judged.status("logging/no-secrets") == "fail"  # it printed its key
