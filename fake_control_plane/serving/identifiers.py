"""Request ids and org keys: random, or repeatable from a seed."""

from __future__ import annotations

import os
import random
from collections.abc import Callable

from fake_control_plane.serving.guards import KEY_MARK

_BATCH = 64
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH = 24  # 124 bits


class RequestIds:
    """A fresh UUID (RFC 9562, version 4) at each call, in a fifth of the time of ``uuid``.

    Random bytes are asked for in batches: of ``_BATCH`` UUIDs each has 48 bits of its own, and they share the 74 before them.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._source = random_bytes(None if seed is None else f"request ids {seed}")
        self._first = ""
        self._own = ""
        self._at = 0

    def __call__(self) -> str:
        at = self._at
        if at == len(self._own):
            self._begin()
            at = 0
        self._at = at + 12
        return self._first + self._own[at : at + 12]

    def _begin(self) -> None:
        digits = self._source(10).hex()
        variant = "89ab"[int(digits[16], 16) & 3]
        self._first = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-"
        self._own = self._source(6 * _BATCH).hex()


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
