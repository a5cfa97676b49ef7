"""A queue worker that does not exit on a refusal: it asks again, more and more slowly, and goes on after a fresh allow."""

import http.client
import json
import os
import signal
import sys
import time
import urllib.request

KEY = os.environ["MACHINEID_ORG_KEY"]
DEVICE = os.environ["MACHINEID_DEVICE_ID"]
DEADLINE = 2.0


class AsItCame(urllib.request.HTTPErrorProcessor):
    """No redirect is followed, and a status is no exception."""

    def https_response(self, request, response):
        return response


OPENER = urllib.request.build_opener(AsItCame)


def expired(signum, frame):
    raise TimeoutError(f"timeout: no whole answer within {DEADLINE} s")


signal.signal(signal.SIGALRM, expired)


def log(**fields):
    print(json.dumps(fields), flush=True)


def control(method, path, body=None):
    headers = {"x-org-key": KEY, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        request = urllib.request.Request(f"https://machineid.io/api/v1/{path}", data, headers, method=method)
        with OPENER.open(request, timeout=DEADLINE) as response:
            return response.status, response.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def register():
    status, _ = control("POST", "devices/register", {"deviceId": DEVICE})
    return status == 200


def healthy():
    try:
        return control("GET", "usage")[0] == 200
    except (OSError, http.client.HTTPException) as error:
        log(event="unreachable", device=DEVICE, reason=repr(getattr(error, "reason", error)))
        return False


def validate(boundary):
    context = {"boundary": boundary, "device": DEVICE}
    try:
        status, body = control("POST", "devices/validate", {"deviceId": DEVICE})
        if status != 200:
            raise ValueError(f"HTTP {status}")
        answer = json.loads(body)
        if not isinstance(answer, dict) or type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        log(event="validate-failed", reason=f"{type(reason).__name__}: {reason}", **context)
        return False
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
    return answer["allowed"]


def gate(boundary):
    since = time.monotonic()
    delay = 0.25
    while not validate(boundary):
        time.sleep(delay)
        delay = min(delay * 2, 30)
        log(event="asking-again", boundary=boundary, device=DEVICE, waited=round(time.monotonic() - since, 1))


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with OPENER.open(request, timeout=30) as response:
        return json.loads(response.read() or b"null")


healthy() or sys.exit("the control plane cannot be reached")
try:
    register() or sys.exit("register was refused")
except OSError as error:
    sys.exit(f"register failed: {getattr(error, 'reason', error)!r}")
gate("startup")
while job := call("GET", "https://queue.example/next"):
    gate("task")
    call("POST", "https://api.example/charge", job)
log(event="done")
