"""A conforming runtime that does four jobs at a time, judged again and again: nobody may accuse it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.matrix.catalogue import CONFIG, load_expectations
from tests.matrix.running import HarnessFailedError, of_target, run_targets, statuses
from tests.soak.matrix import difference
from tests.soak.outcome import Pass, measured

TARGET = "async-worker"


def judge(stage: str, number: int, folder: Path) -> Pass:
    """The whole catalogue of ``TARGET`` once."""
    one, report = Pass(stage=stage, number=number), folder / f"pass-{number:02}"
    shutil.rmtree(report, ignore_errors=True)
    with measured(one):
        try:
            target = of_target(run_targets(CONFIG, report, targets=(TARGET,)), TARGET)
        except HarnessFailedError as error:
            one.differences.append(str(error))
            return one
    one.runs = len(target["runs"])
    one.differences += difference(target, load_expectations()[TARGET], statuses(target), report)
    if not one.differences:
        shutil.rmtree(report)
    return one
