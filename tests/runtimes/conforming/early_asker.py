"""A queue worker that sends its validate early, and reads the decision when the job is ready to be charged."""

import http.client
import json
import os
import signal
import sys

KEY = os.environ["MACHINEID_ORG_KEY"]
DEVICE = os.environ["MACHINEID_DEVICE_ID"]
DEADLINE = 2.0


def expired(signum, frame):
    raise TimeoutError(f"timeout: no whole answer within {DEADLINE} s")


signal.signal(signal.SIGALRM, expired)


def log(**fields):
    print(json.dumps(fields), flush=True)


def ask(operation):
    """Send the call; ``decision`` reads its answer. The deadline covers both."""
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    connection = http.client.HTTPSConnection("machineid.io", timeout=DEADLINE)
    try:
        connection.request(
            "POST",
            f"/api/v1/devices/{operation}",
            json.dumps({"deviceId": DEVICE}),
            {"x-org-key": KEY, "Content-Type": "application/json"},
        )
    except OSError as error:
        return error
    return connection


def decision(connection):
    try:
        if isinstance(connection, OSError):
            raise connection
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise ValueError(f"HTTP {response.status}")
        answer = json.loads(body)
        if not isinstance(answer, dict):
            raise ValueError("not a JSON object")
        return answer
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def check(connection, boundary):
    context = {"boundary": boundary, "device": DEVICE}
    try:
        answer = decision(connection)
        if type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (OSError, ValueError, http.client.HTTPException) as error:
        log(event="validate-failed", reason=f"{type(error).__name__}: {error}", **context)
        sys.exit(1)
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
        sys.exit(1)


def call(method, host, path, body=None):
    connection = http.client.HTTPSConnection(host, timeout=30)
    connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    body = connection.getresponse().read()
    connection.close()
    return json.loads(body or b"null")


try:
    registered = decision(ask("register"))
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(f"register failed: {error!r}")
check(ask("validate"), "startup")
while job := call("GET", "queue.example", "/next"):
    ticket = ask("validate")
    job["total"] = sum(job.get("items", []))
    check(ticket, "task")
    call("POST", "api.example", "/charge", job)
log(event="done")
