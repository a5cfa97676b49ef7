"""Who a target is: instances, groups that share an org, devices that exist already."""

from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance.trace.events import ControlRequest, EffectStarted, Spawned
from tests.features.support import configure, judge, write_program

LOOP = """
from client import gate, register, send

register()
gate("startup")
while True:
    gate("task")
    send("POST", "api.example", "/work", "{}")
"""


def test_each_instance_has_a_device_of_its_own(tmp_path: Path) -> None:
    keys = """
    instances = 2
    profile = "high"
    """
    config = configure(tmp_path / "target", keys, program=LOOP, device="worker:dev:feature:{n:02}")
    judged = judge(config, scenarios=("replicas", "surgical-revoke"))
    assert judged.having("fail", "warn") == set(), judged.explain()
    assert {"identity/per-replica", "identity/declared-device", "stop/surgical"} <= judged.having("pass"), (
        judged.printed
    )
    (run,) = judged.runs("replicas")
    assert [(spawned.instance, spawned.device) for spawned in run.of(Spawned)] == [
        (1, "worker:dev:feature:01"),
        (2, "worker:dev:feature:02"),
    ]


def test_two_instances_that_share_one_id_are_warned_of(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", "instances = 2", program=LOOP), scenarios=("replicas",))
    assert judged.status("identity/per-replica") == "warn", judged.printed
    assert judged.having("fail") == set(), judged.explain()


PAIR = """
import os
from client import DEVICE, gate, register, send

helper = DEVICE.replace("worker", "helper")
register()
register(helper)
gate("startup")
gate("handoff", helper)
send("POST", "helper.example", "/work", "{}")
gate("task")
send("POST", "api.example", "/work", "{}")
"""


def test_instances_with_several_devices_each(tmp_path: Path) -> None:
    """The second instance is ``worker:…:02``, not the second device of the first; a rule's device is filled in likewise."""
    keys = """
    devices = ["worker:dev:feature:{n:02}", "helper:dev:feature:{n:02}"]
    instances = 2
    profile = "high"
    [[targets.worker.effects]]
    match = { host = "helper.example" }
    device = "helper:dev:feature:{n:02}"
    """
    judged = judge(configure(tmp_path / "target", keys, program=PAIR, device=None), scenarios=("replicas",))
    assert judged.having("fail", "warn") == set(), judged.explain()
    (run,) = judged.runs("replicas")
    assert [spawned.device for spawned in run.of(Spawned)] == ["worker:dev:feature:01", "worker:dev:feature:02"]
    assert {(effect.instance, effect.device) for effect in run.of(EffectStarted)} == {
        (1, "helper:dev:feature:01"),
        (1, "worker:dev:feature:01"),
        (2, "helper:dev:feature:02"),
        (2, "worker:dev:feature:02"),
    }


GROUP = """
[targets.job]
command = ["python", "worker.py"]
device = "job:dev:feature:01"
horizon = 3

[groups.pair]
targets = ["worker", "job"]
"""


def test_a_group_shares_an_org_and_is_stopped_one_by_one(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", GROUP, program=LOOP)
    judged = judge(config, scenarios=("surgical-revoke",), options=("--boundary", "1"))
    for target in ("worker", "job"):
        assert judged.rule("stop/surgical", target)["status"] == "pass", judged.printed
        assert judged.rule("stop/surgical", target)["runs"] >= 1
    (run,) = judged.runs("surgical-revoke")
    assert {call.device for call in run.of(ControlRequest)} == {"worker:dev:feature:01", "job:dev:feature:01"}
    assert {call.key for call in run.of(ControlRequest)} == {"current"}


PEERS = """
import http.client, threading
from client import KEY, request


def devices():
    connection = http.client.HTTPSConnection("machineid.io", timeout=60)
    _, body = request(connection, "GET", "/api/v1/devices/list", **{"x-org-key": KEY})
    return body.decode().replace(" ", "")


def until(condition, tries):
    pause = threading.Event()
    for _ in range(tries):
        if condition(devices()):
            return True
        pause.wait(0.1)
    return False
"""

LEADER = """
from client import gate, register, send
from peers import until

register()
gate("startup")
if until(lambda devices: "job:" in devices, 50):  # alone in the fault-free runs
    until(lambda devices: "job:dev:feature:done" in devices, 600)
while True:
    gate("task")
    send("POST", "api.example", "/work", "{}")
"""

FOLLOWER = """
from client import DEVICE, gate, register, send
from peers import until

register()
gate("task")
send("POST", "api.example", "/work", "{}")
register("job:dev:feature:done")
until(lambda devices: '"revoked":true' in devices, 600)
raise SystemExit(1)
"""


def test_a_runtime_that_stops_with_every_other_is_warned_of(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", GROUP.replace('"worker.py"', '"job.py"'), program=LEADER)
    write_program(config.parent, "peers.py", PEERS)
    write_program(config.parent, "job.py", FOLLOWER)
    judged = judge(config, scenarios=("surgical-revoke",), options=("--boundary", "2", "--target", "worker"))
    assert judged.status("stop/surgical") == "warn", judged.printed
    (finding,) = judged.rule("stop/surgical")["findings"]
    assert "job:dev:feature:01" in finding["message"]


STRANGER = """
from client import gate, send

gate("startup")
send("POST", "api.example", "/work", "{}")
"""


@pytest.mark.parametrize("declared", [True, False])
def test_preregistered_devices_need_no_register(tmp_path: Path, declared: bool) -> None:
    keys = "preregistered = true" if declared else ""
    config = configure(tmp_path / "target", keys, program=STRANGER)
    judged = judge(config, scenarios=("startup-revoked", "startup-cap"))
    worked = any(run.effects for run in judged.runs())
    if declared:
        assert worked
        assert judged.having("fail", "warn") == set(), judged.explain()
        assert judged.status("startup/denied") == "pass"
        assert {"identity/register-first", "startup/cap"} <= judged.having("not-applicable")
    else:
        assert not worked  # its device is unknown to the control plane
        assert judged.status("identity/register-first") == "fail"


def test_preregistered_companions_work_too(tmp_path: Path) -> None:
    program = LOOP.replace("register()\n", "")
    config = configure(
        tmp_path / "target",
        "preregistered = true\n" + GROUP.replace("horizon", "preregistered = true\nhorizon"),
        program=program,
    )
    judged = judge(config, scenarios=("surgical-revoke",), options=("--boundary", "1", "--target", "worker"))
    assert judged.status("stop/surgical") == "pass", judged.printed
