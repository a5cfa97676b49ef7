"""Programs into which the library is not loaded, or that have no page: their time is real, and nothing else changes for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from machineid_conformance.dilation.build import Library
from tests.dilation.conftest import compiled
from tests.dilation.worlds import World

ASKED = 0.2


def lasts(program: Path, world: World) -> tuple[float, float]:
    """On the program's clock, and on ours."""
    began = time.monotonic()
    done = subprocess.run([program], env=world.environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return int(done.stdout) / 1e9, time.monotonic() - began


@pytest.fixture
def fast(world: World) -> World:
    world.page.set_rate(1000)
    return world


@pytest.fixture(scope="module")
def sleeper(library: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("sleeper", tmp_path_factory.mktemp("sleeper"))


def test_a_static_program(fast: World, tmp_path: Path) -> None:
    try:
        program = compiled("sleeper", tmp_path, "-static")
    except subprocess.CalledProcessError:
        pytest.skip("the compiler links no static programs: no libc.a")
    target, real = lasts(program, fast)
    assert ASKED <= target <= real


def test_a_program_that_runs_as_another_user(fast: World, sleeper: Path, tmp_path: Path) -> None:
    """The loader takes no library from the environment of one who is not the user that the program runs as."""
    program = Path(shutil.copy(sleeper, tmp_path))
    if os.geteuid() == 0 and not os.statvfs(program).f_flag & os.ST_NOSUID:  # nobody else can make such a program
        os.chown(program, 65534, -1)
        program.chmod(0o4755)
        target, real = lasts(program, fast)
        assert ASKED <= target <= real


@pytest.mark.parametrize("content", [None, b"", b"MIDTIME1", b"\0" * 4096, b"MIDTIME0" + b"\0" * 4088])
def test_no_page_or_one_that_is_none(fast: World, sleeper: Path, content: bytes | None) -> None:
    page = fast.library.page
    page.unlink()
    if content is not None:
        page.write_bytes(content)
    target, real = lasts(sleeper, fast)
    assert ASKED <= target <= real
