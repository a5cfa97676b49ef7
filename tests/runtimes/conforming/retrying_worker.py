"""A queue worker whose validate is sent again once by the transport, on a failed connect and on a 5xx; then it fails closed."""

import json
import os
import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

BASE = "https://machineid.io/api/v1/devices"
DEVICE = os.environ["MACHINEID_DEVICE_ID"]

control_plane = requests.Session()
control_plane.headers["x-org-key"] = os.environ["MACHINEID_ORG_KEY"]
retry = Retry(total=1, status_forcelist=(500, 502, 503, 504), allowed_methods=("POST",), respect_retry_after_header=False)
control_plane.mount("https://machineid.io", HTTPAdapter(max_retries=retry))
work = requests.Session()


def log(**fields):
    print(json.dumps(fields), flush=True)


def post(operation):
    body = {"deviceId": DEVICE}
    return control_plane.post(f"{BASE}/{operation}", json=body, timeout=1, allow_redirects=False)


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
while (response := work.get("https://queue.example/next", timeout=30)).status_code != 204:
    gate("task")
    work.post("https://api.example/charge", json=response.json(), timeout=30)
log(event="done")
