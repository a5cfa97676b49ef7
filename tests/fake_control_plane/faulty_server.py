"""A control plane on a loopback socket whose calls are struck by fault rules, in a thread of its own."""

from __future__ import annotations

import asyncio
import itertools
import queue
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from fake_control_plane.answers import Answer
from fake_control_plane.api import Request, handle, parse
from fake_control_plane.exchange import WireExchange
from fake_control_plane.fault_rules import FaultRules
from fake_control_plane.faults.api import ClientGone, Receipt
from fake_control_plane.http1 import BodyCollector, RequestReader
from fake_control_plane.state import ControlPlane
from fake_control_plane.wire import Wire

DEVICE = "worker:dev:queue-consumer:01"
WAIT = 20.0


class FaultyServer:
    """One org with one registered device. Each call has one receipt, in the order in which they ended."""

    def __init__(self) -> None:
        ids = itertools.count(1)
        self.plane = ControlPlane(
            new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012}", new_key=lambda: "org_of_this_test"
        )
        self.key = self.plane.add_org()
        self.plane.operator_preregister(self.key, DEVICE)
        self.rules = FaultRules()
        self.port = 0
        self.arrived: queue.SimpleQueue[None] = queue.SimpleQueue()
        """A mark for each call that was read to its end."""
        self.may_answer = threading.Event()
        """Calls are answered once it is set, as it is from the start."""
        self.may_answer.set()
        self._receipts: queue.SimpleQueue[Receipt] = queue.SimpleQueue()
        self._truths: deque[Answer] = deque(maxlen=100)

    def receipt(self) -> Receipt:
        """How the next call ended."""
        return self._receipts.get(timeout=WAIT)

    async def serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as connections:
            while True:
                accepted, _ = await loop.sock_accept(listener)
                connections.create_task(self._connection(Wire(accepted)))

    async def _connection(self, wire: Wire) -> None:
        reader = RequestReader(wire)
        try:
            while await self._call(wire, reader):
                pass
        except ClientGone:
            pass
        finally:
            wire.close()

    async def _call(self, wire: Wire, reader: RequestReader) -> bool:
        head = await reader.head()
        if head is None:
            return False
        body = await reader.read(BodyCollector())
        began = time.monotonic()
        call = parse(Request(method=head.method, target=head.target, headers=head.headers, body=body.prefix))
        self.arrived.put(None)
        await asyncio.to_thread(self.may_answer.wait)
        chosen = self.rules.choose(call.operation, call.device, "org-1")
        answer = handle(self.plane, call)
        earlier = tuple(self._truths)
        self._truths.append(answer)
        exchange = WireExchange(
            wire,
            answer=answer,
            allow=self.plane.allow_answer(call.device or ""),
            earlier=earlier,
            scheme="http",
            host=head.header("host") or "",
            target=head.target,
            began=began,
            close=chosen is not None or not head.keep_alive,
            head_only=head.method == "HEAD",
        )
        try:
            receipt = await (exchange.answer_plainly() if chosen is None else chosen.fault.deliver(exchange))
        except ClientGone as gone:
            receipt = exchange.gave_up(gone)
        self._receipts.put(receipt)
        if chosen is None and head.keep_alive and receipt.ending == "answered":
            return True
        if exchange.ended != "reset":
            await wire.finish()
        return False


@contextmanager
def serving(*rules: str) -> Iterator[FaultyServer]:
    """The server with these rules in force, listening. An error in it fails the test."""
    server = FaultyServer()
    for rule in rules:
        server.rules.add(rule)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server.port = listener.getsockname()[1]
    errors: list[BaseException] = []
    started = threading.Event()
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def play() -> None:
        task = asyncio.create_task(server.serve(listener))
        ending.append((asyncio.get_running_loop(), task))
        started.set()
        try:
            await task
        except asyncio.CancelledError:
            pass
        except BaseExceptionGroup as group:
            errors.extend(group.exceptions)

    thread = threading.Thread(target=lambda: asyncio.run(play()))
    thread.start()
    try:
        assert started.wait(WAIT)
        yield server
    finally:
        server.may_answer.set()
        loop, task = ending[0]
        loop.call_soon_threadsafe(task.cancel)
        thread.join(WAIT)
        listener.close()
    assert not thread.is_alive()
    assert errors == []
