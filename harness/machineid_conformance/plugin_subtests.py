"""Subtests of an item that is no test function.

Through pytest 9's own report, or, before pytest 9, as sections of the item.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from machineid_conformance.plugin_longrepr import longrepr

try:
    # Since pytest 9. There is no public way for a custom item to report a subtest: `subtests` is a fixture of test
    # functions.
    from _pytest.subtests import SubtestContext, SubtestReport
except ImportError:  # pragma: no cover  (pytest 8)
    SubtestContext = SubtestReport = None  # type: ignore[assignment, misc]

SUPPORTED = SubtestReport is not None


@dataclass(frozen=True, kw_only=True)
class Subtest:
    """One part of an item.

    ``text`` is the failure, or the reason; ``notes`` and ``warning`` are shown with it and fail nothing; ``rules`` are
    those that a failed one violates.
    """

    label: str
    outcome: Literal["passed", "failed", "skipped", "xfailed"]
    text: str = ""
    seconds: float = 0.0
    warning: str = ""
    notes: str = ""
    rules: tuple[str, ...] = ()


def show(item: pytest.Item, subtests: Sequence[Subtest]) -> bool:
    """Report them below ``item``.

    False: this pytest has no subtests; they are sections of the item, and a failure must say all.
    """
    for subtest in subtests:
        if SUPPORTED:
            with _uncaptured(item.config):
                item.ihook.pytest_runtest_logreport(report=_report(item, subtest))
        else:
            body = "\n".join(part for part in (subtest.outcome, subtest.notes) if part)
            item.add_report_section("call", subtest.label, body)
    return SUPPORTED


def _report(item: pytest.Item, subtest: Subtest) -> pytest.TestReport:
    report = pytest.TestReport.from_item_and_call(item, pytest.CallInfo.from_call(lambda: None, when="call"))
    report.duration = subtest.seconds
    if subtest.outcome == "failed":
        summary = f"violates {', '.join(subtest.rules)}" if subtest.rules else subtest.text.split("\n", 1)[0]
        report.outcome, report.longrepr = "failed", longrepr(item.path, subtest.text, summary=summary)
    elif subtest.outcome == "skipped":
        report.outcome, report.longrepr = "skipped", (str(item.path), 1, f"Skipped: {subtest.text}")
    elif subtest.outcome == "xfailed":
        report.outcome, report.wasxfail = "skipped", f"reason: {subtest.text}"
    for heading, text in (("conformance warnings", subtest.warning), ("runs that did not count", subtest.notes)):
        if text:
            report.sections.append((heading, text))
    made: Any = SubtestReport._new(  # noqa: SLF001  (see above)
        report, SubtestContext(msg=subtest.label, kwargs={}), captured_output=None, captured_logs=None
    )
    made.duration = subtest.seconds
    return made  # type: ignore[no-any-return]


def _uncaptured(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """The terminal reporter writes at once, in the middle of an item whose output is captured."""
    capture = config.pluginmanager.getplugin("capturemanager")
    return capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext()
