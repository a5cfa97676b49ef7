"""A data port on a real socket, in a thread of its own, whose service a test can act on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from fake_control_plane.dialects import CURRENT, Dialect
from fake_control_plane.serving.addresses import bound
from fake_control_plane.serving.clock import Clock
from fake_control_plane.serving.data_port import DataPort
from fake_control_plane.serving.guards import Guards
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.tls import Certificates

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Running:
    """``base_url`` of the data port; ``org_id`` and ``key`` of its first org; ``certificates`` if it speaks TLS."""

    service: Service
    base_url: str
    org_id: str
    key: str
    certificates: Certificates | None
    _loop: asyncio.AbstractEventLoop

    def do(self, action: Callable[[Service], T]) -> T:
        """Act on the service in the thread that it belongs to, and wait for it."""

        async def act() -> T:
            return action(self.service)

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(30)


@contextmanager
def running(
    *,
    dialect: Dialect = CURRENT,
    plan: str = "free",
    cap: int | None = None,
    tls: bool = False,
    clock: Clock | None = None,
) -> Iterator[Running]:
    """A server that listens, until the block ends."""
    service = Service(
        seed=0,
        dialect=dialect,
        clock=clock or Clock(),
        guards=Guards(allow_prod=True),
        layers=frozenset({"tcp", "tls"} if tls else {"tcp"}),
    )
    org = service.add_org(plan=plan, cap=cap)
    certificates = Certificates() if tls else None
    opened: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, str]] = []
    ready = threading.Event()

    async def serve() -> None:
        port = DataPort(service, [bound(socket.AF_INET, ("127.0.0.1", 0))], tls=certificates)
        await port.open()
        end = asyncio.Event()
        scheme, host = ("https", "localhost") if tls else ("http", "127.0.0.1")
        opened.append((asyncio.get_running_loop(), end, f"{scheme}://{host}:{port.address[1]}"))
        ready.set()
        await end.wait()
        await port.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="data port")
    thread.start()
    try:
        assert ready.wait(30), "the data port did not open"
        loop, end, base_url = opened[0]
        yield Running(
            service=service, base_url=base_url, org_id=org.id, key=org.key, certificates=certificates, _loop=loop
        )
        loop.call_soon_threadsafe(end.set)
    finally:
        thread.join(30)
        service.close()
