"""A queue worker that raises an alert when it was refused."""

import http.client
import json
import os
import signal
import sys
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


def control(operation, device=DEVICE):
    """One control-plane call: status and body. The deadline is for the call as a whole, not for each read."""
    url = f"https://machineid.io/api/v1/devices/{operation}"
    headers = {"x-org-key": KEY, "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps({"deviceId": device}).encode(), headers)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        with OPENER.open(request, timeout=DEADLINE) as response:
            return response.status, response.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def failed(boundary, reason):
    log(event="validate-failed", boundary=boundary, device=DEVICE, reason=repr(reason))
    return False


def denied(boundary, code, request_id):
    log(event="denied", boundary=boundary, device=DEVICE, allowed=False, code=code, request_id=request_id)
    return False


def register():
    try:
        status, body = control("register")
        answer = json.loads(body)
        state = answer.get("status") if status == 200 and isinstance(answer, dict) else f"HTTP {status}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        state = getattr(error, "reason", error)
    log(event="registered", device=DEVICE, state=str(state))
    return state if state in ("ok", "exists", "restored") else None


def validate(boundary, device=DEVICE):
    try:
        status, body = control("validate", device)
        if status != 200:
            return failed(boundary, f"HTTP {status}")
        answer = json.loads(body)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return failed(boundary, reason)
    if not isinstance(answer, dict):
        return failed(boundary, "not a JSON object")
    if answer.get("allowed") is True:
        return True
    if answer.get("allowed") is not False:
        return failed(boundary, "no decision in the answer")
    return denied(boundary, answer.get("code"), answer.get("request_id"))


def gate(boundary):
    if not validate(boundary):
        call("POST", "https://alerts.example/page", {"device": DEVICE, "stopped_at": boundary})
        sys.exit(1)


def call(method, url, body=None):
    headers = {"Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with OPENER.open(urllib.request.Request(url, data, headers, method=method), timeout=30) as response:
        return json.loads(response.read() or b"null")


def dequeue():
    return call("GET", "https://queue.example/next")


def charge(job):
    call("POST", "https://api.example/charge", job)


register() or sys.exit(1)
gate("startup")
while job := dequeue():
    gate("task")
    charge(job)
log(event="done")
