"""What a world saw stands in the trace in the order in which the world saw it."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from machineid_conformance.config.model import EffectRule, Match
from machineid_conformance.engine.instance import Instance
from machineid_conformance.engine.notes import Notes
from machineid_conformance.isolation.api import FileTouched, OutputChunk, WorldEvent
from machineid_conformance.trace.events import EffectStarted, Output
from tests.engine.test_director import DEVICE, Stage, play

PRINTED = (OutputChunk(start=1, stream="stdout", data=b"CHARGED %d\n" % number) for number in (1, 2, 3))
WRITTEN = tuple(FileTouched(path="a.csv", how=how) for how in ("created", "written", "closed"))


def test_an_effect_stands_before_what_was_seen_after_it(tmp_path: Path) -> None:
    """Whoever records an event reads first what is pending: here more of the same, which is later than what is recorded."""
    first, second, third = PRINTED
    pending: deque[WorldEvent] = deque([second, *WRITTEN, third])

    async def script(stage: Stage) -> None:
        director = stage.director
        rules = (EffectRule(match=Match(stdout="^CHARGED")), EffectRule(match=Match(file="*.csv")))
        target = replace(director.run.target, effects=rules)
        instance = cast("Instance", SimpleNamespace(number=1, target=target, device=DEVICE, splitters={}))
        notes = Notes(director)

        def drain() -> None:
            while pending:
                notes.take(instance, pending.popleft())

        director.drain = drain
        notes.take(instance, first)
        director.drain()

    _, events = play(tmp_path / "trace.jsonl", (), script)
    seen = [
        event.text if isinstance(event, Output) else (event.effect, event.path)
        for event in events
        if isinstance(event, Output | EffectStarted)
    ]
    assert seen == ["CHARGED 1", (1, None), "CHARGED 2", (2, None), (3, "a.csv"), "CHARGED 3", (4, None)]
