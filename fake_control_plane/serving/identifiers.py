"""Request ids and org keys: random, or repeatable from a seed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

from fake_control_plane.serving.guards import KEY_MARK

_BATCH = 64
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH = 24  # 124 bits


def request_ids(seed: int | None = None) -> Callable[[], str]:
    """What gives a fresh UUID (RFC 9562, version 4) at each call, in a tenth of the time of ``uuid``.

    Random bytes are asked for in batches: of ``_BATCH`` UUIDs each has 48 bits of its own, and they share the 74 before them.
    """
    return _request_ids(random_bytes(None if seed is None else f"request ids {seed}")).__next__


def _request_ids(source: Callable[[int], bytes]) -> Iterator[str]:
    while True:
        digits = source(10).hex()
        variant = "89ab"[int(digits[16], 16) & 3]
        shared = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-"
        yield from (shared + source(6 * _BATCH).hex(" ", 6).replace(" ", f" {shared}")).split(" ")


class OrgKeys:
    """A fresh org key at each call, marked as a fake's. A seeded one starts behind the ``minted`` keys that were given before."""

    def __init__(self, seed: int | None = None, *, minted: int = 0) -> None:
        self._random: random.Random = random.SystemRandom() if seed is None else random.Random(f"org keys {seed}")  # noqa: S311
        if seed is not None:
            for _ in range(minted):
                self()

    def __call__(self) -> str:
        return KEY_MARK + "".join(self._random.choices(_ALPHABET, k=_LENGTH))


def random_bytes(seed: str | None) -> Callable[[int], bytes]:
    """The system's randomness, or a seeded one's: repeatable, and no secret."""
    return os.urandom if seed is None else random.Random(seed).randbytes  # noqa: S311
