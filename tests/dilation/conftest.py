from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from machineid_conformance.dilation.build import Library, Unavailable, build
from tests.dilation.worlds import World

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(scope="session")
def library() -> Library:
    """The library, compiled with every warning an error."""
    built = build(flags=("-Werror",))
    if isinstance(built, Unavailable):
        pytest.skip(built.reason)
    return built


@pytest.fixture
def world(library: Library, tmp_path: Path) -> Iterator[World]:
    with World(library, tmp_path / "world") as made:
        yield made


@pytest.fixture(scope="session")
def direct(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of one wait a case."""
    return compiled("direct", tmp_path_factory.mktemp("direct"))


@pytest.fixture(scope="session")
def interrupted(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of one interrupted wait a case."""
    return compiled("interrupted", tmp_path_factory.mktemp("interrupted"))


def compiled(name: str, folder: Path, *more: str) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "the library was compiled, and there is no compiler on PATH"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", *more]
    subprocess.run([compiler, *flags, "-o", folder / name, PROGRAMS / f"{name}.c"], check=True)
    return folder / name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of client and wait. Its rows come with the reports of the tests, from whichever process ran them."""
    rows = [
        value
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, value in report.user_properties
        if name == "target time"
    ]
    if not rows:
        return
    terminalreporter.section("target time: seconds asked for > target seconds, real seconds")
    for name, wait, *cells in rows:
        shown = [f"{asked:g} > {target:8.3f}, {real:5.3f}" for asked, target, real in cells]
        terminalreporter.line(f"{name:15} {wait:26} " + "   ".join(f"{cell:>24}" for cell in shown))
