"""The engine process as the command line and the pytest plugin hold it: start it, read what it says, end it.

Whoever starts the engine may live in a process that its user has bent: sockets forbidden (pytest-socket), blocking
calls made cooperative (gevent), clocks frozen (freezegun), coverage in every child. So this module uses file
descriptors alone: no socket, no thread, no clock, no ``subprocess``. The engine is a process group of its own: Ctrl-C
reaches us and not it, and it is told to end (SIGTERM) by us, once, so that it can end its targets and write what it
has.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from machineid_conformance.engine.stream import Message, Request

ENGINE: tuple[str, ...] = (sys.executable, "-P", "-m", "machineid_conformance.engine")
"""How the engine is started.

``-P`` keeps the user's folder off ``sys.path``, where a ``yaml.py`` of theirs would be ours.
"""

NOT_INHERITED = ("COV_CORE_", "COVERAGE_PROCESS_", "PYTEST_")
"""Variables that would start a coverage tracer or a debugging aid in the engine."""

PATIENCE = 20.0
"""Seconds that the engine is given to end its targets after SIGTERM, before it is killed."""

STDERR_TAIL = 4000  # bytes of the engine's stderr that an error shows: one long traceback

EXITS = {"usage": 2, "configuration": 2, "isolation": 2, "harness": 4, "interrupted": 130}
"""Exit code of ``machineid-conformance run`` for each ``error`` of a ``failed`` message (design.md, Command line)."""


class EngineFailed(Exception):  # noqa: N818  (an engine that failed is what it is; "EngineFailedError" says no more)
    """The engine gave up.

    ``error`` is usage, configuration, isolation, harness or interrupted; ``exit`` the exit code that goes with it.
    """

    def __init__(self, error: str, message: str, exit: int | None = None) -> None:  # noqa: A002  (the stream's word)
        super().__init__(message)
        self.error = error
        self.message = message
        self.exit = exit if exit is not None else EXITS.get(error, 4)


def parse(line: bytes) -> Message:
    """One line of the stream.

    Raises:
        EngineFailed: the line is not a message; something else writes to the engine's standard output.
    """
    try:
        fields = json.loads(line)
        return Message(kind=fields.pop("kind"), payload=fields)
    except (ValueError, KeyError, AttributeError, TypeError):
        shown = line[:200].decode(errors="backslashreplace")
        raise EngineFailed("harness", f"the engine wrote a line that is not a message: {shown!r}") from None


def ended_early(stderr: str, status: int | None) -> EngineFailed:
    """What to say of an engine whose stream stopped without ``finished`` or ``failed``."""
    if status is None:
        how = "ended"
    elif os.WIFSIGNALED(status):
        how = f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    else:
        how = f"ended with status {os.waitstatus_to_exitcode(status)}"
    text = stderr.strip()
    said = f"the end of its standard error:\n{text}" if text else "it wrote nothing to standard error"
    return EngineFailed("harness", f"the engine {how} before it had finished; {said}")


class EngineSession:
    """One engine process and its stream.

    ``command`` is the engine's command line. With ``spool``, the engine writes its messages to that file instead of a
    pipe, so that several processes can follow them and a reader that is busy with other tests never holds the engine
    up; whoever reads uses ``Spool``. ``messages`` of the stream are read one by one with ``next``.
    """

    def __init__(self, request: Request, *, command: tuple[str, ...] | None = None, spool: Path | None = None) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close)
        self._buffer = b""
        self._status: int | None = None
        self._last: Message | None = None
        self._spool: Spool | None = None
        self._reading: int | None = None
        self._pid: int | None = None
        request_reading, self._lifeline = os.pipe()
        try:
            if spool is None:
                self._reading, writing = os.pipe()
            else:
                writing = os.open(spool, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
                fcntl.flock(
                    writing, fcntl.LOCK_EX
                )  # held by the engine's copy of this descriptor for as long as it lives
            try:
                self._pid = self._spawn(command or ENGINE, request_reading, writing)
            finally:
                os.close(writing)
        except OSError as error:
            self.close()
            raise EngineFailed("harness", f"the engine could not be started: {error}") from error
        finally:
            os.close(request_reading)
        if spool is not None:
            self._spool = Spool(spool, stderr=self.stderr_tail)
        self._send(json.dumps(asdict(request)).encode() + b"\n")

    def _spawn(self, command: tuple[str, ...], stdin: int, stdout: int) -> int:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
        return os.posix_spawn(
            command[0],
            list(command),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, stdin, 0),
                (os.POSIX_SPAWN_DUP2, stdout, 1),
                (os.POSIX_SPAWN_DUP2, self._stderr.fileno(), 2),
            ],
            setpgroup=0,
            setsigmask=(),
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE],
        )

    def _send(self, text: bytes) -> None:
        """Write the request, and leave the pipe open: its end of file tells the engine that nobody waits any more."""
        # An engine that died before it read its request is reported when its stream is read.
        with contextlib.suppress(BrokenPipeError):
            while text:
                text = text[os.write(self._lifeline, text) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The engine's process id while it runs."""
        return self._pid

    @property
    def finished(self) -> bool:
        """Whether the last message of the stream was read."""
        return self._last is not None

    def next(self) -> Message | None:
        """The next message, waited for; None after ``finished``.

        KeyboardInterrupt may come out of here; the session is then as before, and can be ended with ``terminate`` and
        read on.

        Raises:
            EngineFailed: ``failed`` came, or the stream ended without a last message.
        """
        if self._last is not None:
            return None
        message = self._spool.next() if self._spool is not None else parse(self._line())
        if message is not None and message.kind == "finished":
            self._last = message
        elif message is not None and message.kind == "failed":
            self._last = message
            raise failure_of(message)
        return message

    def _line(self) -> bytes:
        while b"\n" not in self._buffer:
            assert self._reading is not None
            chunk = os.read(self._reading, 65536)
            if not chunk:
                self._reap()
                raise ended_early(self.stderr_tail(), self._status)
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def stderr_tail(self) -> str:
        """The last lines that the engine wrote to standard error."""
        size = os.fstat(self._stderr.fileno()).st_size
        return os.pread(self._stderr.fileno(), STDERR_TAIL, max(0, size - STDERR_TAIL)).decode(
            errors="backslashreplace"
        )

    def terminate(self) -> None:
        """Ask the engine to end its targets, write what it has and say ``finished``.

        Returns at once. Safe to call again.
        """
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the engine now. Its supervisors see end-of-file and end their targets."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def close(self) -> None:
        """End the engine if it has not finished, wait until it is gone, free everything. Safe to call twice."""
        if self._pid is not None and not self.finished:
            self.terminate()
            if not self._gone_within(PATIENCE):
                self.kill()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        self._reap()
        if self._reading is not None:
            os.close(self._reading)
            self._reading = None
        if self._spool is not None:
            self._spool.close()
            self._spool = None
        self._stderr.close()

    def _gone_within(self, seconds: float) -> bool:
        """Read the stream to its end; False when the engine neither ended nor wrote anything for ``seconds``."""
        if self._reading is None:
            assert self._spool is not None
            return self._spool.ended_within(seconds)
        while select.select([self._reading], [], [], seconds)[0]:
            if not os.read(self._reading, 65536):
                return True
        return False

    def _reap(self) -> None:
        if self._pid is None:
            return
        pid, self._pid = self._pid, None
        # gevent's child watcher, or a SIGCHLD handler of the user's, may have collected it before us.
        with contextlib.suppress(ChildProcessError):
            self._status = os.waitpid(pid, 0)[1]


def failure_of(message: Message) -> EngineFailed:
    """The error that a ``failed`` message stands for."""
    payload: dict[str, Any] = message.payload
    return EngineFailed(payload.get("error", "harness"), payload.get("message", "no reason given"), payload.get("exit"))


class Spool:
    """Follows the file that an engine writes its messages to. Any number of processes may follow one file.

    A file says nothing when it grows, and inotify is Linux only: between two looks this waits ``PAUSE`` seconds in
    ``select``. The engine holds an exclusive lock on the file (its standard output) for as long as it lives: a shared
    lock that can be had says that nobody will write any more.
    """

    PAUSE = 0.05

    def __init__(self, path: Path, *, stderr: Callable[[], str] = str) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._buffer = b""
        self._stderr = stderr

    def next(self) -> Message | None:
        """The next message, waited for.

        Raises:
            EngineFailed: the engine is gone and its last message never came.
        """
        while b"\n" not in self._buffer:
            gone = self._engine_is_gone()  # asked before the read: what it wrote before it went is not lost
            chunk = os.read(self._file, 65536)
            if chunk:
                self._buffer += chunk
            elif gone:
                raise ended_early(self._stderr(), None)
            else:
                select.select([], [], [], self.PAUSE)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return parse(line)

    def ended_within(self, seconds: float) -> bool:
        """Whether the engine was gone after at most ``seconds``."""
        for _ in range(int(seconds / self.PAUSE)):
            if self._engine_is_gone():
                return True
            select.select([], [], [], self.PAUSE)
        return False

    def _engine_is_gone(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._file, fcntl.LOCK_UN)
        return True

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
