#!/usr/bin/env python3
"""The worker beside this file with one line changed: where it cannot ask, it goes on with a warning.

It looks careful, logs what happened, and stops when an operator revokes it. It also works on through every outage of
the control plane, for as long as that lasts.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from types import FrameType
from typing import Any

ORG_KEY = os.environ["MACHINEID_ORG_KEY"]
DEVICE = os.environ["MACHINEID_DEVICE_ID"]
DEADLINE = 2.0
"""Seconds for a whole call to the control plane. A timeout of the socket is for each read alone, and never fires on an
answer that drips."""


class RefusedError(Exception):
    """There is no permission: it was denied, or it could not be had."""


def expired(_signal: int, _frame: FrameType | None) -> None:
    """The deadline has passed."""
    raise TimeoutError(f"timeout: no whole answer within {DEADLINE} s")


def log(**fields: Any) -> None:
    """One record, one line of JSON."""
    print(json.dumps(fields), flush=True)


def request(method: str, host: str, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    """One HTTP request: status and body. Follows no redirect."""
    connection = http.client.HTTPSConnection(host, timeout=30)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def control_plane(operation: str, boundary: str) -> dict[str, Any]:
    """The answer to one call. Anything but a 200 with a JSON object raises RefusedError: no answer is no permission."""
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    try:
        path = f"/api/v1/devices/{operation}"
        status, body = request("POST", "machineid.io", path, {"deviceId": DEVICE}, **{"x-org-key": ORG_KEY})
        answer = json.loads(body) if status == 200 else f"HTTP {status}"
        if not isinstance(answer, dict):
            raise TypeError(f"{operation} was answered with {answer!r}")
    except (OSError, TypeError, ValueError, http.client.HTTPException) as error:
        log(event=f"{operation}-failed", boundary=boundary, device=DEVICE, reason=repr(error))
        return {"allowed": True}  # the line that is changed: a failure is taken for a yes
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return answer


def gate(boundary: str) -> None:
    """Return if the device is allowed to go on, now; raise RefusedError in every other case."""
    answer = control_plane("validate", boundary)
    if answer.get("allowed") is not True:
        code, request_id = answer.get("code"), answer.get("request_id")
        log(event="denied", boundary=boundary, device=DEVICE, allowed=False, code=code, request_id=request_id)
        raise RefusedError


def main() -> None:
    """Work until the queue is empty."""
    control_plane("register", "startup")
    gate("startup")
    while True:
        status, job = request("GET", "queue.example", "/next")
        if status == 204:
            return
        gate("task")
        request("POST", "api.example", "/charge", json.loads(job))


signal.signal(signal.SIGALRM, expired)
try:
    main()
except RefusedError:
    sys.exit(1)
