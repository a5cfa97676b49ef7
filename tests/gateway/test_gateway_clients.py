"""The clients that runtimes are made of, unmodified."""

from __future__ import annotations

import asyncio
import http.client
import io
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests
from aiohttp.abc import AbstractResolver, ResolveResult
from machineid import MachineID  # type: ignore[import-untyped]

from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import Diagnosed, EffectAnswered, EffectStarted
from tests.gateway._support import AUTHORITY, Scene, run, trusting

URL = "https://machineid.io/api/v1/devices/validate"
HEADERS = {"x-org-key": "org_other_key_0001"}
BIG = 10_000_000
PLACES = {
    "control": Destination(host="198.18.0.1", port=443),
    "https": Destination(host="198.18.0.9", port=443),
    "http": Destination(host="198.18.0.9", port=80),
}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_bytes(AUTHORITY.pem)
    return path


@pytest.fixture(autouse=True)
def _nothing_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_requests(bundle: Path) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"y" * (BIG // 100)

    async def script(scene: Scene) -> None:
        proxy = f"http://127.0.0.1:{scene.port()}"

        def work() -> None:
            with requests.Session() as session:
                session.proxies = {"http": proxy, "https": proxy}
                session.verify = str(bundle)
                for _ in range(2):
                    answer = session.post(URL, json={"deviceId": "d"}, headers=HEADERS, timeout=10)
                    assert answer.json()["allowed"] is True
                assert session.put("http://api.example/x", data=b"y" * BIG, timeout=20).json() == {}
                assert session.put("https://api.example/y", data=pieces(), timeout=20).json() == {}

        await scene.client(work)

    director = run(script)
    assert [call.device for call in director.calls] == ["d", "d"]
    assert [effect.label for effect in director.of(EffectStarted)] == ["PUT api.example/x", "PUT api.example/y"]


def test_the_official_sdk(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def script(scene: Scene) -> None:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{scene.port()}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        monkeypatch.setenv("MACHINEID_ORG_KEY", HEADERS["x-org-key"])
        answer = await scene.client(lambda: MachineID.from_env().validate("d:1"))
        assert answer["allowed"] is True

    director = run(script)
    assert [(call.operation, call.device, call.key) for call in director.calls] == [
        ("validate", "d:1", "org_other_key_0001")
    ]


def test_httpx_with_a_pool() -> None:
    async def script(scene: Scene) -> None:
        proxy = f"http://127.0.0.1:{scene.port()}"
        async with httpx.AsyncClient(proxy=proxy, verify=trusting(), timeout=20) as client:
            answers = await asyncio.gather(*(client.post(f"https://api.example/{n}", json={"n": n}) for n in range(12)))
            assert [answer.json() for answer in answers] == [{}] * 12
            answer = await client.post(URL, json={"deviceId": "d"}, headers=HEADERS)
            assert answer.json()["allowed"] is True

    director = run(script)
    assert len(director.of(EffectAnswered)) == 12
    assert len(director.calls) == 1


class _Resolver(AbstractResolver):
    """Sends every host to the stub's listener of that name's kind."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        kind = "control" if host == "machineid.io" else "https"
        return [ResolveResult(hostname=host, host="127.0.0.1", port=self._ports[kind], family=family, proto=0, flags=0)]

    async def close(self) -> None:
        return None


def test_aiohttp() -> None:
    async def script(scene: Scene) -> None:
        connector = aiohttp.TCPConnector(resolver=_Resolver(scene.world.ports), ssl=trusting())
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.post(URL, json={"deviceId": "d"}, headers=HEADERS) as answer:
                assert (await answer.json())["allowed"] is True
            async with session.post("https://api.example/up", data=io.BytesIO(b"z" * BIG), expect100=True) as answer:
                assert await answer.json() == {}

    director = run(script, places=PLACES)
    assert len(director.calls) == 1
    assert [effect.label for effect in director.of(EffectStarted)] == ["POST api.example/up"]


def test_http_client() -> None:
    async def script(scene: Scene) -> None:
        def work() -> None:
            client = http.client.HTTPSConnection("api.example", context=trusting())
            plain = socket.create_connection(("127.0.0.1", scene.port("https")))
            client.sock = trusting().wrap_socket(plain, server_hostname="api.example")
            for path in ("/1", "/2"):
                client.request("DELETE", path)
                assert client.getresponse().read() == b"{}"
            client.close()

        await scene.client(work)

    director = run(script, places=PLACES)
    assert [effect.label for effect in director.of(EffectStarted)] == ["DELETE api.example/1", "DELETE api.example/2"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(bundle: Path) -> None:
    async def script(scene: Scene) -> None:
        def work(*arguments: str) -> subprocess.CompletedProcess[bytes]:
            hosts = [("machineid.io", 443, "control"), ("api.example", 443, "https"), ("api.example", 80, "http")]
            command = ["curl", "-sS", "--cacert", str(bundle)]
            for host, port, kind in hosts:
                command += ["--connect-to", f"{host}:{port}:127.0.0.1:{scene.port(kind)}"]
            command += arguments
            return subprocess.run(command, capture_output=True, check=False, timeout=20)

        def validate() -> subprocess.CompletedProcess[bytes]:
            return work("-H", "x-org-key: org_other_key_0001", "--json", '{"deviceId": "d"}', URL)

        def upload() -> subprocess.CompletedProcess[bytes]:
            return work("-H", "Expect: 100-continue", "--data-binary", f"@{bundle}", "https://api.example/up")

        def upgrade() -> subprocess.CompletedProcess[bytes]:
            return work("--http2", "--data", "a=b", "http://api.example/h2c", "http://api.example/again")

        assert b'"allowed": true' in (await scene.client(validate)).stdout
        assert (await scene.client(upload)).stdout == b"{}"
        assert (await scene.client(upgrade)).stdout == b"{}{}"
        # curl would wait for an answer to its preface; what matters is that it is seen.
        knowing = asyncio.create_task(
            scene.client(work, "--http2-prior-knowledge", "--max-time", "1", "http://api.example/")
        )
        assert (await knowing).returncode != 0

    director = run(script, places=PLACES)
    assert [call.device for call in director.calls] == ["d"]
    labels = [effect.label for effect in director.of(EffectStarted)]
    assert labels == ["POST api.example/up", "POST api.example/h2c", "POST api.example/again", "tcp 198.18.0.9:80"]
    assert [event.problem for event in director.of(Diagnosed)] == ["http2-only"]


def test_a_client_of_tls_1_2() -> None:
    async def script(scene: Scene) -> None:
        def work() -> None:
            context = trusting()
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            plain = socket.create_connection(("127.0.0.1", scene.port("https")))
            with context.wrap_socket(plain, server_hostname="api.example") as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n")
                assert b"200 OK" in sock.recv(65536)

        await scene.client(work)

    assert len(run(script, places=PLACES).of(EffectStarted)) == 1
