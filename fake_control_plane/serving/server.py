"""A whole server in one event loop: service, data port, admin port; opened and closed in good order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uvicorn

from fake_control_plane.org import Reason
from fake_control_plane.serving.addresses import bind, is_loopback, url
from fake_control_plane.serving.admin import dashboard
from fake_control_plane.serving.admin.access import Access
from fake_control_plane.serving.admin.application import build
from fake_control_plane.serving.admin.held import Held
from fake_control_plane.serving.core import Layer
from fake_control_plane.serving.data_port import DataPort
from fake_control_plane.serving.guards import Guards, elapsing
from fake_control_plane.serving.journal import Journal
from fake_control_plane.serving.journal_file import JournalFile
from fake_control_plane.serving.limits import Limits
from fake_control_plane.serving.metrics import Tally
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.store import SqliteStore
from fake_control_plane.serving.tls import Certificates

BEYOND_LOOPBACK = 2 * 3600.0
"""Seconds after which a server that others can reach denies everything, unless ``--expires`` says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server is made with.

    ``expires`` in seconds: None is never on loopback, and ``BEYOND_LOOPBACK`` elsewhere. ``dialect`` and ``codes`` go before what the
    state file has, where they are given; ``plan`` and ``cap`` are those of the first org, where there is none yet. ``tls_names``: more
    names and addresses for the certificate. ``token`` of the admin port.
    """

    host: str = "127.0.0.1"
    port: int = 0
    admin_host: str = "127.0.0.1"
    admin_port: int = 0
    plan: str = "free"
    cap: int | None = None
    dialect: str | None = None
    codes: Mapping[Reason, str] = field(default_factory=dict)
    tls: bool = False
    tls_names: tuple[str, ...] = ()
    tls_folder: Path | None = None
    state: Path | None = None
    journal: Path | None = None
    expires: float | None = None
    allow_prod: bool = False
    seed: int | None = None
    token: str | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def life(self) -> float | None:
        """Seconds until everything is denied; None: never."""
        return self.expires if self.expires is not None or is_loopback(self.host) else BEYOND_LOOPBACK


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Where a server listens, and the first org's key. ``ca``: where the authority's certificate was written."""

    base_url: str
    admin_url: str
    org: str
    key: str
    expires: float | None
    ca: Path | None = None


class Server:
    """One server; ``open``, then ``close``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._closing = contextlib.AsyncExitStack()
        self.service: Service
        self.data_port: DataPort

    async def open(self) -> Opened:
        """Listen on both ports; when this returns, both answer.

        Raises:
            AddressError, AccessError, StateFileError, OSError, ValueError: what cannot be done, and what to do. Nothing listens then.
        """
        async with contextlib.AsyncExitStack() as stack:
            opened = await self._open(stack)
            self._closing = stack.pop_all()
        return opened

    async def close(self) -> None:
        """Stop listening, let open calls end, store and close everything."""
        await self._closing.aclose()

    async def _open(self, stack: contextlib.AsyncExitStack) -> Opened:
        settings = self.settings
        access = Access.to(settings.admin_host, token=settings.token)
        certificates = Certificates(self._names()) if settings.tls else None
        data_sockets = _closed_by(stack, bind(settings.host, settings.port, option="--port"))
        admin_sockets = _closed_by(stack, bind(settings.admin_host, settings.admin_port, option="--admin-port"))
        store = SqliteStore(settings.state) if settings.state is not None else None
        tally = Tally()
        self.service = service = self._service(stack, store, tally)
        port = self.data_port = DataPort(service, data_sockets, tls=certificates, limits=settings.limits)
        await port.open()
        stack.push_async_callback(port.close)
        opened = Opened(
            base_url=url("https" if settings.tls else "http", port.address),
            admin_url=url("http", admin_sockets[0].getsockname()[:2]),
            org=service.orgs()[0].id,
            key=service.key(service.orgs()[0].id),
            expires=settings.life,
            ca=certificates.write(settings.tls_folder) if certificates and settings.tls_folder else None,
        )
        about = {
            "version": version("machineid-conformance"),
            "base_url": opened.base_url,
            "admin_url": opened.admin_url,
        }
        held = Held(service=service, tally=tally, store=store, about=about)
        application = build(held, access, more_routes=dashboard.routes())
        await _serve_admin(stack, application, admin_sockets, service)
        return opened

    def _service(self, stack: contextlib.AsyncExitStack, store: SqliteStore | None, tally: Tally) -> Service:
        settings = self.settings
        layers: frozenset[Layer] = frozenset({"tcp", "tls"} if settings.tls else {"tcp"})
        life = settings.life
        with contextlib.ExitStack() as unless_made:
            if store is not None:
                unless_made.callback(store.close)
            file = JournalFile(settings.journal) if settings.journal is not None else None
            journal = Journal(file=file, counts=tally)
            unless_made.callback(journal.close)
            service = Service(
                seed=settings.seed,
                store=store,
                journal=journal,
                guards=Guards(allow_prod=settings.allow_prod, expires_at=None if life is None else elapsing() + life),
                layers=layers,
            )
            unless_made.pop_all()
        stack.callback(service.close)
        if settings.dialect is not None and settings.dialect != service.dialect.name:
            service.set_dialect(settings.dialect)
        if settings.codes:
            codes: dict[Reason, str] = {**service.dialect.codes, **settings.codes}
            service.set_codes(codes)
        if not service.orgs():
            service.add_org(plan=settings.plan, cap=settings.cap)
        return service

    def _names(self) -> tuple[str, ...]:
        """What the certificate is for beside the names that it always is for."""
        everywhere = ("0.0.0.0", "::", "")  # noqa: S104
        own = () if self.settings.host in everywhere else (self.settings.host,)
        return (*own, *self.settings.tls_names)


class _Uvicorn(uvicorn.Server):
    """It serves in our loop: signals are ours, and ``ready`` is set when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve_admin(
    stack: contextlib.AsyncExitStack, application: Any, sockets: list[socket.socket], service: Service
) -> None:
    config = uvicorn.Config(
        application,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Uvicorn(config)
    serving = asyncio.create_task(server.serve(sockets=sockets))

    async def end() -> None:
        service.journal.close()  # who follows the journal would never end
        server.should_exit = True
        await serving

    await server.ready.wait()
    stack.push_async_callback(end)


def _closed_by(stack: contextlib.AsyncExitStack, sockets: list[socket.socket]) -> list[socket.socket]:
    for sock in sockets:
        stack.callback(sock.close)
    return sockets
