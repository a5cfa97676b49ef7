"""Answers of a server as bytes: each says that it is a fake's, and the decisions of one dialect are prepared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fake_control_plane.answers import Answer
from fake_control_plane.dialects import CODES, Dialect
from fake_control_plane.http1 import render
from fake_control_plane.org import Reason

MARK = "x-machineid-fake"
"""On every answer of a server, so that nobody takes it for the original. (Never inside the harness.)"""

_STAND_IN = "00000000-0000-4000-8000-000000000000"


def marked(answer: Answer) -> Answer:
    """The answer, as a fake's."""
    return replace(answer, headers={**answer.headers, MARK: "1"})


Prepared = Mapping[Reason, tuple[bytes, bytes]]
"""For each reason the whole response to a POST validate: what comes before the request id, which has 36 characters, and what behind."""


def decisions(dialect: Dialect) -> Prepared:
    """The decisions of a dialect, prepared."""
    return {reason: _prepared(dialect.decision(reason, request_id=_STAND_IN)) for reason in CODES}


def _prepared(answer: Answer) -> tuple[bytes, bytes]:
    before, _, behind = render(marked(answer)).partition(_STAND_IN.encode())
    return before, behind
