"""What one pass of a stage took and found."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Pass:
    """One pass. ``seconds`` is wall time, ``processor`` the CPU seconds of the harness; what its targets take, each in a pid
    namespace of its own, the system does not pass on.

    ``differences`` are texts of several lines: what came, what was expected, where the trace is.
    """

    stage: str
    number: int
    runs: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    differences: list[str] = field(default_factory=list)

    def line(self) -> str:
        """The pass in one line."""
        found = f"{len(self.differences)} differences" if self.differences else "no difference"
        return (
            f"{self.stage}, pass {self.number}: {found}, {self.runs} runs, {self.seconds:.0f} s, "
            f"{self.processor:.0f} s of the harness's processor time"
        )


@contextmanager
def measured(one: Pass) -> Iterator[None]:
    """Fill in what the block took. Processes that are still running at its end do not count."""
    began, before = time.monotonic(), _of_children()
    try:
        yield
    finally:
        one.seconds = time.monotonic() - began
        one.processor = _of_children() - before


def table(passes: Sequence[Pass]) -> list[str]:
    """One line a stage: passes, runs, differences, wall seconds and the harness's processor seconds of its passes together."""
    stages = list(dict.fromkeys(one.stage for one in passes))
    width = max(map(len, stages), default=0)
    lines = [f"{'':{width}}  passes    runs  differences  seconds  processor seconds of the harness"]
    for stage in stages:
        mine = [one for one in passes if one.stage == stage]
        lines.append(
            f"{stage:{width}}  {len(mine):6}  {sum(one.runs for one in mine):6}  {sum(len(one.differences) for one in mine):11}"
            f"  {sum(one.seconds for one in mine):7.0f}  {sum(one.processor for one in mine):32.0f}"
        )
    return lines


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
