"""When two sessions of the harness are equal: ``results.json``, times aside; traces channel by channel, as design.md defines it."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.end_to_end.support import CLI

PYTEST = (
    *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--machineid-conformance"),
    *("-p", "no:schemathesis"),  # here for our own tests, and slower to load than all the rest together
)
WAYS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run": ((*CLI, "run"), ()),
    "run --jobs 1": ((*CLI, "run"), ("--jobs=1",)),
    "pytest": (PYTEST, ()),
    "pytest -n 2": (PYTEST, ("-n=2",)),
}
"""How a session can be started: command, and arguments beside those that select."""

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SECONDS = re.compile(r"\b\d+(\.\d+)? ?(ms|s)\b")
DRIPPED = re.compile(r"(after the request, )\d+( of \d+ body bytes sent)")
"""How far a body had dripped, half a second a byte, when the client gave up: that is a time."""

# -- results.json -----------------------------------------------------------------------------------------------------------


def comparable(document: Mapping[str, Any]) -> Any:
    """results.json as it is the same every time."""
    return _without_positions(without_times(document))


MEASURED = {
    "started_at",
    "seconds",
    "wall_seconds",
    "speed",
    "client_deadline",
    "deadlines",
    "deadline_setting",
    "min",
    "median",
    "p95",
    "max",
}
"""Fields of results.json that are times."""


def without_times(value: Any) -> Any:
    """A document with its times and made-up ids replaced by words that say what stood there."""
    if isinstance(value, dict):
        plain = {key: _word(key, item) if key in MEASURED else without_times(item) for key, item in value.items()}
        # Each note stands once: two that differ in a time are one without it.
        return plain | {"notes": list(dict.fromkeys(plain["notes"]))} if "notes" in plain else plain
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return _timeless(UUID.sub("<id>", value)) if isinstance(value, str) else value


def _timeless(text: str) -> str:
    return DRIPPED.sub(r"\1<time>\2", SECONDS.sub("<time>", text))


def _word(key: str, value: Any) -> Any:
    return value if value is None else f"<{key}>"


def _without_positions(document: Any) -> Any:
    """Findings point into a trace by sequence number, and only the channels of a trace are in the same order every time."""
    for target in document["targets"]:
        for row in target["rules"]:
            for finding in row["findings"]:
                finding["events"] = len(finding["events"])
    return document


# -- traces -------------------------------------------------------------------------------------------------------------------

PROCESS = ("spawned", "signalled", "exited", "gone")


def channel_of(event: Mapping[str, Any]) -> str:
    """The network, each output stream of each instance, the processes of each instance; what belongs to none is the run's."""
    if event["event"] == "output":
        return f"output {event['instance']} {event['stream']}"
    if event["event"] in PROCESS:
        return f"process {event['instance']}"
    if event["event"] in ("run-started", "run-ended"):
        return "run"
    return "network"


class Normaliser:
    """Names ids by the order in which they first stood in the trace."""

    def __init__(self, project: Path) -> None:
        self._known: dict[str, str] = {}
        self._project = str(project)

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            named = UUID.sub(lambda found: self._known.setdefault(found[0], f"<id {len(self._known) + 1}>"), value)
            return _timeless(named.replace(self._project, "<project>"))
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        return [self.value(item) for item in value] if isinstance(value, list) else value

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Without times and positions; ports are those of the target's peers, and so its own doing."""
        return {
            key: self.value(item)
            for key, item in event.items()
            if key not in ("seq", "at", "waited", "silent", "since", "seconds")
        }


def channels(trace: list[dict[str, Any]], project: Path) -> dict[str, list[dict[str, Any]]]:
    """A trace, normalised, channel by channel, each in its order."""
    normaliser, found = Normaliser(project), defaultdict(list)
    for event in trace:
        found[channel_of(event)].append(normaliser.event(event))
    return dict(found)
