"""Targets that are pushed to, and targets that do several things at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from machineid_conformance.trace.events import StimulusAnswered
from tests.features.support import configure, judge

HOOK = """
import http.server, os
from client import allowed, register, send

DENIED = int(os.environ.get("DENIED", "403"))
CARELESS = "CARELESS" in os.environ


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        permitted = allowed("task")
        if permitted or CARELESS:
            send("POST", "api.example", "/work", "{}")
        self.send_response(200 if permitted else DENIED)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass


register()
server = http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
if not allowed("startup"):
    raise SystemExit(1)
server.serve_forever()
"""

STIMULUS = """
horizon = 8

[targets.worker.stimulus]
listen = "http://127.0.0.1:{port}"
requests = [{ method = "POST", path = "/hook", json = { n = 1 } }, { method = "POST", path = "/hook", text = "two" }]
count = 3
"""


def test_a_webhook_is_stopped_when_it_answers_403(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", STIMULUS, program=HOOK)
    judged = judge(config, scenarios=("revoke-at-boundary",), options=("--boundary", "3"))
    assert judged.having("fail", "warn") == set(), judged.explain()
    assert {"stop/next-boundary", "stop/exits", "placement/task"} <= judged.having("pass"), judged.printed
    for fault_free in judged.runs():
        assert [answered.status for answered in fault_free.of(StimulusAnswered)] == [200, 200, 200]
    (run,) = judged.runs("revoke-at-boundary")
    assert [answered.status for answered in run.of(StimulusAnswered)] == [200, 403, 403]
    assert len(run.effects) == 1


def test_another_denied_status_is_declared(tmp_path: Path) -> None:
    keys = 'env = { DENIED = "503" }' + STIMULUS + "denied_status = 503"
    config = configure(tmp_path / "target", keys, program=HOOK)
    judged = judge(config, scenarios=("revoke-at-boundary",), options=("--boundary", "3"))
    assert judged.status("stop/exits") == "pass", judged.explain()


def test_one_that_acts_and_then_answers_403_is_caught(tmp_path: Path) -> None:
    config = configure(tmp_path / "target", 'env = { CARELESS = "1" }' + STIMULUS, program=HOOK)
    judged = judge(config, scenarios=("revoke-at-boundary",), options=("--boundary", "3"))
    assert judged.status("stop/next-boundary") == "fail", judged.printed


def test_runs_of_a_webhook_do_not_meet_in_proxy_isolation(tmp_path: Path) -> None:
    """They share this machine's ports there: each has one of its own."""
    program = HOOK.replace('send("POST", "api.example", "/work", "{}")', "work()").replace(
        "class Handler",
        "import http.client\n\n\ndef through(port, method, path, body, **headers):\n"
        '    proxy = urlsplit(os.environ["HTTP_PROXY"])\n'
        "    return request(http.client.HTTPConnection(proxy.hostname, proxy.port, timeout=60), method, path, body, **headers)\n\n\n"
        "def work():\n"
        '    through(80, "POST", "http://api.example/work", "{}")\n\n\n'
        "def call(operation, device, host=None, context=None):\n"
        '    body = json.dumps({"deviceId": device})\n'
        '    url = "http://machineid.io/api/v1/devices/" + operation\n'
        '    return through(80, "POST", url, body, **{"x-org-key": KEY})\n\n\n'
        "client.call = call\n\n\nclass Handler",
        1,
    )
    program = "import client, json\nfrom urllib.parse import urlsplit\nfrom client import KEY, request\n" + program
    config = configure(tmp_path / "target", 'isolation = "proxy"\n' + STIMULUS, program=program)
    judged = judge(config, options=("--jobs", "3"))
    assert judged.having("fail", "warn") == set(), judged.explain()
    for run in judged.runs():
        assert [answered.status for answered in run.of(StimulusAnswered)] == [200, 200, 200]


SIDE_BY_SIDE = """
import threading
from client import allowed, register, send

THREADS = 4
together = threading.Barrier(THREADS)
refused = threading.Event()


def work(number):
    for _ in range(2):
        together.wait(60)
        if not allowed("side-effect"):
            refused.set()
        together.wait(60)  # all have asked before any of them acts
        if refused.is_set():
            return
        send("POST", "api.example", "/work", str(number))


register()
if not allowed("startup"):
    raise SystemExit(1)
threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
raise SystemExit(1 if refused.is_set() else 0)
"""


@pytest.mark.parametrize("concurrency", [4, 1])
def test_concurrency_says_how_many_permits_there_may_be(tmp_path: Path, concurrency: int) -> None:
    keys = f"""
    profile = "high"
    concurrency = {concurrency}
    horizon = 9
    """
    config = configure(tmp_path / "target", keys, program=SIDE_BY_SIDE)
    if concurrency == 1:
        judged = judge(config)
        assert "placement/side-effect" in judged.having("fail"), judged.printed
        return
    judged = judge(config, scenarios=("startup-revoked", "revoke-at-boundary", "revoke-in-flight"))
    assert judged.having("fail", "warn") == set(), judged.explain()
    passing = {"placement/side-effect", "stop/next-boundary", "stop/exposure", "logging/request-id", "startup/denied"}
    assert passing <= judged.having("pass"), judged.printed
