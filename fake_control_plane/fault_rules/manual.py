"""``docs/faults.md``, made from the registry: a fault is described where it is written, and nowhere else."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from fake_control_plane import faults
from fake_control_plane.fault_rules.rule import TARGET
from fake_control_plane.fault_rules.triggers import WORDS
from fake_control_plane.faults.api import Fault, ListenerFault
from fake_control_plane.faults.stages import StagedFault

_HEAD = """\
# Faults

What can go wrong between a runtime and the control plane, and how it is known that it did. Made from the sources by
`fake_control_plane.fault_rules.manual()`; a test compares the two, and says how to write this file again.

The same faults serve scenarios (`do: { fault: { status: { status: 503 } } }`), the admin API
(`{"fault": {"status": {"status": 503}}, "trigger": {"first": 2}}`) and the command line (`status=503 first=2`). A *listener* fault acts
before there is a call. The others act on one call at one of three stages: a *delay* waits, *content* answers something else, a
*delivery* spoils how an allow, or that content, leaves. Faults of different stages compose
(`latency=0.2 + status=503 + slow-body=0.5`); two of one stage in one rule are an error. Seconds are target seconds.
"""
_TARGET_HEAD = "\n## Target\n\nWhich calls a rule is for. A listener fault has none.\n\n| word | value |\n|---|---|\n"
_TRIGGER_HEAD = """
## Trigger

When it strikes, counted over the calls that match the target. Of the listener's faults only those of TLS have one, which counts
connections; the others last until they are cleared.

| word | value |
|---|---|
"""
_LEVELS = ("delay", "content", "delivery", "listener: tcp", "listener: dns", "listener: tls")


def manual() -> str:
    """The whole file."""
    kinds = sorted(faults.kinds().values(), key=lambda kind: (_LEVELS.index(_level(kind)), kind.name))
    sections = [_section(kind) for kind in kinds]
    index = "".join(f"| [`{kind.name}`](#{kind.name}) | {_level(kind)} | {kind.summary} |\n" for kind in kinds)
    return "".join(
        [
            _HEAD,
            "\n| fault | level | what the client sees |\n|---|---|---|\n",
            index,
            _TARGET_HEAD,
            *(f"| `{word}` | {meaning} |\n" for word, meaning in TARGET.items()),
            _TRIGGER_HEAD,
            *(f"| `{word}` | {meaning} |\n" for word, meaning in WORDS.items()),
            *sections,
        ]
    )


def _section(kind: type[Fault]) -> str:
    required = {field.name for field in dataclasses.fields(cast("Any", kind)) if field.default is dataclasses.MISSING}
    rows = "".join(
        f"| `{name}` | {meaning}{' (required)' if name in required else ''} |\n"
        for name, meaning in kind.parameters.items()
    )
    table = f"\n| parameter | value |\n|---|---|\n{rows}" if rows else ""
    return (
        f"\n## {kind.name}\n\nWhat the client sees: {kind.summary}.\n\n- Level: {_level(kind)}\n- Receipt: {kind.receipt}\n"
        f"- Example: `{kind.example}`\n{table}"
    )


def _level(kind: type[Fault]) -> str:
    if issubclass(kind, ListenerFault):
        return f"listener: {kind.layer}"
    return kind.stage if issubclass(kind, StagedFault) else "answer"
