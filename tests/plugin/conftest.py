"""A copy of the fixture repository, and pytest in it with an engine that plays a recorded session."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
collect_ignore = ["fixture"]  # other people's repository

INJECT = """
import sys
from machineid_conformance import session
session.ENGINE = (sys.executable, {engine!r}, {play!r})
"""


OURS = ("schemathesis", "hypothesispytest", "anyio", "respx", "pytest_httpserver")
"""Plugins that are here for our own tests, and beside nobody's: together they make each start of pytest take four times as long."""


def requires(*modules: str) -> None:
    """Skip where a neighbour is not installed; an error where all of them have to be."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing and os.environ.get("MACHINEID_TEST_REQUIRE_ALL") == "1":
        pytest.fail(f"not installed: {', '.join(missing)}")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


class Repository:
    """``folder`` is the copy; ``starts`` are the requests that engines were started with.

    ``neighbours``: load every plugin that is installed, as a user's pytest does, but for those in ``OURS``; else only ours and those
    that are named, which takes half the time.
    """

    def __init__(self, folder: Path, aside: Path, *, neighbours: bool = False) -> None:
        self.neighbours = neighbours
        self.before = ""  # a folder with modules that go before what is installed
        self.folder = folder
        self.aside = aside
        self._play = aside / "play.json"
        self._starts = aside / "starts"
        self.play()
        (aside / "scripted.py").write_text(INJECT.format(engine=str(HERE / "scripted_engine.py"), play=str(self._play)))

    def play(self, **play: Any) -> None:
        """What the engine is to play."""
        self._play.write_text(json.dumps({**play, "starts": str(self._starts)}))

    @property
    def starts(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._starts.read_text().splitlines()] if self._starts.exists() else []

    @property
    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / ".machineid-conformance" / "results.json").read_text())
        return found

    def environment(self) -> dict[str, str]:
        """Ours, without what the session that runs these tests put there."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_", "COVERAGE_"))
        }
        alone = {} if self.neighbours else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return {
            **kept,
            **alone,
            "PYTHONPATH": f"{self.before}{os.pathsep}{self.aside}" if self.before else str(self.aside),
            "COLUMNS": "100",
        }

    def command(self, *arguments: str) -> list[str]:
        if self.neighbours:
            named = [word for name in OURS for word in ("-p", f"no:{name}")]
        else:
            named = ["-p", "machineid_conformance.plugin"]
            named += ["-p", "xdist"] if "-n" in arguments else []
        return [sys.executable, "-m", "pytest", "-p", "scripted", *named, *arguments]

    def pytest(
        self, *arguments: str, environment: Mapping[str, str] | None = None, below: str = "."
    ) -> subprocess.CompletedProcess[str]:
        """Started in the folder ``below`` the repository's."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder / below,
            env={**self.environment(), **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )


def copy(folder: Path, *, neighbours: bool) -> Repository:
    requires("django")
    shutil.copytree(HERE / "fixture", folder / "repository", ignore=shutil.ignore_patterns("__pycache__", ".*"))
    (folder / "aside").mkdir()
    return Repository(folder / "repository", folder / "aside", neighbours=neighbours)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return copy(tmp_path, neighbours=False)


@pytest.fixture
def neighbourhood(tmp_path: Path) -> Repository:
    return copy(tmp_path, neighbours=True)


@pytest.fixture
def required() -> Callable[..., None]:
    return requires
