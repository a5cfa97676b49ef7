"""What a target's log lines say, as far as a checker has to know it.

Log output is stdout, stderr, the declared log files and the bodies of ``log`` effects (requirements.md, Logging): every
``output`` event of a trace. Nothing here knows a logging library: a line names a thing if its word stands in the line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from machineid_conformance.trace.events import Output

MASK = "#"
MASKS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?=,? +(?:\d\d? +)?[A-Z][a-z]{2}\b)",  # RFC 9110 and asctime dates
        r"(?<=[\d ])(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)(?= +\d)",  # their digits fall below
        r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?",  # RFC 3339
        r"(?i)\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",  # RFC 9562
        r"(?i)\b0x[0-9a-f]+\b",  # addresses of objects
        r"\btmp[a-z0-9_]{8}\b",  # what Python's tempfile makes up
        r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])[A-Za-z0-9]{12,}(?![A-Za-z0-9])",  # keys, hashes, trace ids
        r"(?<![A-Za-z0-9])(?=[a-f]*[0-9])[a-f0-9]{6,}(?![A-Za-z0-9])",  # short hashes
        r"\d+(?:[.,:]\d+)*(?:[eE][+-]?\d+)?",  # numbers, ports, durations, times of day, addresses
    )
)
"""What differs from run to run without a meaning, masked in this order, each by ``MASK``: one mask for all, since a
random name may happen to be a number."""

REASONS: tuple[str, ...] = (
    r"time[- ]?d? ?out",
    r"deadline",
    r"etimedout",
    r"refused",
    r"reset(?:ting)?",
    r"aborted",
    r"broken pipe",
    r"connection (?:was )?closed",
    r"disconnect(?:ed)?",
    r"hung up",
    r"eof",
    r"end of file",
    r"empty reply",
    r"no (?:answer|response|reply)",
    r"incomplete",
    r"bad ?status ?line",
    r"invalid ?chunk(?: ?length)?",
    r"recv failure",
    r"unreachable",
    r"unavailable",
    r"(?:failed|could not|couldn't|cannot|unable) to connect",
    r"could ?n[o']t connect",
    r"network",
    r"connection (?:error|failed|failure|lost|dropped)",
    r"tls",
    r"ssl",
    r"certificate",
    r"handshake",
    r"x509",
    r"dns",
    r"resolv(?:e|ed|ing)",
    r"name resolution",
    r"name or service not known",
    r"unknown host",
    r"no such host",
    r"getaddrinfo",
    r"enotfound",
    r"eai_again",
    r"econn[a-z]+",
    r"errno -?\d+",
    r"curl: \(\d+\)",
    r"fetch failed",
)
"""Words that name why a validate got no answer, in any case; beside these the name of an exception or error class
(``ReadTimeout``, ``ConnectionRefusedError``, ``java.net.SocketException``). Source: GUIDE, Logging and audit,
"Reason/error"; the words are those of errno(3), getaddrinfo(3), OpenSSL, curl(1), and of the standard clients of
Python, Node, Go and the JVM. "closed" alone is not among them: "failing closed" names a policy, not a reason."""

BOUNDARIES: tuple[str, ...] = (
    "startup",
    "start",
    "boot",
    "kickoff",
    "run entry",
    "task",
    "unit",
    "unit of work",
    "job",
    "message",
    "dequeue",
    "webhook",
    "side effect",
    "effect",
    "tool",
    "tool call",
    "llm",
    "llm call",
    "handoff",
    "loop",
    "iteration",
    "step",
    "resume",
)
"""Words that name a boundary's kind; between two parts of one stands a space, a hyphen, an underscore or nothing.
Source: GUIDE, Logging and audit, "Boundary type (startup / task / side-effect)", and the boundaries of the manuals
PYTHON, SWARM and CREWAI."""

BOUNDARY_KEYS = frozenset({"boundary", "boundarytype", "boundarykind", "gate", "checkpoint", "stage", "phase"})
"""Fields of a structured record whose value is the boundary, whatever the target calls its own boundaries."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_ERROR_CLASS = re.compile(r"\b[A-Za-z_]\w*(?:Error|Exception|Timeout|Failure|Refused|Reset|Disconnected)\b")
_REASON = re.compile(
    rf"(?:(?<![A-Za-z])|(?=[A-Z]))(?i:{'|'.join(REASONS)})(?![a-z])"
)  # also as a part of a name: ReadTimeout
_BOUNDARY = re.compile(
    rf"(?<![a-z])(?:{'|'.join(word.replace(' ', '[ _-]?') for word in BOUNDARIES)})(?![a-z])", re.IGNORECASE
)
_PAIR = re.compile(r'(?P<key>[A-Za-z_][\w.\-]*)=(?P<value>"(?:[^"\\]|\\.)*"|[^\s"]*)')


@dataclass(frozen=True, kw_only=True)
class Record:
    """One whole line of log output; a line that was longer than the limit is put together again.

    ``seq`` is the sequence number of its last part: the line was written when it was complete.
    """

    seq: int
    instance: int
    start: int
    stream: str
    text: str


def records(outputs: Iterable[Output]) -> tuple[Record, ...]:
    """The log lines of a run in the order in which each was complete."""
    parts: dict[tuple[int, int, str], list[Output]] = {}
    whole: list[Record] = []
    for output in sorted(outputs, key=lambda output: output.seq):
        stream = (output.instance, output.start, output.stream)
        parts.setdefault(stream, []).append(output)
        if not output.continues:
            whole.append(_join(parts.pop(stream)))
    whole += [_join(rest) for rest in parts.values()]  # the run ended in the middle of a line
    return tuple(sorted(whole, key=lambda record: record.seq))


def _join(parts: Sequence[Output]) -> Record:
    last = parts[-1]
    text = "".join(part.text for part in parts)
    return Record(seq=last.seq, instance=last.instance, start=last.start, stream=last.stream, text=text)


def normalise(line: str) -> str:
    """The line without what differs from run to run: ids, times, numbers, ports, addresses, random names, colours.

    Two runs of a deterministic target give equal normalised lines; a line of a faulty run that no fault-free run has is
    news. Masking is generous on purpose: what it hides can only make two lines equal, so a target is asked for a line
    that says something new in words.
    """
    line = _COLOUR.sub("", line)
    for pattern in MASKS:
        line = pattern.sub(MASK, line)
    return " ".join(line.split())


def names_reason(text: str) -> bool:
    """Whether the text says why a call failed: a word of ``REASONS``, or the name of an exception."""
    return bool(_REASON.search(text) or _ERROR_CLASS.search(text))


def names_boundary(text: str, *, devices: Iterable[str] = ()) -> bool:
    """Whether the text says at which kind of boundary something happened.

    Device ids are left out (``tool:dev:runner:01`` names no boundary), and so are the keys of structured records
    (``{"message": …}``), save the values of ``BOUNDARY_KEYS``, which may be the target's own words.
    """
    for device in sorted(devices, key=len, reverse=True):
        text = text.replace(device, " ")
    prose, fields = _parts(text)
    return bool(_BOUNDARY.search(prose)) or any(
        value not in ("", "null", "None") if _letters(key) in BOUNDARY_KEYS else _BOUNDARY.search(value)
        for key, value in fields
    )


def structured(text: str) -> tuple[tuple[str, str], ...] | None:
    """The fields of a structured record, those of nested objects included, or None if the line is none.

    JSON: an object that ends the line; what stands before it (a time, a level, a container's prefix) is let pass.
    logfmt: at least two ``key=value`` pairs that make up at least half of the line's words, so that a sentence with an
    aside such as ``(code=X)`` is still a sentence.
    """
    if (found := _json_object(text)) is not None:
        return tuple(_flatten(found[1]))
    prose, pairs = _parts(text)
    return pairs if len(pairs) >= 2 and len(pairs) >= len(prose.split()) else None


def _parts(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A line's prose, and its fields."""
    if (found := _json_object(text)) is not None:
        return found[0], tuple(_flatten(found[1]))
    return _PAIR.sub(" ", text), tuple((pair["key"], pair["value"].strip('"')) for pair in _PAIR.finditer(text))


def _json_object(text: str) -> tuple[str, dict[str, Any]] | None:
    """What stands before a JSON object that ends the line, and the object."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        value = json.loads(text[start:])
    except (ValueError, RecursionError):
        return None
    return (text[:start], value) if isinstance(value, dict) else None


def _flatten(value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if isinstance(item, dict):
            yield from _flatten(item)
        elif isinstance(item, list):
            yield from ((key, str(element)) for element in item)
        else:
            yield key, "" if item is None else str(item)


def _letters(key: str) -> str:
    return re.sub(r"[^a-z]", "", key.lower())
