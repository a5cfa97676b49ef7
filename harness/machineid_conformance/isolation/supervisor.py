"""The supervisor of one world: starts the target, knows all its descendants, ends them.

It is pid 1 of the world's pid namespace, or a child subreaper where there is none: either way every orphan becomes its
child, and ``waitpid(-1)`` failing with ECHILD is the proof that nothing is left. It has one connection, to the engine; when
that ends, for whatever reason, everything that it supervises is killed, and it exits.

Orders (each has an ``id`` that its reply repeats): ``start`` (with the write ends of stdout and stderr), ``signal``, ``kill``,
``busy``, ``asleep``, ``socket`` (a socket inside the network namespace that the redirection leaves alone), ``end``. Reports: ``exited``,
``gone``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import select
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from machineid_conformance.isolation import linux, processes
from machineid_conformance.isolation.wire import Channel

SO_MARK = 36
MARK = 0x4D49
IGNORED = tuple(each for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN)
"""By Python, or by whoever started the engine; of what a signal does to a process, only that outlives an exec (signal(7))."""


class Supervisor:
    """``own_pids``: this process is pid 1 of a pid namespace. ``confined``: the target gets no capability and no new one."""

    def __init__(self, channel: Channel, *, own_pids: bool, confined: bool) -> None:
        self._channel = channel
        self._own_pids = own_pids
        self._confined = confined
        self._main = 0
        self._start = 0
        self._unreported: list[int] = []  # starts of which something may be left

    def serve(self) -> None:
        """Until the engine's end is closed or says ``end``; nothing of the target is alive afterwards."""
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) if hasattr(os, "pipe2") else _pipe()
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._channel.socket, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        orders: dict[str, Callable[[dict[str, Any], list[int]], None]] = {
            "start": self._on_start,
            "signal": self._on_signal,
            "kill": self._on_kill,
            "busy": self._on_busy,
            "asleep": self._on_asleep,
            "socket": self._on_socket,
        }
        try:
            while not self._channel.ended:
                for fd, _ in poll.poll():
                    if fd == wake_read:
                        os.read(wake_read, 4096)
                        self._reap()
                        continue
                    for order, fds in self._channel.receive():
                        if order["do"] == "end":
                            return
                        orders[order["do"]](order, fds)
        except OSError:
            pass  # the engine is gone; what follows is all that is left to do
        finally:
            self._kill_all()

    # -- orders ----------------------------------------------------------------------------------------------------------

    def _reply(self, order: dict[str, Any], fds: tuple[int, ...] = (), **fields: Any) -> None:
        self._channel.send({"reply": order["id"], **fields}, fds)

    def _on_start(self, order: dict[str, Any], fds: list[int]) -> None:
        try:
            self._become_like_the_target(order["cwd"])
            pid = _spawn(order["command"], order["environment"], *fds)
        except OSError as error:
            self._reply(order, errno=error.errno or errno.EIO)
            return
        finally:
            for fd in fds:
                os.close(fd)
        self._start += 1
        self._main = pid
        self._unreported.append(self._start)
        self._reply(order, start=self._start)

    def _become_like_the_target(self, cwd: str) -> None:
        """What a target inherits is set here, so that it can be spawned without a fork of Python, whose copied pages cost both sides.

        A program that is executed gets a capability only from the sets that are emptied (capabilities(7)); this process keeps its own.
        """
        os.chdir(cwd)
        os.umask(0o022)
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        if self._confined:
            linux.keep_capabilities_to_oneself()
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)

    def _on_signal(self, order: dict[str, Any], _: list[int]) -> None:
        if order["everything"]:
            self._signal_all(order["signal"])
        elif self._main:
            _kill(self._main, order["signal"])
        self._reply(order)

    def _on_kill(self, order: dict[str, Any], _: list[int]) -> None:
        left = self._left()
        self._kill_all()
        self._reply(order, left=left)

    def _on_busy(self, order: dict[str, Any], _: list[int]) -> None:
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        alive = processes.descendants(os.getpid())
        seconds = ended.ru_utime + ended.ru_stime + sum(process.seconds for process in alive)
        self._reply(order, seconds=seconds, runnable=any(processes.runnable(process) for process in alive))

    def _on_asleep(self, order: dict[str, Any], _: list[int]) -> None:
        alive, asleep = processes.asleep(os.getpid())
        outside = [process.pid for process in alive if not processes.has_mapped(process.pid, order["library"])]
        self._reply(order, asleep=asleep, outside=[processes.command_line(pid) for pid in outside])

    def _on_socket(self, order: dict[str, Any], _: list[int]) -> None:
        with socket.socket(getattr(socket, order["family"]), socket.SOCK_STREAM) as inside:
            if self._confined and order["marked"]:
                inside.setsockopt(socket.SOL_SOCKET, SO_MARK, MARK)
            self._reply(order, (inside.fileno(),))

    # -- processes -------------------------------------------------------------------------------------------------------

    def _left(self) -> list[str]:
        return [line for process in processes.descendants(os.getpid()) if (line := processes.command_line(process.pid))]

    def _reap(self) -> None:
        """Take every child that has ended; report the main process, and the end of all."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._ended(pid, status)
        except ChildProcessError:
            self._nothing_left()

    def _ended(self, pid: int, status: int) -> None:
        if pid != self._main:
            return
        self._main = 0
        code = os.waitstatus_to_exitcode(status)
        report = {"report": "exited", "start": self._start, "left": self._left()}
        if code < 0:
            report |= {"code": None, "signal": _signal_name(-code)}
        else:
            report |= {"code": code, "signal": None}
        self._channel.send(report)

    def _nothing_left(self) -> None:
        unreported, self._unreported = self._unreported, []
        for start in unreported:
            self._channel.send({"report": "gone", "start": start})

    def _signal_all(self, number: int) -> None:
        if self._own_pids:
            _kill(-1, number)  # pid 1 is not meant by its own -1
            return
        seen: set[int] = set()
        while fresh := [process.pid for process in processes.descendants(os.getpid()) if process.pid not in seen]:
            seen.update(fresh)
            for pid in fresh:
                _kill(pid, number)

    def _kill_all(self) -> None:
        """SIGKILL until nothing is left; each round takes one that ended, so that whatever forked meanwhile is met next."""
        while True:
            self._signal_all(signal.SIGKILL)
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                break
            self._quietly(lambda pid=pid, status=status: self._ended(pid, status))  # type: ignore[misc]
        self._quietly(self._nothing_left)

    def _quietly(self, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError:
            self._channel.ended = True  # nobody listens any more; killing goes on


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended, or has become another user's
        os.kill(pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"  # a real-time signal


def _spawn(command: list[str], environment: Mapping[str, str], stdout: int, stderr: int) -> int:
    """Execute the command in a session of its own; the exec closes every other descriptor of this process. Raises OSError."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    missing = refused = None
    for path in _where(command[0], environment):
        try:
            return os.posix_spawn(
                path, command, environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=IGNORED
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing or FileNotFoundError(errno.ENOENT, "the PATH is empty")


def _where(program: str, environment: Mapping[str, str]) -> list[str]:
    """The paths to try, as execvp(3) does, with the PATH that the program will have."""
    if "/" in program:
        return [program]
    return [f"{folder}/{program}" for folder in os.get_exec_path(environment)]


def _pipe() -> tuple[int, int]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    return read, write
