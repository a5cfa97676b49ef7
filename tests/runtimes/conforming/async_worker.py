"""An asyncio worker on httpx: four jobs at a time, a validate before each."""

import asyncio
import json
import os
import ssl
import sys

import httpx

DEVICE = os.environ["MACHINEID_DEVICE_ID"]
HEADERS = {"x-org-key": os.environ["MACHINEID_ORG_KEY"]}
BASE = "https://machineid.io/api/v1/devices"
DEADLINE = 2.0
WORKERS = 4


class Refused(Exception):
    """No work may start."""


def log(**fields):
    print(json.dumps(fields), flush=True)


async def control(client, operation):
    async with asyncio.timeout(DEADLINE):
        response = await client.post(f"{BASE}/{operation}", json={"deviceId": DEVICE}, headers=HEADERS)
    if response.status_code != 200:
        raise ValueError(f"HTTP {response.status_code}")
    answer = response.json()
    if not isinstance(answer, dict):
        raise ValueError("not a JSON object")
    return answer


async def gate(client, boundary):
    context = {"boundary": boundary, "device": DEVICE}
    try:
        answer = await control(client, "validate")
        if type(answer.get("allowed")) is not bool:
            raise ValueError("no decision in the answer")
    except (httpx.HTTPError, TimeoutError, ValueError) as error:
        log(event="validate-failed", reason=f"{type(error).__name__}: {error}", **context)
        raise Refused from error
    if not answer["allowed"]:
        log(event="denied", allowed=False, code=answer.get("code"), request_id=answer.get("request_id"), **context)
        raise Refused


async def work(client):
    while (job := await client.get("https://queue.example/next")).status_code == 200:
        await gate(client, "task")
        await client.post("https://api.example/charge", json=job.json())


async def main():
    tls = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    async with httpx.AsyncClient(verify=tls, timeout=30) as client:
        try:
            await control(client, "register")
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            sys.exit(f"register failed: {type(error).__name__}: {error}")
        status = 0
        try:
            await gate(client, "startup")
            async with asyncio.TaskGroup() as group:
                for _ in range(WORKERS):
                    group.create_task(work(client))
        except* Refused:
            status = 1
    return status


sys.exit(asyncio.run(main()))
