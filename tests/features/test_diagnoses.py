"""Targets of which nothing can be judged: one sentence that says why, exit code 3, and no wall of failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.support import WORKER, Judged, configure, judge


def assert_diagnosed(judged: Judged, *words: str) -> None:
    assert judged.exit == 3, judged.printed
    assert judged.having("fail", "warn") == set(), judged.explain()
    (problem,) = judged.target()["problems"]
    for word in words:
        assert word in problem
    assert " ".join(problem.split()) in judged.text
    assert len(judged.target()["runs"]) == 3  # nothing was run that could show nothing


def test_one_that_makes_no_control_plane_call(tmp_path: Path) -> None:
    program = """
    from client import send

    send("POST", "api.example", "/work", "{}")
    print("done")
    """
    judged = judge(configure(tmp_path / "target", program=program), scenarios=())
    assert_diagnosed(judged, "no control-plane call", "machineid.io", "its last line was: done")


PINNED = """
import http.client, ssl
from client import call, log, DEVICE

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody
try:
    call("register", DEVICE, context=context)
except OSError as error:
    log(error=type(error).__name__)
    raise SystemExit(1)
"""


def test_one_that_trusts_only_its_own_authority(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", program=PINNED), scenarios=())
    assert_diagnosed(judged, "certificate authority", "machineid.io", "SSL_CERT_FILE")


def test_one_that_never_starts_work(tmp_path: Path) -> None:
    program = """
    import threading

    print("waiting for a leader", flush=True)
    threading.Event().wait()
    """
    judged = judge(configure(tmp_path / "target", 'start_within = "1s"', program=program), scenarios=())
    assert_diagnosed(judged, "no control-plane call", "start_within", "waiting for a leader")
    assert all('"reason":"start_within"' in run.text for run in judged.runs())


def test_one_that_asks_and_does_no_work(tmp_path: Path) -> None:
    """It can be judged in part; what needs work is inconclusive, and that is said once."""
    program = """
    from client import gate, register

    register()
    gate("startup")
    """
    judged = judge(configure(tmp_path / "target", program=program), scenarios=("startup-revoked",))
    assert judged.exit == 3
    assert judged.having("fail", "warn") == set(), judged.explain()
    assert judged.status("startup/denied") == "inconclusive"
    assert "no work" in judged.rule("startup/denied")["reason"]


def test_a_command_that_cannot_be_executed(tmp_path: Path) -> None:
    config = configure(tmp_path / "target")
    config.write_text(config.read_text().replace('["python", "worker.py"]', '["pyton", "worker.py"]'))
    judged = judge(config)
    assert judged.exit == 2
    assert "'pyton'" in judged.text


BY_PROXY = """
import json, os, urllib.error, urllib.request

KEY, DEVICE = os.environ["MACHINEID_ORG_KEY"], os.environ["MACHINEID_DEVICE_ID"]


def post(url, body, **headers):
    headers["Content-Type"] = "application/json"
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as answer:
        return json.load(answer)


def gate(boundary):
    try:
        answer = post("https://machineid.io/api/v1/devices/validate", {"deviceId": DEVICE}, **{"x-org-key": KEY})
        if answer["allowed"] is True:
            return
        record = {"code": answer["code"], "request_id": answer["request_id"]}
    except (OSError, ValueError, KeyError) as error:
        record = {"reason": repr(error)}
    print(json.dumps({"event": "refused", "boundary": boundary, "device": DEVICE, **record}), flush=True)
    raise SystemExit(1)


try:
    post("https://machineid.io/api/v1/devices/register", {"deviceId": DEVICE}, **{"x-org-key": KEY})
except OSError as error:
    print(repr(error), flush=True)
    raise SystemExit(1)
gate("startup")
for number in range(2):
    gate("task")
    post("https://api.example/work", number)
"""


def test_proxy_isolation_is_said_and_judges_less(tmp_path: Path) -> None:
    keys = """
    isolation = "proxy"

    [targets.other]
    command = ["python", "worker.py"]
    device = "worker:dev:feature:02"
    """
    config = configure(tmp_path / "target", keys, program=BY_PROXY)
    scenarios = ("fail-closed-dns", "fail-closed-refused", "startup-revoked")
    judged = judge(config, scenarios=scenarios, options=("--boundary", "2"))
    assert judged.target()["isolation"] == "proxy"
    assert judged.target("other")["isolation"] == "namespace"
    for target in ("worker", "other"):
        assert judged.having("fail", "warn", target=target) == set(), judged.explain(target)
        assert judged.status("startup/denied", target) == "pass"
        assert judged.runs("fail-closed-refused", target)
    assert judged.status("fail-closed/dns") == "not-applicable"
    assert not judged.runs("fail-closed-dns")
    assert judged.runs("fail-closed-dns", "other")
    assert judged.text.count("INCONCLUSIVE (proxy isolation: HTTP clients that honour proxy variables only)") == 1


def test_isolation_of_the_command_line_goes_before(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", program=BY_PROXY), options=("--isolation", "proxy"))
    assert judged.target()["isolation"] == "proxy"


@pytest.mark.parametrize("key", ["image", "callable", "remote"])
def test_kinds_of_later_versions_are_refused(tmp_path: Path, key: str) -> None:
    config = configure(tmp_path / "target", program=WORKER)
    config.write_text(config.read_text().replace('command = ["python", "worker.py"]', f'{key} = "x"'))
    judged = judge(config)
    assert judged.exit == 2
    assert "not available in this version" in judged.text
