"""One environment variable makes a skip an error: CI must run what a user's machine may leave out."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

LONGEST = (
    "tests/end_to_end/test_toxiproxy.py",
    "tests/plugin/test_neighbours.py",
    "tests/end_to_end/test_deadlines.py",
    "tests/features/test_expectations.py",
    "tests/plugin/test_plugin.py",
    "tests/fake_control_plane/serving/test_killed.py",
    "tests/features/test_time.py",
    "tests/end_to_end/test_interruption.py",
    "tests/end_to_end/test_equality.py",
    "tests/end_to_end/test_prevented_faults.py",
    "tests/fake_control_plane/serving/test_hostile.py",
    "tests/fake_control_plane/test_schemathesis.py",
)
"""Files that take a minute or more, begun first: workers that are handed whole files would else wait for one of them at the end."""


def pytest_configure() -> None:
    # A shell without job control starts background jobs with SIGINT ignored, and so would every process be that the tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all else in its order. Makefile: ``--no-loadscope-reorder``, which would begin with the fullest."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("MACHINEID_TEST_REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and MACHINEID_TEST_REQUIRE_ALL=1 forbids it: {report.longrepr}"
    return report
