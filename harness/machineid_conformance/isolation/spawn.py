"""The engine's side of the spawner."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from pathlib import Path
from typing import Any

import machineid_conformance
from machineid_conformance.isolation.api import IsolationError
from machineid_conformance.isolation.wire import Channel

START = """\
import sys
sys.path.insert(0, sys.argv[1])
from machineid_conformance.isolation.spawner import main
main()
"""
"""Isolated from the user's environment and site hooks, and found wherever this package was imported from."""


class Spawner:
    """Starts worlds. One for each engine; it ends with the engine, however that ends."""

    def __init__(self, channel: Channel, process: asyncio.subprocess.Process) -> None:
        self._channel = channel
        self._process = process
        self.own_pids = True
        """False once a world showed that /proc is masked here, so that a pid namespace cannot be used."""

    @classmethod
    async def start(cls) -> Spawner:
        """Start the process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                "-c",
                START,
                str(Path(machineid_conformance.__file__).parent.parent),
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,  # the engine's standard output is a stream of messages
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(Channel(ours), process)

    def open(self, request: dict[str, Any]) -> Channel:
        """Ask for a world; the returned channel carries ``ready`` or ``failed``, and is then the supervisor's.

        Raises:
            IsolationError: the spawner has ended.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._channel.send(request, (theirs.fileno(),))
        except OSError as error:
            ours.close()
            raise IsolationError(f"the process that starts worlds has ended ({error}); see standard error") from error
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return Channel(ours)

    async def close(self) -> None:
        """End it; worlds that are still open live on until their own channel is closed."""
        self._channel.close()
        try:
            async with asyncio.timeout(10):
                await self._process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
