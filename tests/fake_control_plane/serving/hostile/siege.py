"""A server under attack: what a well-behaved client waits meanwhile, and what the server takes of the machine.

The client asks at fixed times. Where an answer is so late that it misses some, those count too: for clients who would have asked
then. The time in which server or client were ready to run and had no processor is the machine's doing, which the attack shares with
them: the kernel counts it (``/proc/PID/schedstat``), and it is taken off.
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from select import select
from typing import Any

import httpx

from tests.fake_control_plane.serving.hostile.attacks import Order
from tests.fake_control_plane.serving.hostile.hostile_bytes import validate
from tests.fake_control_plane.serving.servers import process

PERIOD = 0.005
FRESH = 8
"""Every so many requests one is made on a new connection."""

PATIENCE = 60.0


class Caller:
    """A client with one connection to a server. ``tls``: what it trusts."""

    def __init__(self, port: int, request: bytes, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._request = request
        self._tls = tls
        self._kept: socket.socket | None = None

    def ask(self, *, anew: bool = False) -> float:
        """Make one request, on a connection of its own if ``anew``; when its answer was there, on ``time.perf_counter``."""
        if anew:
            self.close()
        if self._kept is None:
            self._kept = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            self._kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                self._kept = self._tls.wrap_socket(self._kept, server_hostname="localhost")
        self._kept.sendall(self._request)
        answer = b""
        while not answer.endswith(b"}"):
            piece = self._kept.recv(1 << 16)
            assert piece, "the server closed the connection of a well-behaved client"
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        assert b'"allowed": true' in answer, answer
        return time.perf_counter()

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None


@dataclass(frozen=True, kw_only=True)
class Endured:
    """``waited``, ``median``, ``longest``: seconds, without those in which there was no processor; ``by_the_clock``: with them. ``waited``
    and ``by_the_clock`` are at the 99th percentile. ``memory``: RSS in bytes and ``descriptors``: the most seen during the attack.
    ``counts``: what the attack did.
    """

    attack: str
    waited: float
    median: float
    longest: float
    by_the_clock: float
    memory: int
    descriptors: int
    counts: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """For people."""
        return (
            f"{self.attack:<10} p50 {self.median * 1e3:7.2f} ms  p99 {self.waited * 1e3:7.2f} ms  max {self.longest * 1e3:7.2f} ms  "
            f"by the clock {self.by_the_clock * 1e3:7.2f} ms  "
            f"RSS {self.memory / 1e6:5.0f} MB  descriptors {self.descriptors:5}  {self.counts}"
        )


class Besieged:
    """``pid`` of the server; ``key`` of the org whose device ``well-behaved`` is allowed."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.pid = int(ready["pid"])
        self.key = str(ready["org_key"])
        self.port = httpx.URL(ready["base_url"]).port or 0
        self.tls = ssl.create_default_context(cafile=ready["ca"]) if ready["ca"] else None
        with httpx.Client(base_url=ready["base_url"], verify=self.tls or False, trust_env=False) as client:
            made = client.post(
                "/api/v1/devices/register", json={"deviceId": "well-behaved"}, headers={"x-org-key": self.key}
            )
            assert made.status_code == 200, made.text
        request = validate(self.key, b'{"deviceId": "well-behaved"}')
        self.caller = Caller(self.port, request, self.tls)
        self.caller.ask()
        self.before = self.descriptors()

    def memory(self) -> int:
        """Resident bytes now."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the server is gone")

    def descriptors(self) -> int:
        """Open files now."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def unscheduled(self) -> float:
        """Seconds that the server and this process have been ready to run so far, and had no processor."""
        files = (Path(f"/proc/{self.pid}/schedstat"), Path("/proc/thread-self/schedstat"))
        return sum(int(file.read_text(encoding="ascii").split()[1]) for file in files) / 1e9

    def calm(self, seconds: float) -> Endured:
        """No attack, for so many seconds: what the others are to be compared with."""
        return self._ask("calm", seconds, lambda until: select([], [], [], until))

    def endure(self, attack: str, *, connections: int, seconds: float, seed: int) -> Endured:
        """One attack, for so many seconds after it has its full strength."""
        order = Order(
            attack=attack, port=self.port, tls=self.tls is not None, key=self.key, connections=connections, seed=seed
        )
        with _attacking(order) as attacker:
            said = attacker.readline(2 * PATIENCE)
            assert said == {"under_way": True}, said
            endured = self._ask(attack, seconds, attacker.watch)
            return replace(endured, counts=attacker.end())

    def _ask(self, attack: str, seconds: float, watch: Callable[[float], object]) -> Endured:
        """Ask all the time. ``watch`` waits for so many seconds between two requests."""
        asked: list[float] = []
        clock: list[float] = []
        memory = descriptors = 0
        due = time.perf_counter()
        number = look = 0
        while number < seconds / PERIOD:
            due = max(due + PERIOD, time.perf_counter())
            watch(max(0.0, due - time.perf_counter()))
            before, began = self.unscheduled(), time.perf_counter()
            waited = self.caller.ask(anew=number % FRESH == 0) - began
            without = max(0.0, waited - (self.unscheduled() - before))
            # Who would have asked meanwhile would have had the answer no sooner.
            clock += [waited - late * PERIOD for late in range(1 + int(waited / PERIOD))]
            asked += [without - late * PERIOD for late in range(1 + int(without / PERIOD))]
            if number >= look:
                look = number + 20
                memory = max(memory, self.memory())
                descriptors = max(descriptors, self.descriptors())
            number += 1 + int(waited / PERIOD)
        return Endured(
            attack=attack,
            waited=_percentile(asked, 0.99),
            median=_percentile(asked, 0.5),
            longest=max(asked),
            by_the_clock=_percentile(clock, 0.99),
            memory=memory,
            descriptors=descriptors,
        )

    def recover(self, within: float = 30.0) -> int:
        """Ask until the server has as few files open as before all attacks, at most so many seconds; how many it has then."""
        until = time.perf_counter() + within
        while (now := self.descriptors()) > self.before and time.perf_counter() < until:
            self.caller.ask()
        return now


@contextmanager
def besieged(*arguments: str) -> Iterator[Besieged]:
    """A server in a process of its own that can be attacked, until the block ends: then it ended in good order."""
    with process(*arguments) as ready:
        server = Besieged(ready)
        try:
            yield server
        finally:
            server.caller.close()


class _Attacking:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def readline(self, within: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        ready, _, _ = select([self._process.stdout], [], [], within)
        assert ready, f"the attack has not its full strength within {within:g} s"
        value: dict[str, Any] = json.loads(self._process.stdout.readline() or b"{}")
        return value

    def watch(self, seconds: float) -> None:
        """Until so many seconds passed; an attack that ends meanwhile has failed."""
        assert self._process.stdout is not None
        ready, _, _ = select([self._process.stdout], [], [], seconds)
        assert not ready, "the attack ended early"

    def end(self) -> dict[str, int]:
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.readline(PATIENCE)


@contextmanager
def _attacking(order: Order) -> Iterator[_Attacking]:
    command = [sys.executable, "-m", "tests.fake_control_plane.serving.hostile.attacks", json.dumps(asdict(order))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as attacker:
        try:
            yield _Attacking(attacker)
            assert attacker.wait(PATIENCE) == 0
        finally:
            attacker.kill()


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
