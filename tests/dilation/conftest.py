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


def compiled(name: str, folder: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    assert compiler, "the library was compiled, and there is no compiler on PATH"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
    subprocess.run([compiler, *flags, "-o", folder / name, PROGRAMS / f"{name}.c"], check=True)
    return folder / name
