"""A stub world on real loopback sockets, and a director that writes down what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from fake_control_plane.answers import Answer
from fake_control_plane.api import Call
from fake_control_plane.certificates import Authority
from fake_control_plane.faults.api import AnswerFault, Ending, ListenerFault, Receipt
from machineid_conformance.config.model import EffectRule, Target
from machineid_conformance.gateway.api import Ruling
from machineid_conformance.gateway.gateway import Gateway
from machineid_conformance.isolation.api import Asleep, Destination, WorldEvent
from machineid_conformance.trace.events import EffectStarted, Event

E = TypeVar("E", bound=Event)
R = TypeVar("R")
KEY = "org_current_key_0001"
AUTHORITY = Authority()
ALLOW = Answer(body={"allowed": True, "code": "ALLOW", "request_id": "r-1"})
DENY = Answer(body={"allowed": False, "code": "DEVICE_REVOKED", "request_id": "r-2"})


class StubWorld:
    """``places`` maps the name of a listener to where its clients meant to go; none of them: proxy mode."""

    environment: Mapping[str, str] = {}

    def __init__(self, places: Mapping[str, Destination] | None = None) -> None:
        self.mode: Literal["namespace", "proxy"] = "namespace" if places else "proxy"
        self.control_address = "198.18.0.1"
        self.dns: socket.socket | None = None
        self.control_listener: socket.socket | None = None
        self.inside: dict[int, int] = {}  # port that the target listens on -> where that really is
        self.ports: dict[str, int] = {}
        self._places: dict[int, Destination] = {}
        listeners: list[socket.socket] = []
        wanted: dict[str, Destination | None] = {**places} if places else {"proxy": None}
        for name, place in wanted.items():
            listener = socket.create_server(("127.0.0.1", 0))
            listener.setblocking(False)
            listeners.append(listener)
            self.ports[name] = listener.getsockname()[1]
            if place is not None:
                self._places[self.ports[name]] = place
        self.listeners: Sequence[socket.socket] = listeners

    def destination(self, accepted: socket.socket) -> Destination | None:
        return self._places.get(accepted.getsockname()[1])

    async def connect_inside(self, port: int) -> socket.socket | None:
        if port not in self.inside:
            return None
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.inside[port]))
        return sock

    def shut(self) -> None:
        for sock in (*self.listeners, self.dns, self.control_listener):
            if sock is not None:
                sock.close()

    # What a gateway never asks for.
    async def start(self, *, command: Sequence[str], environment: Mapping[str, str]) -> int:
        raise NotImplementedError

    async def events(self) -> AsyncIterator[WorldEvent]:
        raise NotImplementedError
        yield

    def drain(self) -> Sequence[WorldEvent]:
        raise NotImplementedError

    async def signal(self, signal: int, *, everything: bool = True) -> None:
        raise NotImplementedError

    async def kill(self) -> tuple[str, ...]:
        raise NotImplementedError

    async def busy(self) -> tuple[float, bool]:
        raise NotImplementedError

    async def asleep(self) -> Asleep:
        raise NotImplementedError

    def refuse_control(self, refuse: bool) -> None:
        raise NotImplementedError

    def files_written(self) -> tuple[str, ...]:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class RecordingDirector:
    """Allows everything unless it is told otherwise. ``events`` is the trace; ``seen`` waits for one of a type."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.calls: list[Call] = []
        self.ended: list[tuple[Call, Receipt]] = []
        self.receipts: list[tuple[ListenerFault, int | None, str]] = []
        self.endings: list[tuple[Ending | None, float | None]] = []  # of the same
        self.withheld = 0
        self.effects_ended: list[int] = []
        self.answers: list[Answer] = []
        self.fault: AnswerFault | None = None
        self.close = False
        self.refusal: ListenerFault | None = None
        self.held: asyncio.Event | None = None  # effects are held until it is set
        self.ruling_held: asyncio.Event | None = None
        self.settle: Callable[[], None] = lambda: None
        self._changed = asyncio.Condition()
        self._changes: set[asyncio.Task[None]] = set()
        self._effects = 0
        self._connections = 0
        self.pace = 0.02  # real seconds a target second

    def record(self, event: E) -> E:
        self.settle()
        event = dataclasses.replace(event, seq=len(self.events) + 1)
        self.events.append(event)
        self._changes_now()
        return event

    def _changes_now(self) -> None:
        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.get_running_loop().create_task(tell())
        self._changes.add(task)
        task.add_done_callback(self._changes.discard)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    async def seen(self, kind: type[E], count: int = 1) -> E:
        await self.until(lambda: len(self.of(kind)) >= count)
        return self.of(kind)[count - 1]

    def clock(self) -> float:
        return asyncio.get_running_loop().time() / self.pace

    async def pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), seconds * self.pace)

    def heard(self) -> None:
        pass

    def listener_fault(self) -> ListenerFault | None:
        return self.refusal

    async def listener_fault_delivered(
        self,
        fault: ListenerFault,
        *,
        instance: int,
        connection: int | None,
        evidence: str,
        ending: Ending | None = None,
        waited: float | None = None,
    ) -> None:
        assert (ending is None) == (waited is None)
        self.receipts.append((fault, connection, evidence))
        self.endings.append((ending, waited))
        self._changes_now()

    @contextlib.contextmanager
    def withholding(self) -> Iterator[None]:
        self.withheld += 1
        self._changes_now()
        yield
        self.withheld -= 1

    async def control(self, call: Call, *, number: int, connection: int, instance: int) -> Ruling:
        self.calls.append(call)
        self._changes_now()
        if self.ruling_held is not None:
            await self.ruling_held.wait()
        answer = self.answers.pop(0) if self.answers else ALLOW
        return Ruling(answer=answer, allow=ALLOW, fault=self.fault, close=self.close)

    async def control_ended(
        self, number: int, call: Call, ruling: Ruling, receipt: Receipt, *, connection: int, instance: int
    ) -> None:
        self.ended.append((call, receipt))
        self._changes_now()

    def next_effect(self) -> int:
        self._effects += 1
        return self._effects

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections

    async def effect_started(self, effect: EffectStarted) -> None:
        if self.held is not None:
            await self.held.wait()

    async def effect_ended(self, effect: EffectStarted) -> None:
        self.effects_ended.append(effect.effect)
        self._changes_now()


@dataclasses.dataclass
class Scene:
    world: StubWorld
    director: RecordingDirector
    gateway: Gateway

    def port(self, name: str = "proxy") -> int:
        return self.world.ports[name]

    async def client(self, work: Callable[..., R], *arguments: Any) -> R:
        """Run a blocking client in a thread."""
        return await asyncio.to_thread(work, *arguments)


def target(*effects: EffectRule, **fields: Any) -> Target:
    return Target(name="worker", command=("true",), cwd=Path("/"), devices=("worker:01",), effects=effects, **fields)


def run(
    script: Callable[[Scene], Coroutine[Any, Any, None]],
    *,
    places: Mapping[str, Destination] | None = None,
    runtime: Target | None = None,
    prepare: Callable[[StubWorld], Awaitable[None] | None] = lambda _world: None,
) -> RecordingDirector:
    """Serve a stub world while ``script`` plays the target. Errors in a connection fail the test."""

    async def play() -> RecordingDirector:
        errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
        world, director = StubWorld(places), RecordingDirector()
        prepare(world)
        gateway = Gateway(
            world=world,
            director=director,
            authority=AUTHORITY,
            target=runtime or target(),
            instance=1,
            default_device=lambda: "worker:01",
            org_keys=lambda: {KEY: "current"},
        )
        director.settle = gateway.settle
        gateway.restarted()
        serving = asyncio.create_task(gateway.serve())
        await asyncio.wait({serving}, timeout=0)  # until it accepts
        try:
            async with asyncio.timeout(30):
                await script(Scene(world, director, gateway))
        finally:
            await gateway.close()
            await serving
            world.shut()
        assert errors == []
        return director

    return asyncio.run(play())


def trusting() -> ssl.SSLContext:
    """A client's context that trusts the session's authority."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=AUTHORITY.pem.decode())
    return context


def request(port: int, data: bytes, *, server_name: str | None = None, context: ssl.SSLContext | None = None) -> bytes:
    """Send bytes, read to the end of the connection."""
    with connected(port, server_name=server_name, context=context) as sock:
        sock.sendall(data)
        return read_all(sock)


@contextlib.contextmanager
def connected(
    port: int, *, server_name: str | None = None, context: ssl.SSLContext | None = None, timeout: float = 10
) -> Any:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        if server_name is None:
            yield sock
        else:
            with (context or trusting()).wrap_socket(sock, server_hostname=server_name) as secure:
                yield secure


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def http(method: str, host: str, path: str = "/", *, body: bytes = b"", headers: str = "", close: bool = True) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    ending = "Connection: close\r\n" if close else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{length}{headers}{ending}\r\n".encode() + body


def validate(host: str = "machineid.io", *, device: str = "worker:01", close: bool = True) -> bytes:
    body = f'{{"deviceId": "{device}"}}'.encode()
    return http(
        "POST", host, "/api/v1/devices/validate", body=body, close=close,
        headers=f"x-org-key: {KEY}\r\nContent-Type: application/json\r\n",
    )  # fmt: skip
