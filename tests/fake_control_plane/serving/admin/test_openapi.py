"""The admin API's documents say what it does: they are valid and current, and the server keeps to them."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import fake_control_plane.client
from fake_control_plane.client import AsyncClient, Client
from fake_control_plane.serving.admin import manual, openapi
from fake_control_plane.serving.admin.problems import PROBLEMS
from tests.fake_control_plane.serving.servers import process

ROOT = Path(__file__).parents[4]
ADMIN = Path(openapi.__file__).parent
DOCUMENT = openapi.document(version="1")


def operations() -> dict[str, dict[str, Any]]:
    """Every operation by its id."""
    found = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    by_id = {operation["operationId"]: operation for operation in found}
    assert len(by_id) == len(found)
    return by_id


def test_the_document_is_valid() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_the_manual_is_current() -> None:
    written = (ROOT / "docs" / "admin-api.md").read_text(encoding="utf-8")
    assert written == manual.text(), "python -m fake_control_plane.serving.admin.manual > docs/admin-api.md"


def test_every_word_of_an_error_stands_in_the_manual_and_can_come() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in ADMIN.glob("*.py") if path.name != "problems.py")
    raised = set(re.findall(r'Refused\(\s*"([a-z_]+)"', sources))
    assert raised == set(PROBLEMS)
    written = (ROOT / "docs" / "admin-api.md").read_text(encoding="utf-8")
    assert all(
        re.search(rf"^\| `{word}` \| {problem.status} \|", written, re.MULTILINE) for word, problem in PROBLEMS.items()
    )


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_the_client_has_a_method_for_every_operation_and_no_other(kind: type) -> None:
    own = {"ask", "stream", "close"}
    methods = {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}
    assert methods - own == set(operations())


def test_the_clients_methods_take_what_the_operations_do() -> None:
    """A method's parameters are those of path, query, header and body, under the same names but three."""
    other_names = {"id": "device", "last_event_id": "last_event_id"}
    for name, operation in operations().items():
        expected = (
            {parameter["name"].lower().replace("-", "_") for parameter in operation["parameters"]}
            if "parameters" in operation
            else set()
        )
        schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        expected |= set(schema.get("properties", ()))
        if "$ref" in schema:
            expected.add("rule")  # a line, or JSON
        expected = {other_names.get(one, one) for one in expected}
        found = set(inspect.signature(getattr(Client, name)).parameters) - {"client"}
        assert found == expected, name


def test_every_name_that_the_client_exports_is_there() -> None:
    assert all(hasattr(fake_control_plane.client, name) for name in fake_control_plane.client.__all__)


def schemathesis(server: dict[str, Any], folder: Path, *options: str) -> dict[str, Any]:
    """Its report on the admin port, with every check that it has."""
    document, report = folder / "openapi.json", folder / "report.json"
    with Client(server["admin_url"]) as client:
        document.write_text(json.dumps(client.openapi()), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run", str(document)]
    command += ["--url", server["admin_url"], "--checks", "all", "--generation-deterministic"]
    command += ["--phases", "coverage", "--report", "json", "--report-json-path", str(report), *options]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stdout
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert (found["failures"], found["errors"]) == ([], [])
    return found


def test_schemathesis_finds_nothing_wrong(tmp_path: Path) -> None:
    with process("--seed", "1", "--state", str(tmp_path / "state")) as server:
        # The stream has no end. Whether a rule contradicts itself is more than a schema can say: apart, without that one check.
        found = schemathesis(
            server, tmp_path, "--exclude-operation-id", "follow", "--exclude-operation-id", "add_fault"
        )
        assert found["operations"]["tested"] == len(operations()) - 2
        assert found["test_cases"]["generated"] > 400
        schemathesis(
            server, tmp_path, "--include-operation-id", "add_fault", "--exclude-checks", "positive_data_acceptance"
        )
