"""The servers that the fake is timed beside, each in a process of its own, started behind a command (``taskset``).

nginx is of Debian, WireMock is a jar that comes in npm's package ``wiremock``; the others are of Python. Who is not on this machine is
left out, with a word about how to get it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import httpx

from tests.fake_control_plane.serving.bare import BODY, bare

DEVICES = 1_000
PATH = "/api/v1/devices/validate"
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A running server: ``pids`` are the processes that do its work; ``admin_url`` is the fake's."""

    url: str
    admin_url: str = ""
    pids: tuple[int, ...]
    headers: dict[str, str] = field(default_factory=dict)


class MissingServer(Exception):  # noqa: N818
    """This machine does not have it; the text says how it comes to have it."""


@contextmanager
def fake(before: Sequence[str], folder: Path, *arguments: str) -> Iterator[Timed]:
    """``fake-control-plane serve`` with 1,000 devices and one fault rule that no call of ours meets."""
    del folder
    reading, writing = os.pipe()
    command = [*before, sys.executable, "-m", "fake_control_plane.cli", "serve", "--port", "0", "--admin-port", "0"]
    options = ["--plan", "max", "--ready-fd", str(writing), *arguments]
    with subprocess.Popen([*command, *options], pass_fds=[writing], stdout=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            with os.fdopen(reading, encoding="utf-8") as ready:
                said = json.loads(ready.readline())
            key = {"x-org-key": said["org_key"]}
            with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
                for number in range(DEVICES):
                    body = {"deviceId": device(number)}
                    client.post(
                        said["base_url"] + "/api/v1/devices/register", json=body, headers=key
                    ).raise_for_status()
                rule = {"line": "status=503 operation=validate device=another:* first=2"}
                client.post(said["admin_url"] + "/admin/v1/faults", json=rule).raise_for_status()
            yield Timed(url=said["base_url"], admin_url=said["admin_url"], pids=(process.pid,), headers=key)
        finally:
            process.terminate()


@contextmanager
def fake_in_file(before: Sequence[str], folder: Path) -> Iterator[Timed]:
    """The same with ``--journal`` and ``--state``."""
    with fake(before, folder, "--journal", str(folder / "journal"), "--state", str(folder / "state")) as timed:
        yield timed


@contextmanager
def floor(before: Sequence[str], folder: Path) -> Iterator[Timed]:
    """httptools and uvloop, and a canned allow."""
    del folder
    with bare(*before) as (pid, port):
        yield Timed(url=f"http://127.0.0.1:{port}", pids=(pid,))


@contextmanager
def nginx(before: Sequence[str], folder: Path) -> Iterator[Timed]:
    """One worker, ``return 200``."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise MissingServer("apt-get install nginx-light")
    port = _free_port()
    text = BODY.decode()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"worker_processes 1; daemon off; master_process off; pid {folder}/pid; error_log stderr error;\n"
        "events { worker_connections 256; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; server {{ listen 127.0.0.1:{port};\n"
        f"location / {{ default_type application/json; return 200 '{text}'; }} }} }}\n",
        encoding="ascii",
    )
    with _process([*before, program, "-c", str(configuration), "-p", str(folder)], port) as timed:
        yield timed


@contextmanager
def wiremock(before: Sequence[str], folder: Path) -> Iterator[Timed]:
    """A mapping of the path, without its own journal: as fast as it goes."""
    java = shutil.which("java")
    if java is None or shutil.which("npm") is None:
        raise MissingServer("apt-get install default-jdk-headless npm")
    place = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "machineid-conformance" / "wiremock"
    place.mkdir(parents=True, exist_ok=True)
    if not list(place.glob("node_modules/wiremock/build/*.jar")):
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "wiremock@3"],
            cwd=place,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    (jar,) = place.glob("node_modules/wiremock/build/*.jar")
    mappings = folder / "mappings"
    mappings.mkdir()
    answer = {"status": 200, "headers": {"Content-Type": "application/json"}, "body": BODY.decode()}
    mapping = {"request": {"method": "POST", "urlPath": PATH}, "response": answer}
    (mappings / "validate.json").write_text(json.dumps(mapping), encoding="utf-8")
    port = _free_port()
    options = ["--port", str(port), "--root-dir", str(folder), "--no-request-journal", "--disable-banner"]
    with _process([*before, java, "-jar", str(jar), *options], port) as timed:
        yield timed


@contextmanager
def httpserver(before: Sequence[str], folder: Path) -> Iterator[Timed]:
    """pytest-httpserver as a test starts it, threaded; its log of requests is emptied by nobody."""
    del folder
    if find_spec("pytest_httpserver") is None:
        raise MissingServer("pip install pytest-httpserver")
    port = _free_port()
    program = (
        "import sys, threading\nfrom pytest_httpserver import HTTPServer\n"
        f"server = HTTPServer(port={port}, threaded=True)\n"
        f"server.expect_request({PATH!r}, method='POST').respond_with_data({BODY!r}, content_type='application/json')\n"
        "server.start()\nsys.stdin.read()\n"
    )
    with _process([*before, sys.executable, "-c", program], port) as timed:
        yield timed


SERVERS = {
    "fake": fake,
    "fake, in files": fake_in_file,
    "bare": floor,
    "nginx": nginx,
    "WireMock": wiremock,
    "pytest-httpserver": httpserver,
}


def device(number: int) -> str:
    return f"worker:bench:queue:{number:04}"


@contextmanager
def _process(command: Sequence[str], port: int) -> Iterator[Timed]:
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        stack.callback(process.terminate)
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None or time.monotonic() > until:
                    raise MissingServer(f"{' '.join(command)} does not listen") from None
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)  # no program of others tells when it listens
        yield Timed(url=f"http://127.0.0.1:{port}", pids=(process.pid,))


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
