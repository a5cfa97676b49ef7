"""The spawner: one small, single-threaded process that forks the supervisor of each world.

The engine is asyncio, with threads and a large heap: it must not fork, and ``unshare`` of a user namespace refuses threads. This
process imports little, so that a fork is cheap. It reads requests from the socket on its standard input, each with the
world's own socket; end of file ends it. It is a child subreaper that ignores SIGCHLD: supervisors leave no zombies behind.

The birth of a world takes one fork, because a fork of Python is a third of its cost:

1. the *supervisor* is forked straight into a user namespace and a pid namespace, whose first process it is, and waits;
2. the *spawner* writes its id maps (only a process outside may map more than one id), and waits for nothing;
3. the *supervisor* unshares the other namespaces, makes the network, opens the listeners, builds the file system and serves.
"""
# ruff: noqa: PTH123
# pathlib takes longer to import than all else that the spawner imports.

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from machineid_conformance.isolation import linux, mounts, netlink, nft, packets
from machineid_conformance.isolation.mounts import MountError, stage
from machineid_conformance.isolation.supervisor import MARK, Supervisor
from machineid_conformance.isolation.wire import Channel

CONTROL_PORT, GATEWAY_PORT, DNS_PORT = (
    65001,
    65002,
    65003,
)  # above the ephemeral range, and below what anyone picks by hand
BACKLOG = 1024


def main() -> None:
    """Serve requests from standard input until its end."""
    if sys.platform == "linux":
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=0))
    gc.freeze()  # a collection in a fork would copy the pages of all that was imported
    while not channel.ended:
        for request, fds in channel.receive():
            if request["mode"] == "proxy":
                if os.fork() == 0:
                    _leave(lambda fds=fds: _found(channel, fds, _found_proxy))  # type: ignore[misc]
            else:
                _found_namespace(channel, request, fds)
            for fd in fds:
                os.close(fd)


def _leave(act: Callable[[], None]) -> None:
    """Do it and exit: a fork must never return into its parent's loop."""
    try:
        act()
    finally:
        os._exit(0)


def _found(spawner: Channel, fds: list[int], act: Callable[[Channel], None]) -> None:
    """In the fork: ``act`` on the world's own channel."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    spawner.socket.close()
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)  # no descriptor of ours may take the place of a standard one
    channel = Channel(socket.socket(fileno=fds[0]))
    _reporting(channel, lambda: act(channel))


def _reporting(channel: Channel, act: Callable[[], None]) -> None:
    try:
        act()
    except MountError as error:
        _fail(channel, error.stage, error.number, error.detail)
    except Exception as error:  # noqa: BLE001  (whatever it is, the engine must hear of it)
        _fail(channel, "supervisor", getattr(error, "errno", None) or 0, repr(error))


def _fail(channel: Channel, where: str, number: int, detail: str) -> None:
    with contextlib.suppress(OSError):  # the engine may be gone, and with it everyone who could have been told
        channel.send({"report": "failed", "stage": where, "errno": number, "detail": detail})


def _found_proxy(channel: Channel) -> None:
    os.setsid()
    if sys.platform == "linux":
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    channel.send({"report": "ready"})
    Supervisor(channel, own_pids=False, confined=False).serve()


def _found_namespace(spawner: Channel, request: dict[str, Any], fds: list[int]) -> None:
    """Fork the supervisor and write its id maps: it waits for them, so its pid is its own."""
    told_read, told_write = os.pipe()
    world = Channel(socket.socket(fileno=os.dup(fds[0])))

    def supervise(channel: Channel) -> None:
        os.close(told_write)
        world.close()
        if os.read(told_read, 1) != b"!":
            return  # the spawner has told the engine why
        os.close(told_read)
        _supervise(channel, request)

    def found() -> None:
        request["sockets"] = _unix_sockets()
        with stage("user namespace"):
            pid = linux.fork_into(linux.CLONE_NEWUSER | (linux.CLONE_NEWPID if request["own_pids"] else 0))
        if pid == 0:
            _leave(lambda: _found(spawner, fds, supervise))
        with stage("map ids"):
            _map_ids(pid)
        with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile; the engine sees its channel end
            os.write(told_write, b"!")

    _reporting(world, found)
    world.close()
    os.close(told_read)
    os.close(told_write)


def _map_ids(pid: int) -> None:
    """Root: every id that this namespace has, to itself. Anyone else: the own id to itself, which needs setgroups denied."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/self/{name}", encoding="ascii") as own:
                ranges = [line.split() for line in own]
            _write(f"/proc/{pid}/{name}", "".join(f"{inside} {inside} {count}\n" for inside, _, count in ranges))
        return
    _write(f"/proc/{pid}/setgroups", "deny")
    _write(f"/proc/{pid}/uid_map", f"{uid} {uid} 1\n")
    _write(f"/proc/{pid}/gid_map", f"{gid} {gid} 1\n")


def _write(path: str, text: str) -> None:
    """In one write: the kernel takes a map only whole."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _unix_sockets() -> list[str]:
    """The paths of the sockets that are bound in the host's network namespace."""
    found = []
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as table:
        next(table, None)
        for line in table:
            fields = line.rstrip("\n").split(None, 7)
            if len(fields) == 8 and fields[7].startswith("/"):
                found.append(fields[7])
    return sorted(set(found))


def _network(request: dict[str, Any]) -> list[socket.socket]:
    """Make every address local, open what listens, lead everything there; returns gateway, control, DNS, tap."""
    with stage("loopback"):
        _write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")
        ipv6 = netlink.every_address_is_local()
    with stage("listeners"):
        gateway = _bound(ipv6, socket.SOCK_STREAM, GATEWAY_PORT)
        control = _bound(ipv6, socket.SOCK_STREAM, CONTROL_PORT)
        dns = _bound(ipv6, socket.SOCK_DGRAM, DNS_PORT)
        gateway.listen(BACKLOG)
        control.listen(BACKLOG)
    with stage("packet socket"):
        tap = packets.open_tap(DNS_PORT)
    with stage("nf_tables"):
        nft.redirect_everything(
            mark=MARK,
            control_address=request["control_address"],
            control=CONTROL_PORT,
            gateway=GATEWAY_PORT,
            dns=DNS_PORT,
        )
    return [gateway, control, dns, tap]


def _bound(ipv6: bool, kind: socket.SocketKind, port: int) -> socket.socket:
    """A socket for both families: the redirection leads IPv4 to 127.0.0.1 and IPv6 to ::1."""
    sock = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET, kind)
    if kind == socket.SOCK_STREAM:
        # Else it cannot listen again, after a refusal, beside a connection that it accepted before.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ipv6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::" if ipv6 else "0.0.0.0", port))  # noqa: S104  (in a network namespace that nobody else is in)
    sock.setblocking(False)
    return sock


def _supervise(channel: Channel, request: dict[str, Any]) -> None:
    """In the supervisor: the rest of its world, and then its service."""
    with stage("namespaces"):
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS)
    opened = _network(request)
    os.setsid()
    if not request["own_pids"]:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    layout = mounts.Layout(
        folder=request["folder"],
        root=request["root"],
        cwd=request["cwd"],
        workdir=request["workdir"],
        expose=request["expose"],
        hidden=request["hidden"],
        binds=[(source, target) for source, target in request["binds"]],
        writable=[(source, target) for source, target in request["writable"]],
        sockets=request["sockets"],
        own_pids=request["own_pids"],
    )
    tree = mounts.Tree(layout)
    tree.build()
    folders = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for path in ("/", request["cwd"])]
    if tree.upper is not None:
        folders.append(tree.upper)
    channel.send({"report": "ready", "read_only": tree.read_only}, (*(sock.fileno() for sock in opened), *folders))
    for fd in folders:
        os.close(fd)
    for sock in opened:
        sock.close()
    Supervisor(channel, own_pids=request["own_pids"], confined=True).serve()
