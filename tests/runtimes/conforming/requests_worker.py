"""A queue worker on requests."""

import json
import os
import sys

import requests

BASE = "https://machineid.io/api/v1/devices"
DEVICE = os.environ["MACHINEID_DEVICE_ID"]
HEADERS = {"x-org-key": os.environ["MACHINEID_ORG_KEY"]}
TIMEOUT = 2


def log(**fields):
    print(json.dumps(fields), flush=True)


def post(operation):
    body = {"deviceId": DEVICE}
    return requests.post(f"{BASE}/{operation}", json=body, headers=HEADERS, timeout=TIMEOUT, allow_redirects=False)


def gate(boundary):
    context = {"boundary": boundary, "device": DEVICE}
    try:
        response = post("validate")
        if response.status_code != 200:
            raise ValueError(f"HTTP {response.status_code}")
        answer = response.json()
        if not isinstance(answer, dict) or type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (requests.RequestException, ValueError) as error:
        log(event="validate-failed", reason=f"{type(error).__name__}: {error}", **context)
        sys.exit(1)
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
        sys.exit(1)


try:
    registered = post("register")
except requests.RequestException as error:
    sys.exit(f"register failed: {type(error).__name__}: {error}")
if registered.status_code != 200:
    sys.exit(f"register was refused: HTTP {registered.status_code}")
gate("startup")
while True:
    response = requests.get("https://queue.example/next", timeout=30)
    if response.status_code == 204:
        break
    gate("task")
    requests.post("https://api.example/charge", json=response.json(), timeout=30)
log(event="done")
