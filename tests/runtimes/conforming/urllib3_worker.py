"""A queue worker on urllib3, which looks at no proxy variable and no CA variable: the CA store of the system counts."""

import json
import os
import sys

import urllib3

DEVICE = os.environ["MACHINEID_DEVICE_ID"]
HEADERS = {"x-org-key": os.environ["MACHINEID_ORG_KEY"]}
pool = urllib3.PoolManager(retries=False)


def log(**fields):
    print(json.dumps(fields), flush=True)


def post(operation):
    url = f"https://machineid.io/api/v1/devices/{operation}"
    return pool.request("POST", url, json={"deviceId": DEVICE}, headers=HEADERS, timeout=2.0, redirect=False)


def gate(boundary):
    context = {"boundary": boundary, "device": DEVICE}
    try:
        response = post("validate")
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}")
        answer = response.json()
        if not isinstance(answer, dict) or type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        log(event="validate-failed", reason=f"{type(error).__name__}: {error}", **context)
        sys.exit(1)
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
        sys.exit(1)


try:
    registered = post("register")
except urllib3.exceptions.HTTPError as error:
    sys.exit(f"register failed: {type(error).__name__}: {error}")
if registered.status != 200:
    sys.exit(f"register was refused: HTTP {registered.status}")
gate("startup")
while (response := pool.request("GET", "https://queue.example/next", timeout=30.0)).status != 204:
    gate("task")
    pool.request("POST", "https://api.example/charge", json=response.json(), timeout=30.0)
log(event="done")
