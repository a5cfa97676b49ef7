"""The floor that a run is compared with: the same target against a server that allows everything at once.

``python -m tests.bench.floor TARGET TIMES`` makes one network namespace, once, in which every address is local and every name that the
target looks up leads there; in it one asyncio + httptools server ends TLS and answers from memory. The target is then started TIMES
times, one after the other, by a plain fork and exec. Nothing is recorded, held, judged or kept apart between two starts. Prints one JSON
object: ``wall`` (seconds from the fork until the process was waited for and its output was at its end, a list), ``cpu`` (of the
target, per start) and ``exits``.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import ssl
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httptools

from fake_control_plane.certificates import Authority
from machineid_conformance.config.load import load
from machineid_conformance.config.model import Target
from machineid_conformance.isolation import linux, netlink
from machineid_conformance.isolation.environment import target_environment
from machineid_conformance.isolation.trust import trust_environment
from machineid_conformance.judge.registry import rules

RUNTIMES = Path(__file__).parent.parent / "runtimes" / "machineid-conformance.toml"
CONTROL = "machineid.io"
NAMES = (CONTROL, "queue.example", "api.example", "alerts.example")
REGISTERED = {
    "status": "ok",
    "handler": "devices/register",
    "deviceId": "",
    "planTier": "max",
    "limit": 1000,
    "devicesUsed": 1,
}
ALLOWED = {"allowed": True, "code": "ALLOW", "request_id": "00000000-0000-4000-8000-000000000000"}


def bundled(name: str) -> Target:
    """A target of ``tests/runtimes``."""
    return next(target for target in load(RUNTIMES, known_rules=rules()).targets if target.name == name)


class Answers:
    """What the server says, each answer rendered once; ``again`` before each start of the target."""

    def __init__(self, target: Target) -> None:
        queue = next(rule for rule in target.effects if rule.role == "task-source")
        self._queue = [_render(answer.status, answer.json) for answer in queue.answers]
        self._control = {"register": _render(200, REGISTERED), "validate": _render(200, ALLOWED)}
        self._else = _render(200, {})
        self._taken = 0

    def again(self) -> None:
        self._taken = 0

    def to(self, path: str) -> bytes:
        if path == "/next":
            self._taken += 1
            return self._queue[min(self._taken, len(self._queue)) - 1]
        return self._control.get(path.rpartition("/")[2], self._else)


class Server(asyncio.Protocol):
    """One connection. httptools calls the ``on_`` methods."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._path = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._path = url.decode("ascii")

    def on_message_complete(self) -> None:
        self._transport.write(self._answers.to(self._path))
        if not self._parser.should_keep_alive():
            self._transport.close()


def _render(status: int, body: object) -> bytes:
    if status == 204:
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    payload = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    return head.encode() + payload


def enter_own_network(folder: Path) -> None:
    """Move this process into user, network and mount namespaces of its own, where all of ``NAMES`` are this machine."""
    user, group = os.geteuid(), os.getegid()
    linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNET | linux.CLONE_NEWNS)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0", encoding="ascii")
    netlink.every_address_is_local()
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    hosts = folder / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *NAMES)), encoding="ascii")
    switch = folder / "nsswitch.conf"
    switch.write_text("hosts: files\npasswd: files\ngroup: files\n", encoding="ascii")
    for source in (hosts, switch):
        linux.mount(str(source), f"/etc/{source.name}", None, linux.MS_BIND)


async def measure(target: Target, times: int, folder: Path) -> dict[str, Sequence[float]]:
    """Start the target ``times`` times, one at a time."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    context = authority.context_for(CONTROL)

    def by_name(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        tls.context = authority.context_for(name or CONTROL)

    context.sni_callback = by_name  # asyncio's TLS is a MemoryBIO's: an SSLObject
    answers = Answers(target)
    server = await asyncio.get_running_loop().create_server(lambda: Server(answers), "127.0.0.1", 443, ssl=context)
    world = {**trust_environment(str(folder)), "HOME": str(folder), "TMPDIR": str(folder)}
    environment = target_environment(target, world, org_key="org_" + 32 * "0", device=target.devices[0], port=None, n=1)
    wall, cpu, exits = list[float](), list[float](), list[float]()
    async with server:
        for _ in range(times):
            answers.again()
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *target.command,
                cwd=target.cwd,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            _, stderr = await process.communicate()
            wall.append(time.monotonic() - began)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
            exits.append(process.returncode or 0)
            if process.returncode:
                raise RuntimeError(
                    f"{target.name} ended with {process.returncode} against the floor's server:\n{stderr.decode()}"
                )
    return {"wall": wall, "cpu": cpu, "exits": exits}


def main() -> None:
    """See the module."""
    _, name, times = sys.argv
    target = bundled(name)
    with tempfile.TemporaryDirectory() as folder:
        enter_own_network(Path(folder))
        print(json.dumps(asyncio.run(measure(target, int(times), Path(folder)))))


if __name__ == "__main__":
    main()
