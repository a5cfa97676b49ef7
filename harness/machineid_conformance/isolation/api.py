"""The closed world that one instance of a target lives in, as the engine sees it.

One world is one instance: one main process at a time, its descendants, its files, and the listeners that every exit leads
to. A run with three instances has three worlds, so a connection always says whose it is.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from machineid_conformance.config.model import Workdir


class IsolationError(Exception):
    """The world cannot be had here: says why, the exact remedy, and what the weaker choice is. Exit code 2."""


@dataclass(frozen=True, kw_only=True)
class TimeFiles:
    """What puts a world's processes into target time (``dilation``): the library, the page that says how fast time goes, and the page
    that the target writes. Worlds that share the pages share their time.
    """

    library: Path
    page: Path
    woken: Path


@dataclass(frozen=True, kw_only=True)
class Asleep:
    """``asleep``: at one moment none of a world's processes was on a processor, waited for one, or for a disk. ``outside``: the command
    lines of those in real time, because they have not loaded the library.
    """

    asleep: bool
    outside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WorldSpec:
    """Everything a world needs to know before it is made.

    ``folder`` is the world's own, on the host, empty, and removed by the engine. ``authority`` is the session's CA as PEM.
    ``hidden`` are folders of the host that the target must not see (the report folder).
    """

    folder: Path
    cwd: Path
    command: tuple[str, ...]
    authority: Path
    workdir: Workdir = "overlay"
    expose: tuple[str, ...] = ()
    hidden: tuple[Path, ...] = ()
    logs: tuple[str, ...] = ()
    time: TimeFiles | None = None
    """None: real time."""


@dataclass(frozen=True, kw_only=True)
class MainExited:
    """The main process of start ``start`` ended: ``code`` or ``signal``; ``left`` are command lines of living descendants."""

    start: int
    code: int | None
    signal: str | None
    left: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AllGone:
    """Nothing of start ``start`` is left (waitpid: ECHILD)."""

    start: int


@dataclass(frozen=True, kw_only=True)
class OutputChunk:
    """Bytes of a stream: ``stdout``, ``stderr`` or ``file:PATH``. ``last``: the stream is at its end."""

    start: int
    stream: str
    data: bytes
    last: bool = False


@dataclass(frozen=True, kw_only=True)
class FileTouched:
    """A file below the working folder was created, written, removed, or closed by one who could write it. ``path`` is relative to it.

    A file that was moved to its path is whole: it is created, and closed.
    """

    path: str
    how: Literal["created", "written", "closed", "removed"]


@dataclass(frozen=True, kw_only=True)
class ConnectRefused:
    """A connect to the control plane's address was answered with RST while it was refused (seen on the wire)."""

    port: int


@dataclass(frozen=True, kw_only=True)
class DatagramSeen:
    host: str
    port: int
    size: int


WorldEvent = MainExited | AllGone | OutputChunk | FileTouched | ConnectRefused | DatagramSeen


@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where an accepted connection was going."""

    host: str  # an address; the gateway turns it into the name that was looked up
    port: int


class World(Protocol):
    """One instance's world. Made by ``namespace.open_world`` or ``proxy.open_world``; everything here runs on the engine's loop."""

    mode: Literal["namespace", "proxy"]
    listeners: Sequence[socket.socket]
    """Listening, non-blocking: everything but the control plane in namespace mode, everything in proxy mode."""
    control_listener: socket.socket | None
    """The control plane's own listener (namespace mode), so that it alone can be refused."""
    dns: socket.socket | None
    """UDP, bound; the gateway answers on it (namespace mode)."""
    control_address: str
    """The address that the DNS must give for the control plane's names (namespace mode)."""
    environment: Mapping[str, str]
    """What this world adds to the target's environment: CA and proxy variables, HOME, TMPDIR."""

    async def start(self, *, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Start the main process, stdin at /dev/null; returns its start number. A command that cannot be executed raises
        FileNotFoundError or PermissionError naming it.
        """

    def events(self) -> AsyncIterator[WorldEvent]:
        """What happens, as it happens; ends when the world is closed. One consumer."""

    def drain(self) -> Sequence[WorldEvent]:
        """What is pending right now, without waiting: pipes, log files and inotify are read until they would block. The engine
        calls it before it stamps a network event, so that output that was written before a request stands before it.
        """

    async def signal(self, signal: int, *, everything: bool = True) -> None:
        """Send to all processes of the instance, or to the main process only."""

    async def kill(self) -> tuple[str, ...]:
        """SIGKILL everything; returns the command lines of what was alive. ``AllGone`` follows."""

    async def busy(self) -> tuple[float, bool]:
        """CPU seconds that the instance's processes have used so far, and whether one of them is runnable now."""

    async def asleep(self) -> Asleep:
        """Whether all processes of the instance wait, and which of them in real time."""

    def refuse_control(self, refuse: bool) -> None:
        """From now on the control plane's address refuses connects (or accepts again). Immediate, and exact to the next SYN."""

    def destination(self, accepted: socket.socket) -> Destination | None:
        """The original destination of an accepted connection; None in proxy mode."""

    async def connect_inside(self, port: int) -> socket.socket | None:
        """A connected socket to 127.0.0.1:port as the target's own listeners have it; None when nothing listens there."""

    def files_written(self) -> tuple[str, ...]:
        """What the working folder's upper layer holds, relative to it (overlay), or what changed since the start (copy)."""

    async def close(self) -> None:
        """End everything, unmount, remove; safe to call twice."""


@dataclass(frozen=True, kw_only=True)
class Capability:
    """What the probe found. ``reasons`` say what is missing and the remedy, in words for a person."""

    namespace: bool
    reasons: tuple[str, ...] = field(default=())
