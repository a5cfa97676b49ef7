"""Where the server is found, what is said where none is, and that none stays behind."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from machineid_conformance.toxics.find import IMAGE, PROGRAM, ToxiproxyUnavailable, container_command, opened
from machineid_conformance.toxics.route import refuses
from tests.toxics.support import needs_toxiproxy, server


def described(environment: Mapping[str, str]) -> tuple[str, int]:
    """How a server was found with these variables, and its API's port."""

    async def script() -> tuple[str, int]:
        async with asyncio.timeout(60), opened(environment) as toxiproxy:
            assert await toxiproxy.server.ask(toxiproxy.server.answers)
            return toxiproxy.described, toxiproxy.server.port

    return asyncio.run(script())


def unavailable(environment: Mapping[str, str]) -> str:
    with pytest.raises(ToxiproxyUnavailable) as error:
        described(environment)
    return str(error.value)


@contextmanager
def api(version: str, proxies: Mapping[str, object] | None = None) -> Iterator[str]:
    """Something that answers as an API of that version, and makes the one proxy that it was told of."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(version if self.path == "/version" else "{}")

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(json.dumps({**asked, **(proxies or {})}))

        def do_DELETE(self) -> None:
            self._answer("")

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        serving = threading.Thread(target=running.serve_forever)
        serving.start()
        try:
            yield f"http://127.0.0.1:{running.server_port}"
        finally:
            running.shutdown()
            serving.join()


# -- found ------------------------------------------------------------------------------------------------------------------


@needs_toxiproxy
def test_on_path_it_is_started_and_ended() -> None:
    program = shutil.which(PROGRAM)
    assert program is not None
    said, port = described({"PATH": str(Path(program).parent)})
    assert said.endswith(f"({PROGRAM} on PATH)")
    assert refuses("127.0.0.1", port)


@needs_toxiproxy
def test_at_a_url_it_is_used_and_left_running() -> None:
    with server() as (url, process):
        said, port = described({"TOXIPROXY_URL": url, "PATH": os.environ["PATH"]})
        assert said.endswith(f"(TOXIPROXY_URL={url})")
        assert url.endswith(f":{port}")
        assert process.poll() is None
        # It serves others too: nothing of ours stays in it.
        names = subprocess.run(["curl", "-s", f"{url}/proxies"], capture_output=True, check=True, text=True).stdout
        assert json.loads(names) == {}


@needs_toxiproxy
def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with server() as (url, _):
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert described({"TOXIPROXY_URL": url, "PATH": ""})


@needs_toxiproxy
def test_as_a_container_it_is_started_on_this_machines_network_and_ended(tmp_path: Path) -> None:
    """The engine is a program that runs the image's own program: it is the command that is tried here, and its end."""
    program = shutil.which(PROGRAM)
    told = tmp_path / "told"
    docker = tmp_path / "docker"
    docker.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {told}\nwhile [ "$1" != {IMAGE} ]; do shift; done; shift\nexec {program} "$@"\n',
        encoding="utf-8",
    )
    docker.chmod(0o755)
    said, port = described({"PATH": f"{tmp_path}"})
    assert said.endswith(f"(container of {IMAGE})")
    assert refuses("127.0.0.1", port)
    words = told.read_text(encoding="utf-8").split("\n")[:-1]
    expected = container_command("docker", IMAGE, port)[1:]
    assert [*words[:6], *words[7:]] == [*expected[:6], *expected[7:]]  # but for the name, another each time
    assert words[0] == "run"
    assert "--rm" in words
    assert words[words.index("--network") + 1] == "host"


# -- not found ----------------------------------------------------------------------------------------------------------------


def check_remedies(said: str) -> None:
    assert f"put {PROGRAM} on PATH" in said
    assert "TOXIPROXY_URL=http://127.0.0.1:8474" in said
    assert IMAGE in said


def test_no_server_says_the_three_remedies(tmp_path: Path) -> None:
    said = unavailable({"PATH": str(tmp_path)})
    assert said.startswith("no Toxiproxy server was found.")
    check_remedies(said)


def test_an_engine_for_containers_that_does_not_run_is_quoted(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 125\n", encoding="utf-8")
    docker.chmod(0o755)
    said = unavailable({"PATH": str(tmp_path)})
    assert "docker run did not start: Cannot connect to the Docker daemon" in said
    check_remedies(said)


def test_a_program_that_ends_at_once_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / PROGRAM
    program.write_text("#!/bin/sh\necho 'exec format error' >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    assert f"{program} did not start: exec format error" in unavailable({"PATH": str(tmp_path)})


def test_nothing_at_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    said = unavailable({"TOXIPROXY_URL": url})
    assert said.startswith(f"nothing answers as Toxiproxy at TOXIPROXY_URL={url}.")
    check_remedies(said)


@pytest.mark.parametrize("url", ["https://127.0.0.1:8474", "127.0.0.1:8474", "http://", "http://a:b", "http://h:1/x"])
def test_what_is_no_url_of_an_api(url: str) -> None:
    said = unavailable({"TOXIPROXY_URL": url})
    assert url in said
    assert "expected http://HOST:PORT" in said


def test_too_old() -> None:
    with api("2.1.4") as url:
        said = unavailable({"TOXIPROXY_URL": url})
    assert f"Toxiproxy 2.1.4 (TOXIPROXY_URL={url}) is too old; expected 2.2.0" in said
    check_remedies(said)


def test_a_server_whose_proxies_cannot_be_reached_from_here() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    with api("2.12.0", {"listen": nobody}) as url:
        said = unavailable({"TOXIPROXY_URL": url})
    assert "is not on this machine's network" in said
    assert nobody in said
    assert "--network host" in said


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "sys.modules['toxiproxy'] = None\n"
        "from machineid_conformance.toxics.find import opened\n"
        "asyncio.run(opened({'TOXIPROXY_URL': 'http://127.0.0.1:1'}).__aenter__())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "pip install 'machineid-conformance[toxiproxy]'" in done.stderr.splitlines()[-1]


# -- nothing stays behind -------------------------------------------------------------------------------------------------------


@needs_toxiproxy
def test_a_session_that_is_killed_takes_its_server_along() -> None:
    script = (
        "import asyncio\n"
        "from machineid_conformance.toxics.find import opened\n"
        "async def main():\n"
        "    async with opened() as toxiproxy:\n"
        "        print(toxiproxy.server.port, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env={**os.environ, "TOXIPROXY_URL": ""}
    ) as session:
        assert session.stdout is not None
        port = int(session.stdout.readline())
        assert not refuses("127.0.0.1", port)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as watching:
            session.kill()
            assert ended(watching)  # the server's end closes what was connected to it


def ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
