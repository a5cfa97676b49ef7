"""Effect rules: what each kind of match catches, which role it gives, and what is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.support import DEVICE, Judged, Run, configure, judge

EVERYTHING = """
import smtplib, socket, time
from client import gate, log, register, send

register()
gate("startup")
for _ in range(3):
    status, body = send("GET", "queue.example", "/next?limit=1")
    log(status=status, body=body.decode())
gate("task")
print("CHARGED 7", flush=True)
with open("results.csv", "w") as results:
    results.write("7\\n")
    results.flush()
    log(written=7)  # between two writes of one file
    results.write("8\\n")
with socket.create_connection(("broker.example", 9092)) as connection:
    connection.sendall(b"publish")
with smtplib.SMTP("mail.example", 25) as mail:
    mail.sendmail("a@example", ["b@example"], "hello")
send("POST", "api.example", "/do", '{"kind": "transfer"}')
send("POST", "api.example", "/do", '{"kind": "other"}')
for part in range(3):
    send("PUT", "store.example", "/parts/%d" % part, "bytes")
send("POST", "telemetry.example", "/v1", "{}")
"""

RULES = """
[[targets.worker.effects]]
match = { method = "GET", host = "queue.example", path = "/next" }
role = "task-source"
label = "dequeue"
answers = [{ json = { id = 1 } }, { status = 503, text = "later", headers = { Retry-After = "1" } }, { status = 204 }]

[[targets.worker.effects]]
match = { stdout = "^CHARGED \\\\d+$" }
label = "charge"

[[targets.worker.effects]]
match = { file = "*.csv" }
label = "report"

[[targets.worker.effects]]
match = { tcp = "broker.*:9092" }
label = "publish"

[[targets.worker.effects]]
match = { smtp = true }
label = "mail"

[[targets.worker.effects]]
match = { host = "api.example", body = '"transfer"' }
role = "tool-call"
label = "transfer"

[[targets.worker.effects]]
match = { host = "store.example" }
group = "upload"
label = "upload"

[[targets.worker.effects]]
match = { host = "telemetry.example" }
role = "ignore"
"""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return judge(configure(tmp_path_factory.mktemp("effects") / "target", RULES, program=EVERYTHING))


@pytest.fixture(scope="module")
def first(everything: Judged) -> Run:
    return everything.runs()[0]


@pytest.mark.parametrize(
    ("label", "transport", "role"),
    [
        ("dequeue", "http", "task-source"),
        ("charge", "output", "side-effect"),
        ("report", "file", "side-effect"),
        ("publish", "tcp", "side-effect"),
        ("mail", "smtp", "side-effect"),
        ("transfer", "http", "tool-call"),
        ("POST api.example/do", "http", "side-effect"),
        ("POST telemetry.example/v1", "http", "ignore"),
    ],
)
def test_match(first: Run, label: str, transport: str, role: str) -> None:
    found = [effect for effect in first.effects if effect.label == label]
    assert {(effect.transport, effect.role, effect.device) for effect in found} == {(transport, role, DEVICE)}
    assert len(found) == (3 if label == "dequeue" else 1)


def test_every_rule_matched(everything: Judged) -> None:
    assert everything.target()["problems"] == []


def test_answers_come_in_order_and_start_over_with_each_run(everything: Judged) -> None:
    for run in everything.runs():
        assert run.said[:3] == [
            '{"status": 200, "body": "{\\"id\\": 1}"}',
            '{"status": 503, "body": "later"}',
            '{"status": 204, "body": ""}',
        ]


def test_requests_of_a_group_in_a_row_are_one_effect(first: Run) -> None:
    uploads = [effect for effect in first.effects if effect.label == "upload"]
    assert [effect.joins for effect in uploads] == [None, uploads[0].effect, uploads[0].effect]


UPLOAD = """
from client import gate, register, send

register()
gate("startup")
gate("upload")
for part in range(3):
    send("PUT", "store.example", "/parts/%d" % part, "bytes")
"""


@pytest.mark.parametrize(("group", "status"), [('group = "upload"', "pass"), ("", "fail")])
def test_one_permit_covers_a_group(tmp_path: Path, group: str, status: str) -> None:
    keys = f"""
    profile = "high"
    [[targets.worker.effects]]
    match = {{ host = "store.example" }}
    label = "upload"
    {group}
    """
    judged = judge(configure(tmp_path / "target", keys, program=UPLOAD))
    assert judged.status("placement/side-effect") == status, judged.explain()


CARELESS = """
import os, smtplib, socket
from client import allowed, gate, register, send

opened = []


def work():
    way = os.environ["WAY"]
    if way == "stdout":
        print("CHARGED", flush=True)
    elif way == "file":
        os.makedirs("out", exist_ok=True)
        with open("out/7.csv", "a") as results:
            results.write("7")
    elif way == "file kept open":
        if not opened:
            opened.append(open("results.csv", "a"))
        print("7", file=opened[0], flush=True)
    elif way == "tcp":
        socket.create_connection(("broker.example", 9092)).close()
    else:
        with smtplib.SMTP("mail.example", 25) as mail:
            mail.sendmail("a@example", ["b@example"], "hello")


register()
gate("startup")
work()
allowed("task")
work()
"""

WAYS = {
    "stdout": 'stdout = "CHARGED"',
    "file": 'file = "out/*.csv"',
    "file kept open": 'file = "results.csv"',
    "tcp": 'tcp = "broker.example:*"',
    "smtp": "smtp = true",
}


@pytest.mark.parametrize("way", WAYS)
def test_work_after_a_deny_is_caught_whatever_its_way(tmp_path: Path, way: str) -> None:
    keys = f"""
    env = {{ WAY = "{way}" }}
    [[targets.worker.effects]]
    match = {{ {WAYS[way]} }}
    """
    config = configure(tmp_path / "target", keys, program=CARELESS)
    judged = judge(config, scenarios=("revoke-at-boundary",), options=("--boundary", "2"))
    assert judged.exit == 1, judged.printed
    assert judged.status("stop/next-boundary") == "fail", judged.printed
    assert judged.status("startup/gate") == "pass", judged.explain()


AFTER_THE_DENY = """
from client import DEVICE, KEY, call, json, register, send

register()
status, body = call("validate", DEVICE)
answer = json.loads(body)
if answer["allowed"] is not True:
    record = {"device": DEVICE, "boundary": "startup", "code": answer["code"], "request_id": answer["request_id"]}
    send("POST", "alerts.example", "/", json.dumps(record))
    send("POST", "queue.example", "/nack", "{}")
    send("POST", "telemetry.example", "/", "{}")
    raise SystemExit(1)
send("POST", "api.example", "/work", "{}")
"""

ROLES = """
[[targets.worker.effects]]
match = { host = "alerts.example" }
role = "log"

[[targets.worker.effects]]
match = { host = "queue.example", path = "/nack" }
role = "release"

[[targets.worker.effects]]
match = { host = "telemetry.example" }
role = "ignore"
"""


def test_log_release_and_ignore_may_follow_a_deny(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", ROLES, program=AFTER_THE_DENY)
    judged = judge(config, scenarios=("startup-revoked",))
    assert judged.having("fail", "warn") == set(), judged.explain()
    # the alert's body is the only place where the deny was logged
    assert {"logging/request-id", "logging/code", "logging/boundary"} <= judged.having("pass")
    assert [effect.role for effect in judged.runs("startup-revoked")[0].effects] == ["log", "release", "ignore"]


def test_without_their_roles_they_are_work(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", program=AFTER_THE_DENY), scenarios=("startup-revoked",))
    assert {"startup/denied", "logging/request-id"} <= judged.having("fail"), judged.printed


def test_a_rule_that_matches_nothing_is_said_with_the_nearest_request(tmp_path: Path) -> None:
    keys = """
    [[targets.worker.effects]]
    match = { method = "POST", host = "api.exampel", path = "/work" }
    label = "charge"
    """
    judged = judge(configure(tmp_path / "target", keys))
    assert judged.exit == 3
    (problem,) = judged.target()["problems"]
    assert "effects[0]" in problem
    assert "POST api.exampel/work" in problem
    assert "the nearest request seen is POST api.example/work" in problem
    assert "matched nothing" in judged.text


def test_a_persona_is_refused_until_there_is_one(tmp_path: Path) -> None:
    keys = """
    [[targets.worker.effects]]
    match = { host = "api.openai.com" }
    persona = "openai"
    """
    judged = judge(configure(tmp_path / "target", keys))
    assert judged.exit == 2
    assert "targets.worker.effects[0].persona" in judged.text
    assert "not available in this version" in judged.text


def test_rules_of_a_companion_are_its_own(tmp_path: Path) -> None:
    """The index of an effect rule says nothing without its target: what a companion matched is no match of ours."""
    keys = """
    [[targets.worker.effects]]
    match = { host = "nowhere.example" }

    [targets.other]
    command = ["python", "worker.py"]
    device = "worker:dev:feature:02"

    [[targets.other.effects]]
    match = { host = "api.example" }

    [groups.pair]
    targets = ["worker", "other"]
    """
    config = configure(tmp_path / "target", keys)
    judged = judge(config, scenarios=("surgical-revoke",), options=("--boundary", "1", "--target", "worker"))
    assert any("nowhere.example" in problem for problem in judged.target()["problems"]), judged.printed
