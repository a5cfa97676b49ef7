"""A world without namespaces: proxy and CA variables lead those HTTP clients that honour them, and nobody else.

Files: the working folder is a copy (``overlay`` and ``copy``) at another path; HOME and TMPDIR are the world's own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from machineid_conformance.dilation.build import preload
from machineid_conformance.isolation import files
from machineid_conformance.isolation.api import Destination, IsolationError, World, WorldSpec
from machineid_conformance.isolation.namespace import first_report
from machineid_conformance.isolation.places import real, working_folder
from machineid_conformance.isolation.spawn import Spawner
from machineid_conformance.isolation.supervised import SupervisedWorld, unreachable
from machineid_conformance.isolation.trust import JAVA_PASSWORD, trust_environment, write_trust
from machineid_conformance.isolation.watcher import FolderWatcher
from machineid_conformance.isolation.wire import Channel

BACKLOG = 1024
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
BOOTSTRAP = Path(__file__).with_name("bootstrap.cjs")


async def open_world(spec: WorldSpec, *, spawner: Spawner) -> World:
    """Make a world; the target is not started yet.

    Raises:
        IsolationError: the working folder is none, or cannot be copied.
    """
    cwd = working_folder(spec.cwd)
    working = cwd if spec.workdir == "shared" else real(spec.folder) / "cwd"
    try:
        await asyncio.to_thread(_fill_folder, spec, cwd, working)
    except OSError as error:
        raise IsolationError(
            f'the working folder cannot be copied: {error}; workdir = "shared" uses it as it is'
        ) from error
    channel = spawner.open({"mode": "proxy"})
    try:
        message, _ = await first_report(channel)
    except BaseException:
        channel.close()
        raise
    if message["report"] != "ready":
        channel.close()
        raise IsolationError(f"the supervisor did not start: {message['stage']}: {message['detail']}")
    return ProxyWorld(spec, channel, cwd=working)


def _fill_folder(spec: WorldSpec, cwd: Path, working: Path) -> None:
    for name in ("home", "tmp"):
        (spec.folder / name).mkdir(mode=0o700)
    trust = spec.folder / "trust"
    write_trust(spec.authority, trust)
    (trust / "wgetrc").write_text(f"ca_certificate = {trust / 'ca.pem'}\n")
    shutil.copyfile(BOOTSTRAP, trust / BOOTSTRAP.name)
    if working != cwd:
        files.copy_folder(cwd, working, leave_out=[real(path) for path in (*spec.hidden, spec.folder)])


def proxy_environment(folder: Path, port: int) -> dict[str, str]:
    """What leads HTTP clients to the proxy at 127.0.0.1:``port``; ``folder`` is the world's own."""
    trust = folder / "trust"
    java = {
        "http.proxyHost": "127.0.0.1", "http.proxyPort": port, "https.proxyHost": "127.0.0.1", "https.proxyPort": port,
        "http.nonProxyHosts": "", "javax.net.ssl.trustStore": trust / "named.p12",
        "javax.net.ssl.trustStorePassword": JAVA_PASSWORD, "javax.net.ssl.trustStoreType": "PKCS12",
    }  # fmt: skip
    return {
        **trust_environment(str(trust)),
        **dict.fromkeys(PROXY_VARIABLES, f"http://127.0.0.1:{port}"),
        "NO_PROXY": "",
        "no_proxy": "",
        "NODE_OPTIONS": f'--require "{trust / BOOTSTRAP.name}"',
        "JAVA_TOOL_OPTIONS": " ".join(f"-D{name}={value}" for name, value in java.items()),
        "WGETRC": str(trust / "wgetrc"),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
    }


class ProxyWorld(SupervisedWorld):
    """``isolation.api.World`` without namespaces."""

    mode: Literal["namespace", "proxy"] = "proxy"
    control_listener: socket.socket | None = None
    dns: socket.socket | None = None
    control_address = ""

    def __init__(self, spec: WorldSpec, channel: Channel, *, cwd: Path) -> None:
        watcher = None
        if hasattr(os, "O_PATH"):  # Linux; elsewhere log files and file effects are not followed
            watcher = FolderWatcher(os.open(cwd, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        super().__init__(spec, channel, cwd=cwd, watcher=watcher)
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        listener.setblocking(False)
        self.listeners: Sequence[socket.socket] = [listener]
        folder = real(spec.folder)
        environment = proxy_environment(folder, listener.getsockname()[1])
        if spec.time is not None:
            self.library = str(real(spec.time.library))
            environment["LD_PRELOAD"] = preload(Path(self.library))
        self.environment: Mapping[str, str] = environment
        self._before = self._look()
        self._follow_existing_logs()

    def refuse_control(self, refuse: bool) -> None:
        """Nothing to do: the gateway answers a CONNECT to the control plane with 502 instead (facts.md, Traps)."""
        del refuse

    def destination(self, accepted: socket.socket) -> Destination | None:
        """None: only what the client says (CONNECT, absolute-form) tells."""
        del accepted
        return None

    async def connect_inside(self, port: int) -> socket.socket | None:
        """See ``World.connect_inside``; here inside is this machine."""
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                await self._loop.sock_connect(sock, (host, port))
            except OSError as error:
                sock.close()
                if not unreachable(error.errno or 0):
                    raise
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        return None

    def files_written(self) -> tuple[str, ...]:
        """See ``World.files_written``."""
        return files.changed(self._before, self._look())

    def _look(self) -> files.Snapshot:
        return files.snapshot(self._cwd, leave_out=(*self._spec.hidden, self._spec.folder))

    def _close_network(self) -> None:
        for sock in self.listeners:
            sock.close()
        self.listeners = []
