from __future__ import annotations

import asyncio

import pytest

from fake_control_plane.serving import turns as module
from fake_control_plane.serving.turns import Turns


def test_who_comes_last_shakes_hands_first_and_others_go_in_their_order() -> None:
    async def test() -> None:
        turns, went = Turns(), list[str]()

        async def shake(name: str) -> None:
            await turns.handshake()
            went.append(name)

        async def go_on(name: str) -> None:
            await turns.turn()
            went.append(name)

        names = [f"{kind}-{number}" for number in range(4) for kind in ("shake", "go")]
        await asyncio.gather(*(shake(name) if name.startswith("shake") else go_on(name) for name in names))
        assert [name for name in went if name.startswith("shake")] == ["shake-3", "shake-2", "shake-1", "shake-0"]
        assert [name for name in went if name.startswith("go")] == ["go-0", "go-1", "go-2", "go-3"]

    asyncio.run(test())


def test_who_waits_longest_for_a_handshake_is_given_up_where_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_HANDSHAKES", 2)

    async def test() -> None:
        turns = Turns()
        ended = await asyncio.gather(*(turns.handshake() for _ in range(4)), return_exceptions=True)
        assert [type(end) for end in ended] == [TimeoutError, TimeoutError, type(None), type(None)]

    asyncio.run(test())
