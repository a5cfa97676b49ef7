"""The page that says what time it is for a target: the one value that the harness and all processes of a world share.

Same layout as ``struct page`` in ``source/page.c``. One writer, the engine; a change is visible to all readers at once, and wakes
those that sleep on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import mmap
import os
import struct
import threading
import time
from pathlib import Path

_LAYOUT = struct.Struct("<8sIIqqqQ")
_TIMES = struct.Struct("<qqqQ")
_TIMES_AT = 16
_SEQUENCE = 8
_MAGIC = b"MIDTIME1"
_ONE = 1 << 32
_FUTEX = 202  # x86_64: the only processor that the library is built for
_FUTEX_WAKE = 1
_ALL = 2**31 - 1


class Page:
    """One world's time. ``rate`` is target seconds a real second, at least 1; ``elapsed`` the target seconds since the page was made.

    Raises:
        ValueError: a rate below 1, or beyond 10,000.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        size = max(mmap.PAGESIZE, _LAYOUT.size)
        # Readable for a target under another uid; written by nobody but us.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._word = ctypes.c_uint32.from_buffer(self._map, _SEQUENCE)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fence = threading.Lock()
        self._waiters: set[asyncio.Future[None]] = set()
        self._origin = self._changed = time.monotonic_ns()
        self._gone = 0
        self._rate = _ONE
        _TIMES.pack_into(self._map, _TIMES_AT, self._origin, self._changed, self._gone, self._rate)
        self._map[: len(_MAGIC)] = _MAGIC  # last: a page without it is not read

    @property
    def rate(self) -> float:
        """Target seconds a real second, now."""
        return self._rate / _ONE

    def set_rate(self, rate: float) -> None:
        """Change the rate from this moment on; target time is continuous. For the engine's loop only: one writer."""
        if not 1 <= rate <= 10_000:
            raise ValueError(f"rate: got {rate!r}; expected a number from 1 to 10000")
        fixed = round(rate * _ONE)
        if fixed == self._rate:
            return
        word, pack_into, buffer, origin = self._word, _TIMES.pack_into, self._map, self._origin
        odd, even = (word.value + 1) & 0xFFFFFFFF, (word.value + 2) & 0xFFFFFFFF
        # Odd: a change is being written. Only then is the moment taken, so that no reader has read the clock later under the old rate.
        # Taking a lock is what makes the processor show the first before it does the second.
        word.value = odd
        with self._fence:
            now = time.monotonic_ns()
        gone = self._gone + ((now - self._changed) * self._rate >> 32)
        pack_into(buffer, _TIMES_AT, origin, now, gone, fixed)
        word.value = even
        self._changed, self._gone, self._rate = now, gone, fixed
        self._libc.syscall(_FUTEX, ctypes.byref(word), _FUTEX_WAKE, _ALL, None, None, 0)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait_until(self, target_seconds: float) -> None:
        """Return as soon as ``elapsed`` has reached ``target_seconds``, at whatever rates it comes to that."""
        while (left := target_seconds - self.elapsed()) > 0:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(waiter, left / self.rate)
            finally:
                self._waiters.discard(waiter)

    def elapsed(self) -> float:
        """Target seconds since the page was made."""
        return self.at(time.monotonic_ns())

    def at(self, real: int) -> float:
        """Target seconds from the origin to a moment (``time.monotonic_ns``) that is not before the last change."""
        return (self._gone + ((real - self._changed) * self._rate >> 32)) / 1e9

    def close(self) -> None:
        """Unmap it and remove the file; processes that have it mapped go on at the last rate."""
        del self._word
        self._map.close()
        self.path.unlink(missing_ok=True)
