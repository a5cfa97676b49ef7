"""What is wrong with a scenario, and on which line."""

from __future__ import annotations

from pathlib import Path


class ScenarioError(ValueError):
    """A scenario file that cannot be used. The message reads ``file:line:column: key: problem``; both count from 1."""

    def __init__(self, problem: str, *, path: Path, line: int | None = None, column: int | None = None) -> None:
        self.path = path
        self.line = line
        self.column = column
        self.problem = problem
        where = ":".join(str(part) for part in (path, line, column) if part is not None)
        super().__init__(f"{where}: {problem}")
