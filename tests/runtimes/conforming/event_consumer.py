"""An event consumer: long poll, validate, handle, acknowledge; a refused event is handed back."""

import json
import os
import signal
import sys
import urllib.request
from http.client import HTTPException

DEVICE = os.environ["MACHINEID_DEVICE_ID"]
KEY = os.environ["MACHINEID_ORG_KEY"]
BUS = "https://events.example/orders"
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
    print(json.dumps(fields), file=sys.stderr, flush=True)


def control(operation):
    headers = {"x-org-key": KEY, "Content-Type": "application/json"}
    body = json.dumps({"deviceId": DEVICE}).encode()
    request = urllib.request.Request(f"https://machineid.io/api/v1/devices/{operation}", body, headers)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        with OPENER.open(request, timeout=DEADLINE) as response:
            status, body = response.status, response.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if status != 200:
        raise ValueError(f"HTTP {status}")
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("not a JSON object")
    return answer


def permitted(boundary):
    context = {"boundary": boundary, "device": DEVICE}
    try:
        answer = control("validate")
        if type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        log(event="validate-failed", reason=f"{type(reason).__name__}: {reason}", **context)
        return False
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
    return answer["allowed"]


def call(method, url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with OPENER.open(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


try:
    control("register")
except (OSError, ValueError, HTTPException) as error:
    sys.exit(f"register failed: {getattr(error, 'reason', error)!r}")
permitted("startup") or sys.exit(1)
while events := call("GET", f"{BUS}/poll?wait=30"):
    for event in events:
        if not permitted("message"):
            call("POST", f"{BUS}/nack", {"id": event["id"]})
            sys.exit(1)
        call("PUT", f"https://ledger.example/orders/{event['id']}", event)
