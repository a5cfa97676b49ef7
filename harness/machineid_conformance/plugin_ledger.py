"""What the engine has said so far, and waiting for what it will say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from machineid_conformance.engine.stream import Message
from machineid_conformance.session import EngineFailed, failure_of

Payload = Mapping[str, Any]


class LeftOut(Exception):  # noqa: N818  (no error: it is why there is nothing to judge)
    """A scenario that the engine does not run for this target, with the reason."""


class Ledger:
    """Takes messages from ``source`` (None: the stream is over) and keeps what items ask for.

    Every question waits until the stream has answered it. An engine that failed fails every question from then on.
    """

    def __init__(self, source: Callable[[], Message | None]) -> None:
        self._source = source
        self.runs: dict[tuple[str, str], list[Payload]] = {}
        self.targets: dict[str, Payload] = {}
        self.notices: list[str] = []
        self.finished: Payload | None = None
        self.failure: EngineFailed | None = None
        self._begun = False
        self._done: set[tuple[str, str]] = set()
        self._left_out: dict[tuple[str, str], str] = {}

    def started(self) -> None:
        """Wait until the engine has started its first run: what it cannot do at all, it has said by then."""
        self._until(lambda: self._begun)

    def scenario(self, target: str, scenario: str) -> list[Payload]:
        """The ``run-judged`` payloads of a scenario, once all of them are there.

        Raises:
            LeftOut: the scenario is not run for this target.
            EngineFailed: the engine gave up.
        """
        case = (target, scenario)
        self._until(lambda: case in self._done or target in self.targets)
        if case not in self._done:
            raise LeftOut(self._left_out.get(case, "the session ended before this scenario was judged"))
        runs = self.runs.get(case, [])
        if not runs:
            raise LeftOut(
                self._left_out.get(
                    case, "no run of this scenario was planned: the target has nothing that it could be pinned to"
                )
            )
        return runs

    def target(self, target: str) -> Payload | None:
        """The target's object of results.json; None when the session ended without one."""
        self._until(lambda: target in self.targets)
        return self.targets.get(target)

    def rest(self) -> None:
        """Read the stream to its end."""
        self._until(lambda: False)

    def _until(self, answered: Callable[[], bool]) -> None:
        while not answered() and self.finished is None:
            if self.failure is not None:
                raise self.failure
            try:
                message = self._source()
                if message is not None and message.kind == "failed":
                    raise failure_of(message)
            except EngineFailed as failure:
                self.failure = failure
                raise
            if message is None:
                return
            self._note(message)

    def _note(self, message: Message) -> None:
        payload = message.payload
        self._begun |= message.kind != "notice"
        if message.kind == "planned":
            for scenario, reason in (payload.get("left_out") or {}).items():
                self._left_out[payload["target"], scenario] = reason
        elif message.kind == "run-judged":
            self.runs.setdefault((payload["target"], payload["scenario"]), []).append(payload)
        elif message.kind == "scenario-done":
            self._done.add((payload["target"], payload["scenario"]))
        elif message.kind == "target-judged":
            self.targets[payload["target"]["name"]] = payload["target"]
        elif message.kind == "notice":
            self.notices.append(str(payload.get("text", "")))
        elif message.kind == "finished":
            self.finished = payload
