"""The pytest plugin: what it loads, what its fixtures give, and what they say where a client is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
import requests
import responses
import respx

from fake_control_plane.in_process import InProcessControlPlane

ALONE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
"""Without the neighbours, whose loading takes longer than the rest."""

VALIDATE = "https://machineid.io/api/v1/devices/validate"


def in_pytest(tmp_path: Path, source: str, **files: str) -> str:
    """The output of pytest on this test file."""
    (tmp_path / "test_it.py").write_text(textwrap.dedent(source), encoding="utf-8")
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "fake_control_plane.pytest_plugin", "-q", "test_it.py"]
    ran = subprocess.run(command, cwd=tmp_path, env=ALONE, capture_output=True, text=True, timeout=120, check=False)
    return ran.stdout + ran.stderr


def test_it_is_loaded_with_the_package() -> None:
    assert [entry.value for entry in entry_points(group="pytest11", name="machineid_control_plane")] == [
        "fake_control_plane.pytest_plugin"
    ]


def test_loading_it_imports_no_client_and_nothing_else_of_ours() -> None:
    source = """
        import sys
        import pytest
        before = set(sys.modules)
        import fake_control_plane.pytest_plugin
        new = {name for name in set(sys.modules) - before}
        print(sorted(name for name in new if name.split(".")[0] != "encodings"))
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['fake_control_plane', 'fake_control_plane.pytest_plugin']"


def test_the_console_alone_imports_no_client() -> None:
    source = """
        import sys
        from fake_control_plane.in_process import InProcessControlPlane
        InProcessControlPlane().register("a")
        clients = {"httpx", "httpcore", "requests", "urllib3", "respx", "responses", "starlette", "uvicorn", "uvloop"}
        print(sorted(clients & set(sys.modules)))
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("fixture", "missing"),
    [("machineid_respx", "respx"), ("machineid_respx", "httpx"), ("machineid_responses", "responses")],
)
def test_a_missing_client_is_named_with_what_installs_it(fixture: str, missing: str, tmp_path: Path) -> None:
    out = in_pytest(
        tmp_path,
        f"def test_it({fixture}): pass",
        conftest=f"import sys\nsys.modules[{missing!r}] = None",
    )
    extra = fixture.removeprefix("machineid_")
    assert f"pip install 'machineid-conformance[{extra}]'" in out
    assert f"the fixture {fixture} needs {missing}, which is not installed" in out
    assert "1 error" in out


def test_each_test_has_an_org_of_its_own(tmp_path: Path) -> None:
    out = in_pytest(
        tmp_path,
        """
        import pytest

        @pytest.mark.parametrize("time", [1, 2])
        def test_it(time, machineid_control_plane):
            assert dict(machineid_control_plane.devices) == {}
            assert machineid_control_plane.calls == ()
            machineid_control_plane.register("a")
        """,
    )
    assert "2 passed" in out, out


def test_a_client_that_is_told_another_place(tmp_path: Path) -> None:
    out = in_pytest(
        tmp_path,
        """
        import pytest, requests

        @pytest.fixture
        def machineid_base_url():
            return "http://control-plane.test:8400/"

        def test_it(machineid_control_plane, machineid_responses, monkeypatch):
            for name, value in machineid_control_plane.environment.items():
                monkeypatch.setenv(name, value)
            import os
            base, key = os.environ["MACHINEID_BASE_URL"], os.environ["MACHINEID_ORG_KEY"]
            assert base == "http://control-plane.test:8400"
            assert requests.get(f"{base}/api/v1/usage", headers={"x-org-key": key}).json()["limit"] == 3
            with pytest.raises(requests.ConnectionError):
                requests.get("https://machineid.io/api/v1/usage")
        """,
    )
    assert "1 passed" in out, out


# -- the fixtures themselves -------------------------------------------------------------------------------------------


def test_both_clients_meet_one_control_plane(
    machineid_control_plane: InProcessControlPlane,
    machineid_respx: respx.MockRouter,
    machineid_responses: responses.RequestsMock,
) -> None:
    machineid_control_plane.register("a")
    headers = {"x-org-key": machineid_control_plane.org_key}
    first = requests.post(VALIDATE, json={"deviceId": "a"}, headers=headers, timeout=5)
    second = httpx.post(VALIDATE, json={"deviceId": "a"}, headers=headers)
    assert (first.json()["allowed"], second.json()["allowed"]) == (True, True)
    assert first.json()["request_id"] != second.json()["request_id"]
    assert [call.request_id for call in machineid_control_plane.calls] == [
        first.json()["request_id"],
        second.json()["request_id"],
    ]
    assert (len(machineid_respx.calls), len(machineid_responses.calls)) == (1, 1)
    assert machineid_respx.calls.last.response.json() == second.json()


def test_other_hosts_are_the_tests_own(
    machineid_respx: respx.MockRouter, machineid_responses: responses.RequestsMock
) -> None:
    machineid_respx.get("https://orders.example/").respond(201)
    machineid_responses.get("https://orders.example/", status=202)
    assert httpx.get("https://orders.example/").status_code == 201
    assert requests.get("https://orders.example/", timeout=5).status_code == 202
    with pytest.raises(respx.models.AllMockedAssertionError):
        httpx.get("https://other.example/")
    with pytest.raises(requests.ConnectionError, match="refused by Responses"):
        requests.get("https://other.example/", timeout=5)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_a_method_that_the_endpoint_does_not_have(
    method: str, machineid_respx: respx.MockRouter, machineid_responses: responses.RequestsMock
) -> None:
    url = "https://machineid.io/api/v1/devices/register"
    for answer in (requests.request(method, url, timeout=5), httpx.request(method, url)):
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert bool(answer.content) == (method != "HEAD")


@pytest.mark.parametrize("body", [b'{"deviceId": "a"}', '{"deviceId": "a"}', [b'{"deviceId"', b': "a"}']])
def test_any_way_to_give_a_body(
    body: bytes | str | list[bytes],
    machineid_control_plane: InProcessControlPlane,
    machineid_responses: responses.RequestsMock,
) -> None:
    machineid_control_plane.register("a")
    headers = {"x-org-key": machineid_control_plane.org_key}
    data = iter(body) if isinstance(body, list) else body
    assert requests.post(VALIDATE, data=data, headers=headers, timeout=5).json()["allowed"] is True


def test_timeouts_as_requests_takes_them(
    machineid_control_plane: InProcessControlPlane, machineid_responses: responses.RequestsMock
) -> None:
    machineid_control_plane.fault("hang=30")
    for timeout in (7, (1, 7), (1, None), None):
        with pytest.raises(requests.ConnectionError if timeout in (None, (1, None)) else requests.ReadTimeout):
            requests.post(VALIDATE, json={"deviceId": "a"}, timeout=timeout)
    assert [(call.ending, call.waited) for call in machineid_control_plane.calls] == [
        ("gave-up", 7.0),
        ("gave-up", 7.0),
        ("cut-off", 30.0),
        ("cut-off", 30.0),
    ]


def test_a_body_that_breaks_off_breaks_where_it_is_read(
    machineid_control_plane: InProcessControlPlane, machineid_respx: respx.MockRouter
) -> None:
    """A client that streams has the status before the body fails, as on a socket."""
    machineid_control_plane.fault("truncated=length")
    with httpx.stream(
        "POST", VALIDATE, json={"deviceId": "a"}, headers={"x-org-key": machineid_control_plane.org_key}
    ) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            answer.read()


def test_the_console_does_what_a_console_does(
    machineid_control_plane: InProcessControlPlane, machineid_responses: responses.RequestsMock
) -> None:
    console = machineid_control_plane

    def code() -> str:
        answer = requests.post(VALIDATE, json={"deviceId": "a"}, headers={"x-org-key": console.org_key}, timeout=5)
        return str(answer.json().get("code", answer.json().get("error")))

    console.register("a", "b")
    assert (code(), list(console.devices)) == ("ALLOW", ["a", "b"])
    console.revoke("a")
    assert (code(), console.devices["a"].revoked) == ("DEVICE_REVOKED", True)
    console.restore("a")
    console.disable()
    assert code() == "ORG_DISABLED"
    console.enable()
    console.set_plan_state("frozen")
    assert code() == "PLAN_FROZEN"
    console.set_plan_state("active")
    console.set_cap(0)
    assert code() == "DEVICE_LIMIT_EXCEEDED"
    console.set_plan("pro")
    assert code() == "ALLOW"
    old = console.org_key
    assert console.rotate() == console.org_key != old
    assert code() == "ALLOW"
    console.remove("a")
    assert code() == "DEVICE_NOT_REGISTERED"
    console.fault("status=503")
    assert code() == "service_unavailable"
    console.clear_faults()
    console.org_key = old
    assert code() == "invalid_org_key"


def test_threads_share_one_control_plane(
    machineid_control_plane: InProcessControlPlane, machineid_responses: responses.RequestsMock
) -> None:
    console = machineid_control_plane
    console.register("a")
    console.fault("status=503 nth=100")

    def ask(_: int) -> int:
        headers = {"x-org-key": console.org_key}
        return requests.post(VALIDATE, json={"deviceId": "a"}, headers=headers, timeout=5).status_code

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(ask, range(200)))
    assert (statuses.count(200), statuses.count(503)) == (199, 1)
    assert [call.status for call in console.calls].index(503) == 99
    assert len({call.request_id for call in console.calls}) == 200  # the one that failed has none
