"""The kill matrix: every runtime and what was found in it, printed at the end of the session."""

from __future__ import annotations

import pytest

from tests.matrix.running import table

MATRIX = pytest.StashKey[dict[str, dict[str, str]]]()


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> dict[str, dict[str, str]]:
    """Runtime to rule to status; the tests fill it in."""
    return request.config.stash.setdefault(MATRIX, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was filled in."""
    rows = config.stash.get(MATRIX, {})
    if rows:
        terminalreporter.section("kill matrix")
        for line in table(rows):
            terminalreporter.line(line)
