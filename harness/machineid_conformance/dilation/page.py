"""The pages that say what time it is for a target: what the harness and all processes of a world share.

Same layout as ``struct page`` in ``source/page.c``. One writer, the engine; a change is visible to all readers at once, and wakes
those that sleep on it. The second page the target writes: the moment at which somebody woke since the rate was set, and the ends of all its
waits. From that moment on, and from the first of those ends on, the rate is 1.
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

_TIMES = struct.Struct("<qqqQq")
_TIMES_AT = 16
_SEQUENCE = 8
_MAGIC = b"MIDTIME1"
_ONE = 1 << 32
_FUTEX = 202  # x86_64: the only processor that the library is built for
_FUTEX_WAKE = 1
_ALL = 2**31 - 1
_NOBODY, _MARKED = 0, 1
_ENDS = struct.Struct("<511q")
_ENDS_AT = 8


class Page:
    """One world's time. ``elapsed`` are the target seconds since the page was made. Without ``woken`` only ``set_rate`` slows it.

    Raises:
        ValueError: a rate below 1, or beyond 10,000.
        OSError: a file cannot be made.
    """

    def __init__(self, path: Path, woken: Path | None = None) -> None:
        self.paths = (path,) if woken is None else (path, woken)
        # Readable for a target under another uid; written by nobody but us.
        self._map = _mapped(path, 0o644)
        self._word = ctypes.c_uint32.from_buffer(self._map, _SEQUENCE)
        self._woken_map = None if woken is None else _mapped(woken, 0o666)
        self._woken = ctypes.c_int64.from_buffer(self._woken_map or bytearray(8))
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fence = threading.Lock()
        self._waiters: set[asyncio.Future[None]] = set()
        self._origin = self._changed = time.monotonic_ns()
        self._gone = self._latest = self._slow_at = 0
        self._rate = _ONE
        _TIMES.pack_into(self._map, _TIMES_AT, self._origin, self._changed, self._gone, self._rate, self._slow_at)
        self._map[: len(_MAGIC)] = _MAGIC  # last: a page without it is not read

    @property
    def rate(self) -> float:
        """Target seconds a real second, as it was set."""
        return self._rate / _ONE

    @property
    def rate_now(self) -> float:
        """Target seconds a real second: 1 while ``slowed``."""
        return 1.0 if self.slowed else self.rate

    @property
    def slowed(self) -> bool:
        """Whether time has gone as far as it was to go since the rate was set, or somebody woke before."""
        return self._woken.value != _NOBODY or 0 < self._slow_at <= time.monotonic_ns()

    def first_end(self) -> float | None:
        """The ``elapsed`` at which the first of the target's waits ends; None while none does. Naps (dilation.h) are not among them."""
        if self._woken_map is None:
            return None
        now = self._origin + self._gone_at(time.monotonic_ns())
        first = min((end for end in _ENDS.unpack_from(self._woken_map, _ENDS_AT) if end > now), default=None)
        return None if first is None else (first - self._origin) / 1e9

    def set_rate(self, rate: float, until: float | None = None) -> None:
        """Change the rate from this moment on, and back to 1 when ``elapsed`` comes to ``until``; target time is continuous.

        One writer: the engine's loop.
        """
        if not 1 <= rate <= 10_000:
            raise ValueError(f"rate: got {rate!r}; expected a number from 1 to 10000")
        fixed = round(rate * _ONE)
        if fixed == self._rate and not self.slowed and until is None:
            return
        word, pack_into, buffer, origin = self._word, _TIMES.pack_into, self._map, self._origin
        odd, even = (word.value + 1) & 0xFFFFFFFF, (word.value + 2) & 0xFFFFFFFF
        # Odd: a change is being written. Only then is the moment taken, so that no reader has read the clock later under the old rate.
        # Taking a lock is what makes the processor show the first before it does the second.
        word.value = odd
        with self._fence:
            now = time.monotonic_ns()
        gone = self._gone_at(now)
        slow_at = 0
        if until is not None and fixed != _ONE:
            slow_at = now + (max(0, round(until * 1e9) - gone) << 32) // fixed
        pack_into(buffer, _TIMES_AT, origin, now, gone, fixed, slow_at)
        self._woken.value = _NOBODY
        word.value = even
        self._changed, self._gone, self._rate, self._slow_at = now, gone, fixed, slow_at
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
                    async with asyncio.timeout(
                        left / self.rate_now
                    ):  # wait_for would swallow a cancellation beside a change
                        await waiter
            finally:
                self._waiters.discard(waiter)

    def elapsed(self) -> float:
        """Target seconds since the page was made; never less than it said before."""
        self._latest = max(self._latest, self._gone_at(time.monotonic_ns()))
        return self._latest / 1e9

    def _gone_at(self, real: int) -> int:
        """Target nanoseconds. Who has marked that he woke, and not yet written when, woke just now."""
        woken, since = self._woken.value, real - self._changed
        slow_from = [moment for moment in (real if woken == _MARKED else woken, self._slow_at) if moment]
        if self._rate == _ONE or not slow_from:
            return self._gone + (since * self._rate >> 32)
        slow = min(max(real - min(slow_from), 0), since)
        return self._gone + ((since - slow) * self._rate >> 32) + slow

    def close(self) -> None:
        """Unmap them and remove the files; processes that have them mapped go on at the last rate."""
        del self._word, self._woken
        for mapped in (self._map, self._woken_map):
            if mapped is not None:
                mapped.close()
        for path in self.paths:
            path.unlink(missing_ok=True)


def _mapped(path: Path, mode: int) -> mmap.mmap:
    """A new file of one page, mapped."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)  # whatever the umask is
        os.ftruncate(descriptor, mmap.PAGESIZE)
        return mmap.mmap(descriptor, mmap.PAGESIZE)
    finally:
        os.close(descriptor)
