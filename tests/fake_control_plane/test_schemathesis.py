"""schemathesis against a running server: the API does what its document says, and a server that does not is found out.

Deterministic and bounded: the same cases at each run.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_control_plane
from fake_control_plane.client import Client
from tests.fake_control_plane.serving.servers import process

DOCUMENT = Path(fake_control_plane.__file__).parent / "control-plane.openapi.json"


def schemathesis(
    server: dict[str, Any], folder: Path, *options: str, examples: int
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """A whole run with every check that there is; what it said, and its report."""
    report = folder / "report.json"
    command = [
        Path(sys.executable).with_name("schemathesis"),
        "--no-color",
        "run",
        DOCUMENT,
        "--url",
        server["base_url"],
    ]
    command += ["-H", f"x-org-key: {server['org_key']}", "--checks", "all", "--max-examples", str(examples)]
    command += ["--generation-deterministic"]
    command += ["--report", "json", "--report-json-path", report, *options]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return ran, json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}


def test_it_finds_nothing_wrong_with_the_api(tmp_path: Path) -> None:
    """Every phase: each value that the document gives as an example or forbids, random ones, and lives along the links."""
    with process("--cap", "100000", "--seed", "1") as server:
        ran, report = schemathesis(server, tmp_path, examples=15)
    assert (ran.returncode, report["failures"], report["errors"]) == (0, [], []), ran.stdout
    assert {phase: found["status"] for phase, found in report["phases"].items()} == {
        "examples": "success",
        "coverage": "success",
        "fuzzing": "success",
        "stateful": "success",
    }
    assert report["operations"]["tested"] == report["operations"]["total"] == 10
    assert report["test_cases"]["generated"] > 300
    # It did not only get 401 and 404: what it sent was accepted, and the links led from one call to the next.
    assert report["warnings"]["missing_auth"] == report["warnings"]["missing_test_data"] == []
    covered = re.search(r"API Links: +(\d+) covered / 16 selected", ran.stdout)
    assert covered is not None, ran.stdout
    assert int(covered[1]) >= 8, ran.stdout


def test_it_finds_nothing_wrong_at_the_cap_in_the_legacy_dialect(tmp_path: Path) -> None:
    with process("--cap", "1", "--dialect", "legacy", "--seed", "1") as server:
        ran, report = schemathesis(server, tmp_path, "--phases", "fuzzing,stateful", examples=10)
    assert (ran.returncode, report["failures"], report["errors"]) == (0, [], []), ran.stdout


MISTAKES = {
    "status=500 operation=usage": {
        ("ServerError", "GET /api/v1/usage"),
        ("UndefinedStatusCode", "GET /api/v1/usage"),
        ("MissingHeaderNotRejected", "GET /api/v1/usage"),
    },
    "content-type=text/html operation=list": {("UndefinedContentType", "GET /api/v1/devices/list")},
    "mistyped-field=request_id value=42 operation=validate": {("JsonSchemaError", "POST /api/v1/devices/validate")},
    "status=200 operation=revoke": {
        ("IgnoredAuth", "POST /api/v1/devices/revoke"),
        ("AcceptedNegativeData", "POST /api/v1/devices/revoke"),
        ("JsonSchemaError", "POST /api/v1/devices/revoke"),
    },
    "status=400 operation=unrevoke": {("RejectedPositiveData", "POST /api/v1/devices/unrevoke")},
    "status=200 operation=unknown": {("UnsupportedMethodResponse", "TRACE /api/v1/devices/register")},
}
"""A server with each of these mistakes (fault rules make them), and what must be found of it."""


def test_it_finds_what_is_wrong(tmp_path: Path) -> None:
    with process("--cap", "100000", "--seed", "1") as server:
        with Client(server["admin_url"]) as console:
            for mistake in MISTAKES:
                console.add_fault(mistake)
        ran, report = schemathesis(
            server, tmp_path, "--phases", "coverage", "--no-shrink", "--continue-on-failure", examples=1
        )
    assert ran.returncode == 1, ran.stdout
    found = {(failure["type"], operation) for failure in report["failures"] for operation in failure["operations"]}
    assert set().union(*MISTAKES.values()) - found == set()
    untouched = {"POST /api/v1/devices/remove", "GET /api/v1/billing/summary"}
    assert {operation for _, operation in found} & untouched == set()
