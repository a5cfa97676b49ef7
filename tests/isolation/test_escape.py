"""Nothing escapes: every way out that a runtime has arrives at the world's listeners, or fails."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import sys
from pathlib import Path

import pytest

from tests.isolation.support import ADDRESS, Internet, Seen, opened, place, program, require, run, run_python

HTTPS = {
    "requests": """
import requests
session = requests.Session()
session.trust_env = False
print(session.post('https://api.example/x', data=b'1').status_code)
""",
    "urllib3": "import urllib3; print(urllib3.PoolManager().request('POST', 'https://api.example/x', body=b'1').status)",
    "http.client": """
import http.client
connection = http.client.HTTPSConnection('api.example')
connection.request('POST', '/x', b'1')
print(connection.getresponse().status)
""",
    "httpx": "import httpx; print(httpx.Client(trust_env=False).post('https://api.example/x', content=b'1').status_code)",
    "aiohttp": """
import aiohttp, asyncio
async def main():
    async with aiohttp.ClientSession() as s, s.post('https://api.example/x', data=b'1') as r:
        print(r.status)
asyncio.run(main())
""",
    "raw TLS": """
import socket, ssl
with ssl.create_default_context().wrap_socket(socket.create_connection(('api.example', 443)), server_hostname='api.example') as s:
    s.sendall(b'POST /x HTTP/1.1\\r\\nHost: api.example\\r\\nContent-Length: 0\\r\\n\\r\\n')
    print(s.recv(100).split()[1].decode())
""",
}


def escape(script: str, environment: dict[str, str] | None = None) -> tuple[Seen, Internet]:
    async def go(root: object) -> tuple[Seen, Internet]:
        async with opened(here.spec()) as world, Internet(world, here.authority) as internet:
            seen = await run_python(world, script, environment)
            await internet.settled()
            return seen, internet

    with place() as here:
        return asyncio.run(go(here))


@pytest.mark.parametrize("environment", [None, {}], ids=["CA variables", "empty environment"])
@pytest.mark.parametrize("client", HTTPS)
def test_https_clients_arrive_with_the_certificate_accepted(client: str, environment: dict[str, str] | None) -> None:
    module = client if client in {"requests", "urllib3", "httpx", "aiohttp"} else "ssl"
    require(importlib.util.find_spec(module), f"{module} is not installed")
    seen, internet = escape(HTTPS[client], environment)
    assert (seen.output().strip(), seen.exited.code) == (b"200", 0), seen.output("stderr").decode()
    assert [(host, port, first.split(b" ")[0]) for host, port, first in internet.arrived] == [(ADDRESS, 443, b"POST")]
    assert set(internet.names) == {"api.example"}


def test_curl_arrives_without_any_variable() -> None:
    curl = program("curl")

    async def go() -> None:
        async with opened(here.spec(command=(curl,))) as world, Internet(world, here.authority) as internet:
            seen = await run(world, [curl, "-sS", "-d", "x", "https://api.example/x"], {})
            await internet.settled()
            assert (seen.output(), seen.exited.code) == (b"{}", 0), seen.output("stderr")
            assert [(host, port) for host, port, _ in internet.arrived] == [(ADDRESS, 443)]

    with place() as here:
        asyncio.run(go())


def test_node_fetch_arrives() -> None:
    node = program("node")
    script = "fetch('https://api.example/x', {method: 'POST', body: '1'}).then(r => console.log(r.status))"

    async def go() -> None:
        async with opened(here.spec(command=(node,))) as world, Internet(world, here.authority) as internet:
            seen = await run(world, [node, "-e", script])
            await internet.settled()
            assert (seen.output(), seen.exited.code) == (b"200\n", 0), seen.output("stderr")
            assert [(host, port) for host, port, _ in internet.arrived] == [(ADDRESS, 443)]

    with place() as here:
        asyncio.run(go())


def test_java_trusts_the_authority(tmp_path: Path) -> None:
    java = program("java")
    program("javac")
    (tmp_path / "Get.java").write_text(
        "import java.net.*; public class Get { public static void main(String[] a) throws Exception {"
        ' System.out.println(((HttpURLConnection) new URL("https://api.example/x").openConnection()).getResponseCode()); } }'
    )

    async def go() -> None:
        spec = here.spec(cwd=tmp_path, command=(java,))
        async with opened(spec) as world, Internet(world, here.authority) as internet:
            seen = await run(world, [java, "Get.java"])
            await internet.settled()
            assert (seen.output(), seen.exited.code) == (b"200\n", 0), seen.output("stderr")
            assert [(host, port) for host, port, _ in internet.arrived] == [(ADDRESS, 443)]

    with place() as here:
        asyncio.run(go())


@pytest.mark.parametrize(
    ("host", "port"),
    [("192.0.2.1", 25), ("8.8.8.8", 53), ("127.0.0.1", 6379), ("2001:db8::1", 9), ("::1", 5432), ("10.0.0.1", 65000)],
)
def test_raw_connections_to_any_address_and_port_arrive(host: str, port: int) -> None:
    script = f"import socket; s = socket.create_connection(({host!r}, {port})); s.sendall(b'hello'); print(s.getpeername()[:2])"
    seen, internet = escape(script)
    assert seen.output().decode().strip() == str((host, port)), seen.output("stderr")
    assert (host, port, b"hello") in internet.arrived


def test_datagrams_are_seen_and_go_nowhere() -> None:
    script = """
import socket
for family, host in ((socket.AF_INET, '192.0.2.9'), (socket.AF_INET6, '2001:db8::9')):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.sendto(b'quic?', (host, 443))
"""
    seen, _ = escape(script)
    assert seen.exited.code == 0, seen.output("stderr")
    assert [(d.host, d.port, d.size) for d in seen.datagrams] == [("192.0.2.9", 443, 5), ("2001:db8::9", 443, 5)]


@pytest.mark.parametrize("where", ["/tmp", "/run", "~", "@abstract"])
def test_unix_sockets_outside_the_working_folder_cannot_be_reached(where: str) -> None:
    folder = Path(where).expanduser()
    if where != "@abstract":
        require(os_access(folder), f"{folder} cannot be written to")
    with place() as here, socket.socket(socket.AF_UNIX) as listener:
        path = f"{folder}/{here.root.name}.sock" if where != "@abstract" else f"\0{here.root.name}"
        listener.bind(path)
        listener.listen()
        try:
            with socket.socket(socket.AF_UNIX) as control:
                control.connect(path)  # from the host it can be reached

            async def go() -> Seen:
                async with opened(here.spec()) as world:
                    return await run_python(world, f"import socket; socket.socket(socket.AF_UNIX).connect({path!r})")

            seen = asyncio.run(go())
            assert seen.exited.code == 1
            assert b"FileNotFoundError" in seen.output("stderr") or b"ConnectionRefusedError" in seen.output("stderr")
        finally:
            if where != "@abstract":
                Path(path).unlink()


def os_access(folder: Path) -> bool:
    try:
        probe = folder / f"machineid-test-{id(folder)}"
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def test_an_exposed_socket_can_be_reached() -> None:
    with place() as here, socket.socket(socket.AF_UNIX) as listener:
        exposed = here.root / "exposed"
        exposed.mkdir()
        path = f"{exposed}/s.sock"
        listener.bind(path)
        listener.listen()
        for name in (str(exposed), path):

            async def go(name: str = name) -> Seen:
                script = f"import socket; s = socket.socket(socket.AF_UNIX); s.connect({path!r}); print('connected')"
                async with opened(here.spec(expose=(name,))) as world:
                    return await run_python(world, script)

            assert asyncio.run(go()).output() == b"connected\n"
            listener.accept()[0].close()


def test_no_capability_is_left_and_none_can_be_had() -> None:
    script = """
import os, socket
lines = dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(lines['CapEff'], lines['CapPrm'], lines['CapBnd'], lines['NoNewPrivs'])
def mark(): socket.socket().setsockopt(socket.SOL_SOCKET, 36, 0x4D49)
def tap(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
for attempt in (mark, tap):
    try:
        attempt()
    except PermissionError:
        print('refused')
"""
    seen, _ = escape(script)
    assert seen.output().decode().split() == ["0" * 16] * 3 + ["1", "refused", "refused"], seen.output("stderr")


def test_kernel_settings_and_devices_of_the_host_are_out_of_reach() -> None:
    script = """
import os
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/vm/swappiness', '/sys/kernel/mm/ksm/run', '/proc/sysrq-trigger'):
    try:
        os.close(os.open(path, os.O_WRONLY))
        print('writable', path)
    except (PermissionError, OSError) as error:
        pass
print(sorted(os.listdir('/dev')))
print(os.listdir('/run'))
"""
    seen, _ = escape(script)
    devices, run_folder = seen.output().decode().splitlines()
    assert set(eval(devices)) == {
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero",
    }  # fmt: skip
    assert run_folder == "[]"


def test_refused_control_plane_is_refused_at_once_and_accepts_again() -> None:
    script = f"""
import socket
for _ in range(3):
    s = socket.socket()
    try:
        s.connect(('198.18.0.1', 443)); print('connected', flush=True)
    except ConnectionRefusedError:
        print('refused', flush=True)
    other = socket.create_connection(('{ADDRESS}', 80)); other.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); other.recv(1)
"""

    async def go() -> tuple[Seen, list[tuple[str, int]]]:
        async with opened(here.spec()) as world:
            refusing = iter((True, False))
            order = []

            async def serve() -> None:
                loop = asyncio.get_running_loop()
                while True:
                    accepted, _ = await loop.sock_accept(world.listeners[0])
                    with accepted:
                        destination = world.destination(accepted)
                        assert destination is not None
                        order.append((destination.host, destination.port))
                        refuse = next(refusing, None)
                        if refuse is not None:
                            world.refuse_control(refuse)
                        accepted.setblocking(False)
                        await loop.sock_sendall(accepted, b"x")

            serving = asyncio.create_task(serve())
            seen = await run_python(world, script)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            return seen, order

    with place() as here:
        seen, order = asyncio.run(go())
    assert seen.output().split() == [b"connected", b"refused", b"connected"], seen.output("stderr")
    assert [event.port for event in seen.refused] == [443]
    assert order == [(ADDRESS, 80)] * 3


@pytest.mark.parametrize("kept", [True, False], ids=["open", "closed by the control plane first"])
def test_refused_control_plane_accepts_again_whatever_connections_there_were_before(kept: bool) -> None:
    """A connection that was accepted, and what the kernel remembers of a closed one, have the listener's port as their own."""
    script = """
import socket
before = socket.create_connection(('198.18.0.1', 443))
while True:
    try:
        socket.create_connection(('198.18.0.1', 443)); print('connected'); break
    except ConnectionRefusedError:
        pass
"""

    async def go() -> Seen:
        async with opened(here.spec()) as world:
            assert world.control_listener is not None
            running = asyncio.create_task(run_python(world, script))
            accepted, _ = await asyncio.get_running_loop().sock_accept(world.control_listener)
            with accepted:
                if not kept:
                    accepted.close()
                world.refuse_control(True)
                world.refuse_control(False)
                return await running

    with place() as here:
        seen = asyncio.run(go())
    assert seen.output() == b"connected\n", seen.output("stderr")


def test_the_engine_reaches_the_targets_own_listener_inside() -> None:
    script = """
import socket
s = socket.create_server(('127.0.0.1', 8080)); print('up', flush=True)
c, _ = s.accept(); c.sendall(b'hi')
"""

    async def go() -> None:
        async with opened(here.spec()) as world:
            assert await world.connect_inside(8080) is None
            await world.start(command=[sys.executable, "-c", script], environment={})
            seen = Seen()
            await seen.until_output(world, b"up\n")
            inside = await world.connect_inside(8080)
            assert inside is not None
            with inside:
                assert await asyncio.get_running_loop().sock_recv(inside, 10) == b"hi"

    with place() as here:
        asyncio.run(go())


def test_privileged_ports_can_be_bound() -> None:
    seen, _ = escape("import socket; socket.create_server(('127.0.0.1', 80)); print('bound')")
    assert seen.output() == b"bound\n", seen.output("stderr")
