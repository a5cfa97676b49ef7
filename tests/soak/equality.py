"""The whole catalogue, judged in every way that a session can be started: all find the same.

One target with a configuration, in equal traces, too; and a script on the official SDK without one. The script keeps connections and
drops them when it likes: now and then (2 of 460 runs) one is seen closed on the other side of an event of another connection.
"""

from __future__ import annotations

import difflib
import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.end_to_end.equality import PYTEST, WAYS, channels, comparable
from tests.end_to_end.support import CLI, Judged, judge
from tests.matrix.catalogue import Violation, load_targets, program_of, write_violations
from tests.soak.outcome import Pass, measured

TARGET, SCRIPT = "worker", "sdk-worker"
DEVICE = "agent:dev:script:01"
WITHOUT_CONFIGURATION: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "run -- COMMAND": ((*CLI, "run"), (f"--device={DEVICE}", "--", "python", "agent.py")),
    "pytest --machineid-command": (PYTEST, (f"--machineid-device={DEVICE}", "--machineid-command=python agent.py")),
}
"""As ``WAYS``, for the script."""
LIMIT = 7200.0  # seconds a session; nothing waits for it but a session that hangs
SHOWN = 12  # lines of a difference that are printed


def compare_ways(stage: str, number: int, folder: Path, *, ways: Iterable[str] = WAYS, traces: bool = True) -> Pass:
    """One pass: a session for each way, and each compared with the first: results, and ``traces``."""
    one, place = Pass(stage=stage, number=number), folder / f"pass-{number:02}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    sessions: dict[str, Judged] = {}
    with measured(one):
        for way in ways:
            try:
                sessions[way] = _session(way, place / way.replace(" ", "-"))
            except subprocess.TimeoutExpired as error:
                one.differences.append(f"{way}: {error}")
    for way, session in sessions.items():
        if session.results:
            one.runs += len(session.target["runs"])
        else:
            one.differences.append(f"{way} gave no results: {session.said}")
    first, *others = [way for way in sessions if sessions[way].results] or [""]
    for way in others:
        one.differences += differences(sessions[first], sessions[way], names=(first, way), traces=traces)
    if not one.differences:
        shutil.rmtree(place)
    return one


def _session(way: str, folder: Path) -> Judged:
    if way in WITHOUT_CONFIGURATION:
        command, arguments = WITHOUT_CONFIGURATION[way]
        script = program_of(load_targets()[SCRIPT]).read_text(encoding="utf-8")
        return judge(folder, None, {"agent.py": script}, *arguments, command=command, limit=LIMIT)
    command, arguments = WAYS[way]
    config = _target_alone(folder / "source")
    program = program_of(load_targets()[TARGET])
    files = {f"{TARGET}/{program.name}": program.read_text(encoding="utf-8")}
    return judge(folder, config.read_text(encoding="utf-8"), files, *arguments, command=command, limit=LIMIT)


def _target_alone(folder: Path) -> Path:
    """The configuration of ``TARGET``: that of a violation which changes nothing."""
    folder.mkdir(parents=True)
    return write_violations([Violation(name=TARGET, twin=TARGET, scenarios=(), fails=frozenset())], folder)


def differences(reference: Judged, other: Judged, *, names: tuple[str, str], traces: bool = True) -> list[str]:
    """How two sessions differ: one text for results.json, and of ``traces`` one for each run whose trace does."""
    title = f"{names[1]} differs from {names[0]}"
    found = []
    if lines := _unlike(comparable(reference.results), comparable(other.results)):
        found.append(f"{title} in results.json ({reference.report}, {other.report}):\n" + "\n".join(lines))
    if not traces:
        return found
    theirs = other.traces
    for run, trace in reference.traces.items():
        if run not in theirs:
            found.append(f"{title}: it has no run {run}")
            continue
        mine, its = (
            channels(lines, session.report.parent / "project")
            for lines, session in ((trace, reference), (theirs[run], other))
        )
        for channel in sorted(mine.keys() | its.keys()):
            if lines := _unlike(mine.get(channel), its.get(channel)):
                where = f"{_trace(reference, run)}, {_trace(other, run)}"
                found.append(f"{title} in {run}, channel {channel} ({where}):\n" + "\n".join(lines))
    return found + [f"{title}: it has a run {run} more" for run in theirs if run not in reference.traces]


def _unlike(one: Any, other: Any) -> list[str]:
    """The first lines in which two documents differ; [] if they are equal."""
    if one == other:
        return []
    before, after = (_lines(value) for value in (one, other))
    changed = [line for line in difflib.unified_diff(before, after, lineterm="", n=1) if line[:3] not in ("---", "+++")]
    return [f"  {line[:300]}" for line in changed[:SHOWN]]


def _lines(value: Any) -> list[str]:
    """An event a line, or a document in lines of JSON."""
    if isinstance(value, list):
        return [json.dumps(item, sort_keys=True) for item in value]
    return json.dumps(value, indent=1, sort_keys=True).splitlines()


def _trace(session: Judged, run: str) -> Path:
    runs: Mapping[str, str] = {one["id"]: one["trace"] for one in session.target["runs"]}
    return session.report / runs[run]
