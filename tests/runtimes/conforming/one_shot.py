"""A low-risk job: one validate at its start, then a report is built from a few reads and stored."""

import http.client
import json
import os
import signal
import sys

DEVICE = os.environ["MACHINEID_DEVICE_ID"]
HEADERS = {"x-org-key": os.environ["MACHINEID_ORG_KEY"], "Content-Type": "application/json"}
DEADLINE = 2.0


def expired(signum, frame):
    raise TimeoutError(f"timeout: no whole answer within {DEADLINE} s")


signal.signal(signal.SIGALRM, expired)


def control(operation):
    connection = http.client.HTTPSConnection("machineid.io", timeout=DEADLINE)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        connection.request("POST", f"/api/v1/devices/{operation}", json.dumps({"deviceId": DEVICE}), HEADERS)
        response = connection.getresponse()
        body = response.read()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.close()
    if response.status != 200:
        raise ValueError(f"HTTP {response.status}")
    answer = json.loads(body)
    if not isinstance(answer, dict):
        raise ValueError("not a JSON object")
    return answer


def stop(**fields):
    print(json.dumps({"device": DEVICE, "boundary": "startup", **fields}), flush=True)
    sys.exit(1)


def call(method, path, body=None):
    connection = http.client.HTTPSConnection("files.example", timeout=30)
    connection.request(method, path, body)
    answer = connection.getresponse().read()
    connection.close()
    return answer


try:
    control("register")
    decision = control("validate")
    if type(decision.get("allowed")) is not bool:
        raise ValueError("no decision in the answer")
except (OSError, ValueError, http.client.HTTPException) as error:
    stop(event="validate-failed", reason=f"{type(error).__name__}: {error}")
if not decision["allowed"]:
    stop(event="denied", allowed=False, code=decision.get("code"), request_id=decision.get("request_id"))
pages = [call("GET", f"/pages/{number}") for number in range(3)]
call("PUT", "/report", b"".join(pages))
