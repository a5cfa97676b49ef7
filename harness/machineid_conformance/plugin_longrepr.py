"""A failure of ours as pytest holds one: its text, and the one line of it that stands in the short summary.

With a plain string pytest repeats the whole of it in the short summary of a CI machine. These are the classes that it makes of an
exception, and the only ones that xdist carries from a worker to the controller.
"""

from __future__ import annotations

from pathlib import Path

from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback


def longrepr(path: Path, text: str, *, summary: str) -> ReprExceptionInfo:
    """``text`` is shown as it is; ``summary`` in the short summary, in JUnit's ``message``, and, after ``path``, with ``--tb=line``."""
    entry = ReprEntryNative([text if text.endswith("\n") else text + "\n"])
    return ReprExceptionInfo(
        reprcrash=ReprFileLocation(str(path), 1, " ".join(summary.split())),
        reprtraceback=ReprTraceback([entry], None, style="native"),
    )
