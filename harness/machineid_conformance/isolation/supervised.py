"""What both kinds of world have in common: a supervised target, its output, its files."""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import fcntl
import fnmatch
import os
import select
import socket
import sys
import termios
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from machineid_conformance.isolation.api import (
    AllGone,
    Asleep,
    FileTouched,
    IsolationError,
    MainExited,
    OutputChunk,
    WorldEvent,
    WorldSpec,
)
from machineid_conformance.isolation.events import EventQueue
from machineid_conformance.isolation.files import remove_tree
from machineid_conformance.isolation.watcher import FolderWatcher, FollowedFile
from machineid_conformance.isolation.wire import Channel

Reply = asyncio.Future[tuple[dict[str, Any], list[int]]]

CHUNK = 16384
PIPE = 16384  # bytes of output that may be pending: all of them are read before a network event is stamped
END_WITHIN = 10.0  # seconds for a supervisor to kill what is left; it waits for nothing else


class SupervisedWorld:
    """The common half of ``isolation.api.World``. ``channel`` leads to the supervisor, which has said ``ready``."""

    environment: Mapping[str, str]
    library: str | None = None
    """The library of target time, as the world's processes have it mapped."""

    def __init__(self, spec: WorldSpec, channel: Channel, *, cwd: Path, watcher: FolderWatcher | None) -> None:
        self._spec = spec
        self._channel = channel
        self._cwd = cwd
        self._loop = asyncio.get_running_loop()
        self._queue = EventQueue(self._resume)
        self._replies: dict[int, Reply] = {}
        self._last_id = 0
        self._last_start = 0
        self._streams: dict[tuple[int, str], int] = {}
        self._watcher = watcher
        self._logs: dict[str, FollowedFile] = {}
        self._ended = self._loop.create_future()
        self._closing: asyncio.Task[None] | None = None
        self._sources = select.poll()
        """Every descriptor from which something of the target can come, for ``drain``."""
        self._sources.register(channel.socket.fileno(), select.POLLIN)
        self._loop.add_reader(channel.socket.fileno(), self._read_channel)
        if watcher is not None:
            self._sources.register(watcher.fd, select.POLLIN)
            self._loop.add_reader(watcher.fd, self._read_files)

    # -- World: processes --------------------------------------------------------------------------------------------------

    async def start(self, *, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """See ``World.start``."""
        start = self._last_start + 1
        pipes = {stream: os.pipe() for stream in ("stdout", "stderr")}
        for stream, (read, _) in pipes.items():
            os.set_blocking(read, False)
            if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux
                fcntl.fcntl(read, fcntl.F_SETPIPE_SZ, PIPE)
            self._streams[start, stream] = read
            self._sources.register(read, select.POLLIN)
        order = {"do": "start", "command": list(command), "environment": dict(environment), "cwd": str(self._cwd)}
        try:
            reply, _ = await self._ask(order, tuple(write for _, write in pipes.values()))
            if number := reply.get("errno"):
                raise cannot_execute(command[0], number)
        except BaseException:
            for stream in pipes:
                self._forget(start, stream)
            raise
        finally:
            for _, write in pipes.values():
                os.close(write)
        self._last_start = start
        self._resume()
        return start

    def events(self) -> AsyncIterator[WorldEvent]:
        """See ``World.events``."""
        return self._queue.consume()

    def drain(self) -> Sequence[WorldEvent]:
        """See ``World.drain``."""
        # Asked before each event, and as a rule nothing is pending: one system call for that, not one and an exception a descriptor.
        if self._sources.poll(0) or any(log.behind for log in self._logs.values()):
            if not self._channel.ended:
                self._read_channel()
            self._read_pending()
        return self._queue.take_all()

    async def signal(self, signal: int, *, everything: bool = True) -> None:
        """See ``World.signal``."""
        await self._ask({"do": "signal", "signal": int(signal), "everything": everything})

    async def kill(self) -> tuple[str, ...]:
        """See ``World.kill``."""
        reply, _ = await self._ask({"do": "kill"})
        return tuple(reply["left"])

    async def busy(self) -> tuple[float, bool]:
        """See ``World.busy``."""
        reply, _ = await self._ask({"do": "busy"})
        return reply["seconds"], reply["runnable"]

    async def asleep(self) -> Asleep:
        """See ``World.asleep``."""
        reply, _ = await self._ask({"do": "asleep", "library": self.library})
        return Asleep(asleep=reply["asleep"], outside=tuple(reply["outside"]))

    async def close(self) -> None:
        """See ``World.close``."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    # -- the supervisor ----------------------------------------------------------------------------------------------------

    async def _ask(self, order: dict[str, Any], fds: tuple[int, ...] = ()) -> tuple[dict[str, Any], list[int]]:
        if self._channel.ended:
            raise IsolationError("the world's supervisor has ended; nothing of the target is left")
        self._last_id += 1
        reply: Reply = self._loop.create_future()
        self._replies[self._last_id] = reply
        try:
            self._channel.send({**order, "id": self._last_id}, fds)
        except OSError as error:
            del self._replies[self._last_id]
            raise IsolationError(
                f"the world's supervisor has ended ({error}); nothing of the target is left"
            ) from error
        return await reply

    def _read_channel(self) -> None:
        for message, fds in self._channel.receive():
            if "reply" in message:
                reply = self._replies.pop(message["reply"], None)
                if reply is not None and not reply.cancelled():
                    reply.set_result((message, fds))
                else:
                    for fd in fds:
                        os.close(fd)
            elif message["report"] == "exited":
                self._read_pending()
                self._queue.put(
                    MainExited(
                        start=message["start"],
                        code=message["code"],
                        signal=message["signal"],
                        left=tuple(message["left"]),
                    )
                )
            elif message["report"] == "gone":
                self._all_gone(message["start"])
        if self._channel.ended:
            self._supervisor_ended()

    def _all_gone(self, start: int) -> None:
        """Nobody can write any more: what the pipes still hold is all there will ever be."""
        self._read_pending()
        for stream in ("stdout", "stderr"):
            self._read_to_end(start, stream)
        for path in self._logs:
            self._queue.put(OutputChunk(start=start, stream=f"file:{path}", data=b"", last=True))
        self._queue.put(AllGone(start=start))

    def _supervisor_ended(self) -> None:
        self._loop.remove_reader(self._channel.socket.fileno())
        with contextlib.suppress(KeyError):  # told of twice
            self._sources.unregister(self._channel.socket.fileno())
        for reply in self._replies.values():
            if not reply.done():
                reply.set_exception(IsolationError("the world's supervisor has ended; nothing of the target is left"))
        self._replies.clear()
        if not self._ended.done():
            self._ended.set_result(None)
        self._queue.end()

    # -- output ------------------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """There is room: read from every stream again."""
        for key, fd in self._streams.items():
            if key[0] <= self._last_start:
                self._loop.add_reader(fd, self._read_stream, *key)
        if any(log.behind for log in self._logs.values()):
            self._loop.call_soon(self._read_logs)

    def _read_stream(self, start: int, stream: str) -> None:
        if self._queue.full:
            self._loop.remove_reader(self._streams[start, stream])
            return
        self._read_some(start, stream, CHUNK)

    def _read_some(self, start: int, stream: str, limit: int) -> int:
        """Read at most ``limit`` bytes; returns how many. The stream is forgotten at its end."""
        try:
            data = os.read(self._streams[start, stream], limit)
        except BlockingIOError:
            return 0
        if not data:
            self._forget(start, stream)
        self._queue.put(OutputChunk(start=start, stream=stream, data=data, last=not data))
        return len(data)

    def _read_pending(self) -> None:
        """Everything that is pending at this moment and no more, so that a target that never stops writing ends nothing."""
        self._read_files(everything=True)
        self._read_network()

    def _read_streams(self) -> None:
        for (start, stream), fd in list(self._streams.items()):
            pending = array.array("i", [0])
            fcntl.ioctl(fd, termios.FIONREAD, pending)
            left = pending[0]
            while left > 0 and (read := self._read_some(start, stream, min(left, CHUNK))):
                left -= read

    def _read_network(self) -> None:
        """What a world with a network of its own adds to what is pending."""

    def _read_to_end(self, start: int, stream: str) -> None:
        while (start, stream) in self._streams and self._read_some(start, stream, CHUNK):
            pass
        if (start, stream) in self._streams:  # somebody outside the world holds the write end: its end will not come
            self._forget(start, stream)
            self._queue.put(OutputChunk(start=start, stream=stream, data=b"", last=True))

    def _forget(self, start: int, stream: str) -> None:
        fd = self._streams.pop((start, stream), None)
        if fd is not None:
            self._loop.remove_reader(fd)
            self._sources.unregister(fd)
            os.close(fd)

    # -- files -------------------------------------------------------------------------------------------------------------

    def _read_files(self, *, everything: bool = False) -> None:
        """What was printed, then which files were touched: what had been printed before a touch is in the pipes once the touch is known.
        ``everything``: also where the queue is full.
        """
        touched = self._watcher.read() if self._watcher is not None else []
        if everything or not self._queue.full:
            self._read_streams()
        for path, how in touched:
            if not self._is_log(path):
                self._queue.put(FileTouched(path=path, how=how))
            elif how == "removed":
                self._follow_no_more(path)
            else:
                self._follow(path, fresh=how == "created")
        self._read_logs(everything=everything)

    def _is_log(self, path: str) -> bool:
        """``path`` is relative to the working folder; a glob may be, or be absolute and below it."""
        return any(
            fnmatch.fnmatchcase(path, pattern.removeprefix("./").removeprefix(f"{self._spec.cwd}/"))
            for pattern in self._spec.logs
        )

    def _follow(self, path: str, *, fresh: bool) -> None:
        if fresh:
            self._follow_no_more(path)
        if path not in self._logs:
            assert self._watcher is not None
            with contextlib.suppress(OSError):
                self._logs[path] = FollowedFile(self._watcher.open(path))
        if path in self._logs:
            self._logs[path].behind = True

    def _follow_existing_logs(self) -> None:
        """What declared logs hold before the start is not the target's: begin at their end."""
        if self._watcher is None:
            return
        for path in self._watcher.files:
            if self._is_log(path):
                with contextlib.suppress(OSError):
                    self._logs[path] = FollowedFile(self._watcher.open(path), at_end=True)

    def _follow_no_more(self, path: str) -> None:
        if (log := self._logs.pop(path, None)) is not None:
            while data := log.read(CHUNK):
                self._log_chunk(path, data)
            log.close()

    def _read_logs(self, *, everything: bool = False) -> None:
        for path, log in self._logs.items():
            while log.behind and (everything or not self._queue.full):
                data = log.read(CHUNK)
                if data:
                    self._log_chunk(path, data)

    def _log_chunk(self, path: str, data: bytes) -> None:
        self._queue.put(OutputChunk(start=max(self._last_start, 1), stream=f"file:{path}", data=data))

    # -- the end -----------------------------------------------------------------------------------------------------------

    async def _close(self) -> None:
        slow = [asyncio.to_thread(let_go) for let_go in self._stop_looking()]
        await asyncio.gather(self._end_everything(), *slow)
        await asyncio.to_thread(self._clear_folder)

    def _stop_looking(self) -> list[Callable[[], None]]:
        """Look at nothing more; returns what gives the descriptors back. The kernel frees some kinds (inotify, packet sockets) only
        after a grace period, tens of ms under load, and all other runs would wait for that with the loop.
        """
        watcher, self._watcher = self._watcher, None
        if watcher is None:
            return []
        self._loop.remove_reader(watcher.fd)
        self._sources.unregister(watcher.fd)
        return [watcher.close]

    async def _end_everything(self) -> None:
        if not self._channel.ended:
            with contextlib.suppress(OSError):
                self._channel.socket.shutdown(socket.SHUT_WR)  # the supervisor's only order to end everything
            try:
                async with asyncio.timeout(END_WITHIN):
                    await asyncio.shield(self._ended)
            except TimeoutError:
                self._supervisor_ended()
                print(
                    f"the supervisor of a world did not end within {END_WITHIN:.0f} s: a process of the target cannot be killed",
                    file=sys.stderr,
                )
        self._channel.close()
        for start, stream in list(self._streams):
            self._forget(start, stream)
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        self._close_network()
        self._queue.end()

    def _close_network(self) -> None:
        """Close what a world with listeners has opened."""

    def _clear_folder(self) -> None:
        if not self._spec.folder.is_dir():
            return
        for entry in self._spec.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                remove_tree(entry)
            else:
                entry.unlink()


def cannot_execute(command: str, number: int) -> OSError:
    """What exec said, as one of the two errors that ``World.start`` may raise, where it is one of them in essence."""
    words = f"cannot execute {command!r}: {os.strerror(number)}"
    if number == errno.ENOEXEC:
        return PermissionError(number, f"{words} (a script needs a first line such as #!/bin/sh)", command)
    if number == errno.ENOTDIR:
        return FileNotFoundError(number, words, command)
    return OSError(number, words, command)


def unreachable(number: int) -> bool:
    """Whether a connect failed because nobody listens."""
    return number in {errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.ENETUNREACH}
