"""Messages between the engine, the spawner and the supervisors: JSON lines over a Unix socket, with file descriptors.

A message is one JSON object on one line; its key ``fds`` (absent: 0) counts the descriptors that were sent with it. They
travel by SCM_RIGHTS with the bytes of their line, so they arrive no later than it. A stream socket, because macOS has no
AF_UNIX SEQPACKET. Both ends may be blocking (supervisor) or not (engine): the functions follow the socket.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections import deque
from typing import Any

MAX_FDS = 250  # the kernel's SCM_MAX_FD is 253


class Channel:
    """One end. ``received`` turns what is pending into messages; ``send`` sends one."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.ended = False
        self._buffer = b""
        self._fds: deque[int] = deque()

    def send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send one message; messages are small, so a full socket means that the other end is lost.

        Raises:
            OSError: the other end is gone, or does not read.
        """
        line = json.dumps({**message, "fds": len(fds)}).encode() + b"\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.socket.sendmsg([line], rights, getattr(socket, "MSG_NOSIGNAL", 0))
        while sent < len(line):
            sent += self.socket.send(line[sent:], getattr(socket, "MSG_NOSIGNAL", 0))

    def receive(self) -> list[tuple[dict[str, Any], list[int]]]:
        """Read once (blocking if the socket is) and return the messages that are complete. Sets ``ended`` at the end of file."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(
                65536, socket.CMSG_SPACE(MAX_FDS * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            data, ancillary = b"", []
        for level, kind, raw in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds = array.array("i")
                fds.frombytes(raw[: len(raw) - len(raw) % fds.itemsize])
                for fd in fds:
                    os.set_inheritable(fd, False)
                self._fds.extend(fds)
        if not data:
            self.ended = True
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        messages = []
        for line in lines:
            message = json.loads(line)
            messages.append((message, [self._fds.popleft() for _ in range(message.pop("fds", 0))]))
        return messages

    def close(self) -> None:
        """Close the socket and whatever descriptors nobody took."""
        self.ended = True
        self.socket.close()
        while self._fds:
            os.close(self._fds.popleft())
