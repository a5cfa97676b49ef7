"""An agent: a model decides, tools act, and a second agent takes over at the end. A validate before each of them."""

import http.client
import json
import os
import signal
import sys
import urllib.request

KEY = os.environ["MACHINEID_ORG_KEY"]
PLANNER = os.environ["MACHINEID_DEVICE_ID"]
WRITER = "agent:dev:writer:01"
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


def control(operation, device):
    headers = {"x-org-key": KEY, "Content-Type": "application/json"}
    body = json.dumps({"deviceId": device}).encode()
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


def gate(boundary, device):
    context = {"boundary": boundary, "device": device}
    try:
        answer = control("validate", device)
        if type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        log(event="validate-failed", reason=f"{type(reason).__name__}: {reason}", **context)
        sys.exit(1)
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
        sys.exit(1)


def call(url, body):
    headers = {"Content-Type": "application/json", "Authorization": "Bearer made-up"}
    with OPENER.open(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60) as response:
        return json.loads(response.read())


def think(device):
    gate("llm-call", device)
    messages = [{"role": "user", "content": "What next?"}]
    answer = call("https://api.openai.com/v1/chat/completions", {"model": "planner", "messages": messages})
    return answer["choices"][0]["message"]["content"]


def tool(name):
    gate("tool-call", PLANNER)
    call("https://tools.example/run", {"tool": name})


def handoff(note):
    gate("handoff", WRITER)
    call("https://writer.example/drafts", {"note": note})


try:
    for device in (PLANNER, WRITER):
        control("register", device)
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(f"register failed: {getattr(error, 'reason', error)!r}")
gate("startup", PLANNER)
while (step := think(PLANNER)) != "finish":
    tool(step)
handoff("the plan")
