"""What the tests of the configuration's keys share: a small runtime's client, and the harness run on it as users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from machineid_conformance.trace.events import EffectStarted, Event, Output
from machineid_conformance.trace.reader import read

DEVICE = "worker:dev:feature:01"

CLIENT = '''\
"""What every target of these tests is made of: calls to the control plane, requests to elsewhere, one record a line."""
import http.client, json, os, sys

KEY = os.environ["MACHINEID_ORG_KEY"]
DEVICE = os.environ.get("MACHINEID_DEVICE_ID", "")
PATIENCE = float(os.environ.get("PATIENCE", "60"))  # seconds; a busy machine must not look like an outage


class Refused(SystemExit):
    """Ends the process with status 1 unless it is caught."""


def log(**fields):
    print(json.dumps(fields), flush=True)


def request(connection, method, path, body=None, **headers):
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def send(method, host, path, body=None, **headers):
    """A request to anywhere: status and body."""
    return request(http.client.HTTPConnection(host, timeout=60), method, path, body, **headers)


def call(operation, device, host="machineid.io", context=None):
    connection = http.client.HTTPSConnection(host, timeout=PATIENCE, context=context)
    body = json.dumps({"deviceId": device})
    return request(connection, "POST", "/api/v1/devices/" + operation, body, **{"x-org-key": KEY})


def register(device=DEVICE, host="machineid.io"):
    try:
        call("register", device, host)
    except (OSError, http.client.HTTPException) as error:
        log(event="register-failed", device=device, reason=repr(error))
        raise Refused(1)


def allowed(boundary, device=DEVICE, host="machineid.io"):
    """Whether there is a fresh allow; every refusal is logged."""
    try:
        status, body = call("validate", device, host)
        answer = json.loads(body)
    except (OSError, ValueError, http.client.HTTPException) as error:
        log(event="validate-failed", boundary=boundary, device=device, reason=repr(error))
        return False
    if status == 200 and isinstance(answer, dict) and answer.get("allowed") is True:
        return True
    code, identifier = (answer.get("code"), answer.get("request_id")) if isinstance(answer, dict) else (None, None)
    log(event="denied", boundary=boundary, device=device, code=code, request_id=identifier, status=status)
    return False


def gate(boundary, device=DEVICE, host="machineid.io"):
    if not allowed(boundary, device, host):
        raise Refused(1)
'''

WORKER = """
from client import gate, register, send

register()
gate("startup")
for number in range(2):
    gate("task")
    send("POST", "api.example", "/work", str(number))
"""
"""A conforming target: it registers, asks at its start and before each of its two effects, and ends."""

E = TypeVar("E", bound=Event)


def require(condition: object, reason: str) -> None:
    """Skip with a reason what this machine cannot show; where everything must be shown, that is an error."""
    if condition:
        return
    if os.environ.get("MACHINEID_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"required here: {reason}")
    pytest.skip(reason)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run as results.json and its trace have it."""

    record: Mapping[str, Any]
    trace: Path

    @property
    def text(self) -> str:
        """The trace as it stands on disk."""
        return self.trace.read_text(encoding="utf-8")

    @property
    def events(self) -> tuple[Event, ...]:
        return tuple(read(self.trace))

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in their order."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def effects(self) -> list[EffectStarted]:
        return self.of(EffectStarted)

    @property
    def said(self) -> list[str]:
        """What the target printed."""
        return [event.text for event in self.of(Output) if event.stream == "stdout"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What ``machineid-conformance run`` made of a configuration."""

    exit: int
    printed: str
    report: Path

    @property
    def text(self) -> str:
        """What was printed, without the line breaks that a terminal's width makes."""
        return " ".join(self.printed.split())

    @property
    def document(self) -> dict[str, Any]:
        path = self.report / "results.json"
        assert path.is_file(), self.printed
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def target(self, name: str = "worker") -> dict[str, Any]:
        """One target of results.json."""
        found: dict[str, Any] = next(target for target in self.document["targets"] if target["name"] == name)
        return found

    def rule(self, rule: str, target: str = "worker") -> dict[str, Any]:
        """One row of a target."""
        found: dict[str, Any] = next(row for row in self.target(target)["rules"] if row["id"] == rule)
        return found

    def status(self, rule: str, target: str = "worker") -> str:
        """A rule's status."""
        return str(self.rule(rule, target)["status"])

    def having(self, *statuses: str, target: str = "worker") -> set[str]:
        """The rules whose status is one of these."""
        return {row["id"] for row in self.target(target)["rules"] if row["status"] in statuses}

    def runs(self, scenario: str = "baseline", target: str = "worker") -> list[Run]:
        """The runs of one scenario."""
        records = [record for record in self.target(target)["runs"] if record["scenario"] == scenario]
        return [Run(record=record, trace=self.report / record["trace"]) for record in records]

    def explain(self, target: str = "worker") -> str:
        """What failed or warned, and why, for the message of a failing test."""
        lines = [*self.target(target)["problems"]]
        for row in self.target(target)["rules"]:
            if row["status"] in ("fail", "warn"):
                lines += [f"{row['id']}: {finding['message']} ({finding['run']})" for finding in row["findings"]]
        return "\n".join(lines) or "nothing failed or warned"


def write_program(folder: Path, name: str, program: str) -> None:
    """A target's program, and beside it the client that it may import."""
    folder.mkdir(exist_ok=True)
    (folder / "client.py").write_text(CLIENT, encoding="utf-8")
    (folder / name).write_text(textwrap.dedent(program), encoding="utf-8")


def configure(
    folder: Path, keys: str = "", *, program: str = WORKER, root: str = "", device: str | None = DEVICE
) -> Path:
    """A folder with one target, ``worker``: its program, and a configuration of which ``keys`` are the target's own."""
    write_program(folder, "worker.py", program)
    declared = "" if device is None else f"device = {json.dumps(device)}"
    horizon = "" if "horizon" in keys.partition("[targets")[0] else "horizon = 3"
    config = folder / "machineid-conformance.toml"
    config.write_text(
        f'edition = 1\n{root}\n[targets.worker]\ncommand = ["python", "worker.py"]\n{declared}\n'
        f'{horizon}\nidle_after = "1s"\n{textwrap.dedent(keys)}\n',
        encoding="utf-8",
    )
    return config


def judge(
    config: Path,
    *,
    scenarios: Sequence[str] = ("baseline",),
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Judged:
    """Run the harness on a configuration, narrowed to these scenarios (none: everything)."""
    report = config.parent.parent / f"{config.parent.name}-report"
    # -P: as with the console script, the target's folder is not where the harness looks for modules
    command = [sys.executable, "-P", "-m", "machineid_conformance", "run"]
    command += ["--config", str(config), "--report", str(report)]
    for scenario in scenarios:
        command += ["--scenario", scenario]
    done = subprocess.run(
        [*command, *options],
        cwd=config.parent,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return Judged(exit=done.returncode, printed=done.stdout + done.stderr, report=report)
