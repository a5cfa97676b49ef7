"""A world of its own namespaces: every address is local, every port leads to the engine, no write reaches the host."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import select
import socket
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from machineid_conformance.isolation import files, packets
from machineid_conformance.isolation.api import (
    ConnectRefused,
    DatagramSeen,
    Destination,
    IsolationError,
    World,
    WorldSpec,
)
from machineid_conformance.isolation.places import real, working_folder
from machineid_conformance.isolation.remedies import explain
from machineid_conformance.isolation.spawn import Spawner
from machineid_conformance.isolation.supervised import SupervisedWorld, unreachable
from machineid_conformance.isolation.trust import trust_binds, trust_environment, write_trust
from machineid_conformance.isolation.watcher import FolderWatcher
from machineid_conformance.isolation.wire import Channel

CONTROL_ADDRESS = "198.18.0.1"  # RFC 2544: for benchmarks, routed nowhere
INSIDE_HOME, INSIDE_TMP, INSIDE_TRUST = "/machineid/home", "/machineid/tmp", "/machineid/trust"
INSIDE_TIME = "/machineid/time/target-time.so"
PRELOAD = "/etc/ld.so.preload"
SO_ORIGINAL_DST = 80
SOL_IPV6 = 41
BACKLOG = 1024
OPEN_WITHIN = 30.0
RESOLVER = {
    "resolv.conf": "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n",
}


async def open_world(spec: WorldSpec, *, spawner: Spawner) -> World:
    """Make a world; the target is not started yet.

    Raises:
        IsolationError: it cannot be had here, or the specification asks for what does not exist.
    """
    cwd = _checked(spec)
    shown = _shown(spec.authority)
    binds = await asyncio.to_thread(_fill_folder, spec, cwd, shown)
    request = {
        "mode": "namespace",
        "folder": str(real(spec.folder)),
        "root": str(shown / "root"),
        "cwd": str(cwd),
        "workdir": spec.workdir,
        "expose": list(spec.expose),
        "hidden": [str(real(path)) for path in spec.hidden],
        "binds": binds,
        "writable": [] if spec.time is None else [(str(spec.time.woken), f"{INSIDE_TIME}.woken")],
        "control_address": CONTROL_ADDRESS,
    }
    while True:
        own_pids = spawner.own_pids
        channel = spawner.open({**request, "own_pids": own_pids})
        try:
            message, fds = await first_report(channel)
        except BaseException:
            channel.close()
            raise
        if message["report"] == "ready":
            try:
                return NamespaceWorld(spec, channel, cwd=cwd, fds=fds)
            except BaseException:
                channel.close()
                raise
        channel.close()
        if own_pids and message["stage"] == "mount proc":
            spawner.own_pids = False  # /proc is masked here: a subreaper does in place of the pid namespace
            continue
        raise IsolationError(explain(message["stage"], message["errno"], message["detail"]))


async def first_report(channel: Channel) -> tuple[dict[str, Any], list[int]]:
    """What the new supervisor says first: ``ready`` or ``failed``.

    Raises:
        IsolationError: it ended, or said nothing for ``OPEN_WITHIN`` seconds.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(channel.socket.fileno(), readable.set)
    try:
        async with asyncio.timeout(OPEN_WITHIN):
            while True:
                await readable.wait()
                readable.clear()
                for message, fds in channel.receive():
                    return message, fds
                if channel.ended:
                    raise IsolationError("the world's supervisor ended before the world was ready; see standard error")
    except TimeoutError:
        raise IsolationError(f"the world was not ready within {OPEN_WITHIN:.0f} s") from None
    finally:
        loop.remove_reader(channel.socket.fileno())


def _checked(spec: WorldSpec) -> Path:
    cwd = working_folder(spec.cwd)
    if cwd == Path("/"):
        raise IsolationError("cwd: the root folder cannot be a working folder; set cwd to the folder of the runtime")
    for path in spec.expose:
        if not path.startswith("/") or not Path(path).exists():
            raise IsolationError(f"expose: {path!r} does not exist; expected the absolute path of a folder or a socket")
    return cwd


def _fill_folder(spec: WorldSpec, cwd: Path, shown: Path) -> list[tuple[str, str]]:
    """Write what the world has for itself into its folder; returns the binds of what it shows."""
    for name in ("home", "tmp"):
        (spec.folder / name).mkdir(mode=0o700)
    if spec.workdir == "copy":
        files.copy_folder(cwd, spec.folder / "copy", leave_out=[real(path) for path in spec.hidden])
    trust, etc = shown / "trust", shown / "etc"
    binds = [(str(trust), INSIDE_TRUST), *((str(etc / name), f"/etc/{name}") for name in RESOLVER)]
    binds += [(str(trust / source), target) for source, target in trust_binds(spec.command, cwd)]
    return binds + _time_binds(spec, shown)


def _time_binds(spec: WorldSpec, shown: Path) -> list[tuple[str, str]]:
    """The loader's own list reaches programs that are started with another environment, and no target sees a variable."""
    if spec.time is None:
        return []
    library, page = spec.time.library, spec.time.page
    return [(str(library), INSIDE_TIME), (str(page), f"{INSIDE_TIME}.page"), (str(shown / "preload"), PRELOAD)]


def _preload() -> str:
    """What the loader is to load into every program: what this machine asks for, and target time before it."""
    with contextlib.suppress(OSError):
        return f"{INSIDE_TIME}\n{Path(PRELOAD).read_text(encoding='utf-8')}"
    return f"{INSIDE_TIME}\n"


def _shown(authority: Path) -> Path:
    """What the worlds of one authority show alike, written once, beside it: trust stores and the resolver's files.

    It is bound read-only into each world, so no target can change what another sees. Some twenty files a world, made and removed, cost
    more than its namespaces.
    """
    name = hashlib.sha256(authority.read_bytes()).hexdigest()[:16]
    folder = real(authority.parent) / f"shown-{name}"
    if not folder.is_dir():
        whole = Path(tempfile.mkdtemp(dir=folder.parent))
        whole.chmod(0o755)
        write_trust(authority, whole / "trust")
        for below in ("etc", "root"):
            (whole / below).mkdir()
        for file, text in RESOLVER.items():
            (whole / "etc" / file).write_text(text.format(hostname=socket.gethostname()))
        (whole / "preload").write_text(_preload(), encoding="utf-8")
        whole.rename(folder)  # only now: one that was interrupted half-way is not taken for it
    return folder


class NamespaceWorld(SupervisedWorld):
    """``isolation.api.World`` with namespaces. ``fds``: gateway, control, DNS, tap, root, cwd and, with an overlay, its upper layer."""

    mode: Literal["namespace", "proxy"] = "namespace"

    def __init__(self, spec: WorldSpec, channel: Channel, *, cwd: Path, fds: list[int]) -> None:
        watcher = FolderWatcher(fds[5])
        super().__init__(spec, channel, cwd=cwd, watcher=watcher)
        gateway, control, self._dns, self._tap = (socket.socket(fileno=fd) for fd in fds[:4])
        os.close(fds[4])
        self._upper = fds[6] if len(fds) > 6 else None
        self.library = None if spec.time is None else INSIDE_TIME
        self.listeners: Sequence[socket.socket] = [gateway]
        self.control_listener: socket.socket | None = control
        self.dns: socket.socket | None = self._dns
        self.control_address = CONTROL_ADDRESS
        self.environment: Mapping[str, str] = {
            **trust_environment(INSIDE_TRUST),
            "HOME": INSIDE_HOME,
            "TMPDIR": INSIDE_TMP,
        }
        self._before = self._look() if self._upper is None else {}
        self._follow_existing_logs()
        self._tapped = True
        self._sources.register(self._tap.fileno(), select.POLLIN)
        self._loop.add_reader(self._tap.fileno(), self._read_network)

    def refuse_control(self, refuse: bool) -> None:
        """See ``World.refuse_control``: a listener that is shut answers each SYN with RST, and can listen again."""
        assert self.control_listener is not None
        if refuse:
            self._read_network()
            self.control_listener.shutdown(socket.SHUT_RDWR)
        else:
            self.control_listener.listen(BACKLOG)

    def destination(self, accepted: socket.socket) -> Destination | None:
        """See ``World.destination``: what the kernel's connection tracking remembers."""
        try:
            original = accepted.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        except OSError:
            original = accepted.getsockopt(SOL_IPV6, SO_ORIGINAL_DST, 28)
            host = socket.inet_ntop(socket.AF_INET6, original[8:24])
        else:
            host = socket.inet_ntoa(original[4:8])
        return Destination(host=host, port=struct.unpack_from("!H", original, 2)[0])

    async def connect_inside(self, port: int) -> socket.socket | None:
        """See ``World.connect_inside``: marked sockets are not redirected."""
        return await self.connect("127.0.0.1", port) or await self.connect("::1", port)

    async def connect(self, host: str, port: int, *, marked: bool = True) -> socket.socket | None:
        """A socket inside, connected; without the mark it is led to the listeners, as the target's are (for the probe)."""
        family = "AF_INET6" if ":" in host else "AF_INET"
        try:
            _, fds = await self._ask({"do": "socket", "family": family, "marked": marked})
        except IsolationError:
            return None
        sock = socket.socket(fileno=fds[0])
        try:
            sock.setblocking(False)
            await self._loop.sock_connect(sock, (host, port))
        except OSError as error:
            sock.close()
            if unreachable(error.errno or 0):
                return None
            raise
        except BaseException:
            sock.close()
            raise
        return sock

    def files_written(self) -> tuple[str, ...]:
        """See ``World.files_written``."""
        if self._upper is not None:
            return files.written_to(self._upper)
        return files.changed(self._before, self._look())

    def _look(self) -> files.Snapshot:
        folder = self._spec.folder / "copy" if self._spec.workdir == "copy" else self._cwd
        return files.snapshot(folder, leave_out=self._spec.hidden)

    def _read_network(self) -> None:
        if not self._tapped:
            return
        with contextlib.suppress(BlockingIOError):
            for _ in range(4096):
                seen = packets.parse(self._tap.recv(packets.SNAP), control_address=CONTROL_ADDRESS)
                if seen is not None and seen[0] == "refused":
                    self._queue.put(ConnectRefused(port=seen[2]))
                elif seen is not None:
                    self._queue.put(DatagramSeen(host=seen[1], port=seen[2], size=seen[3]))

    def _stop_looking(self) -> list[Callable[[], None]]:
        self._loop.remove_reader(self._tap.fileno())
        self._sources.unregister(self._tap.fileno())
        self._tapped = False
        return [*super()._stop_looking(), self._tap.close]

    def _close_network(self) -> None:
        for sock in (*self.listeners, self.control_listener, self._dns):
            if sock is not None:
                sock.close()
        self.listeners, self.control_listener, self.dns = [], None, None
        if self._upper is not None:
            os.close(self._upper)
            self._upper = None
