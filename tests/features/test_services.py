"""``passthrough`` and ``expose``: a real Redis on this machine, over TCP and over its Unix socket."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from machineid_conformance.trace.events import EffectAnswered
from tests.features.support import configure, judge, require


@dataclass(frozen=True, kw_only=True)
class Redis:
    port: int
    path: Path

    def ask(self, *words: str) -> str:
        """One command; its answer's first line."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(" ".join(words).encode() + b"\r\n")
            with connection.makefile("r") as answer:
                line = answer.readline().strip()
                return answer.readline().strip() if line.startswith("$") and line != "$-1" else line


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    program = shutil.which("redis-server")
    require(program, "redis-server is not installed")
    assert program is not None
    folder = tmp_path_factory.mktemp("redis")
    folder.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", str(folder / "redis.sock")]
    command += ["--unixsocketperm", "777", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "eady to accept connections" in line:
                    break
            else:
                pytest.fail("redis-server ended before it accepted connections")
            yield Redis(port=port, path=folder / "redis.sock")
        finally:
            process.terminate()
            process.communicate()


COUNTER = """
import os, socket
from client import allowed, log, register


def increment(key):
    if "SOCKET" in os.environ:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(os.environ["SOCKET"])
        except OSError as error:
            log(failed=type(error).__name__)
            return
    else:
        connection = socket.create_connection(("localhost", int(os.environ["REDIS"])))
    with connection:
        connection.sendall(b"INCR " + key + b"\\r\\n")
        log(answer=connection.recv(100).decode().strip()[:1])


register()
if allowed("startup"):
    increment(b"permitted")
elif "CARELESS" in os.environ:
    increment(b"careless")
raise SystemExit(0 if allowed("end") else 1)
"""


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_passthrough_reaches_the_service_and_is_recorded(tmp_path: Path, redis: Redis, name: str) -> None:
    redis.ask("DEL", "permitted")
    keys = f"""
    env = {{ REDIS = "{redis.port}" }}
    passthrough = ["{name}:{redis.port}"]
    """
    judged = judge(configure(tmp_path / "target", keys, program=COUNTER), scenarios=("startup-revoked",))
    assert judged.having("fail", "warn") == set(), judged.explain()
    assert redis.ask("GET", "permitted") == "3"  # the fault-free runs
    for run in judged.runs():
        (effect,) = run.effects
        assert (effect.transport, effect.port, effect.role) == ("tcp", redis.port, "side-effect")
        assert [answer.effect for answer in run.of(EffectAnswered)] == [effect.effect]
        assert run.said[0] == '{"answer": ":"}'


def test_work_on_it_after_a_deny_is_caught(tmp_path: Path, redis: Redis) -> None:
    redis.ask("DEL", "careless")
    keys = f"""
    env = {{ REDIS = "{redis.port}", CARELESS = "1" }}
    passthrough = ["localhost:{redis.port}"]
    """
    judged = judge(configure(tmp_path / "target", keys, program=COUNTER), scenarios=("startup-revoked",))
    assert judged.exit == 1
    assert judged.status("startup/denied") == "fail", judged.printed
    assert redis.ask("GET", "careless") == "1"


def test_without_passthrough_nothing_reaches_the_service(tmp_path: Path, redis: Redis) -> None:
    redis.ask("DEL", "permitted")
    program = COUNTER.replace("connection.recv(100)", 'b"-"')  # nobody will answer
    judged = judge(configure(tmp_path / "target", f'env = {{ REDIS = "{redis.port}" }}', program=program))
    assert redis.ask("GET", "permitted") == "$-1"
    assert all(len(run.effects) == 1 for run in judged.runs())


@pytest.mark.parametrize("exposed", [True, False])
def test_a_unix_socket_is_there_only_when_it_is_exposed(tmp_path: Path, redis: Redis, exposed: bool) -> None:
    redis.ask("DEL", "permitted")
    keys = f"""
    env = {{ SOCKET = "{redis.path}" }}
    expose = ["{redis.path.parent}"]
    """
    if not exposed:
        keys = keys.replace("expose", "# expose")
    judged = judge(configure(tmp_path / "target", keys, program=COUNTER))
    first = {run.said[0] for run in judged.runs()}
    if exposed:
        assert first == {'{"answer": ":"}'}
        assert redis.ask("GET", "permitted") == "3"
        assert judged.target()["let_through"] == [f"expose {redis.path.parent}"]
        assert "let through: expose" in judged.text
    else:
        assert len(first) == 1
        assert "failed" in first.pop()
        assert redis.ask("GET", "permitted") == "$-1"


def test_other_machines_need_allow_remote(tmp_path: Path) -> None:
    judged = judge(configure(tmp_path / "target", 'passthrough = ["db.example:5432"]'))
    assert judged.exit == 2
    assert "targets.worker.passthrough[0]" in judged.text
    assert "allow_remote = true" in judged.text
    judged = judge(configure(tmp_path / "again", 'passthrough = ["db.example:5432"]\nallow_remote = true'))
    assert judged.exit == 3  # it runs; one scenario alone is never the whole


def test_a_service_that_is_not_there_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    keys = f"""
    env = {{ REDIS = "{port}" }}
    passthrough = ["localhost:{port}"]
    """
    program = COUNTER.replace("connection.recv(100)", 'b"-"')
    judged = judge(configure(tmp_path / "target", keys, program=program))
    assert any("Start the service" in run.text for run in judged.runs()), judged.printed
