"""A nightly job: reads a list once, and deletes each stale entry after a validate of its own."""

import http.client
import json
import os
import socket
import sys
import time

DEVICE = os.environ["MACHINEID_DEVICE_ID"]
HEADERS = {"x-org-key": os.environ["MACHINEID_ORG_KEY"], "Content-Type": "application/json", "Connection": "close"}
DEADLINE = 2.0


def read_within(response, connection, deadline):
    """The body, under one deadline for all of it."""
    body = b""
    while (left := deadline - time.monotonic()) > 0:
        connection.settimeout(left)
        piece = response.read1(65536)
        if not piece:
            if response.length:
                raise http.client.IncompleteRead(body, response.length)
            return body
        body += piece
    raise TimeoutError("timeout: the answer did not end in time")


def control(operation):
    deadline = time.monotonic() + DEADLINE
    connection = http.client.HTTPSConnection("machineid.io", timeout=DEADLINE)
    try:
        connection.request("POST", f"/api/v1/devices/{operation}", json.dumps({"deviceId": DEVICE}), HEADERS)
        connected = connection.sock
        connected.settimeout(max(deadline - time.monotonic(), 0.001))
        response = connection.getresponse()
        body = read_within(response, connected, deadline)
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}")
        answer = json.loads(body)
        if not isinstance(answer, dict):
            raise ValueError("not a JSON object")
        return answer
    finally:
        connection.close()


def gate(boundary):
    try:
        answer = control("validate")
        if type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = type(error).__name__
        print(f'event=validate-failed device={DEVICE} boundary={boundary} reason="{reason}: {error}"', flush=True)
        sys.exit(1)
    if not answer["allowed"]:
        code, request_id = answer.get("code"), answer.get("request_id")
        context = f"device={DEVICE} boundary={boundary} host={socket.gethostname()}"
        print(f"event=denied {context} allowed=false code={code} request_id={request_id}", flush=True)
        sys.exit(1)


def call(method, path):
    connection = http.client.HTTPSConnection("index.example", timeout=30)
    connection.request(method, path)
    body = connection.getresponse().read()
    connection.close()
    return json.loads(body or b"null")


try:
    control("register")
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(f"register failed: {type(error).__name__}: {error}")
gate("startup")
for entry in call("GET", "/stale"):
    gate("side-effect")
    call("DELETE", f"/entries/{entry}")
