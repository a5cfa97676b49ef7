"""The library is compiled once, and what keeps it from being compiled is said in words."""

from __future__ import annotations

import os
import platform
import stat
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from machineid_conformance.dilation.build import Library, Unavailable, build, place, preload


@pytest.fixture
def environment(tmp_path: Path, library: Library) -> dict[str, str]:
    assert library.path.is_file()
    return {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache")}


def compiler(folder: Path, body: str) -> str:
    """A compiler that is a shell script; it writes a line to ``folder/calls`` for each compile."""
    script = folder / "compiler"
    script.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && {{ echo compiler 1; exit; }}\necho >>{folder}/calls\n{body}\n'
    )
    script.chmod(0o755)
    return str(script)


def test_compiled_once_and_found_again(tmp_path: Path, environment: dict[str, str]) -> None:
    environment["CC"] = compiler(tmp_path, 'exec cc "$@"')
    first = build(environment=environment)
    assert isinstance(first, Library)
    assert build(environment=environment) == first
    assert (tmp_path / "calls").read_text() == "\n"
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o755
    assert first.path.is_relative_to(tmp_path / "cache")
    other = build(environment=environment, flags=("-DOTHER",))
    assert isinstance(other, Library)
    assert other.path != first.path


def test_several_at_once_find_a_whole_library(environment: dict[str, str]) -> None:
    with ThreadPoolExecutor(3) as threads:
        built = set(threads.map(lambda _: build(environment=environment), range(3)))
    (only,) = built
    assert isinstance(only, Library)
    assert [entry.name for entry in only.path.parent.iterdir()] == [only.path.name]
    subprocess.run(["true"], env={"LD_PRELOAD": str(only.path)}, check=True)


def test_no_compiler(tmp_path: Path) -> None:
    got = build(environment={"PATH": str(tmp_path)})
    assert got == Unavailable(
        reason="no C compiler: none of cc, gcc, clang is on PATH; install gcc and libc6-dev, or set CC"
    )
    named = build(environment={"PATH": str(tmp_path), "CC": "tcc -O9"})
    assert named == Unavailable(reason="CC='tcc -O9': there is no such program; set CC to a C compiler")
    quoted = build(environment={"PATH": str(tmp_path), "CC": "gcc '"})
    assert isinstance(quoted, Unavailable)
    assert "is no command" in quoted.reason


def test_a_compile_that_fails_says_what_the_compiler_said(tmp_path: Path, environment: dict[str, str]) -> None:
    environment["CC"] = compiler(tmp_path, "for n in 1 2 3 4 5 6 7; do echo line $n >&2; done; exit 3")
    got = build(environment=environment)
    assert isinstance(got, Unavailable)
    assert "exit status 3" in got.reason
    assert got.reason.endswith("line 4\n  line 5")
    assert not list((tmp_path / "cache").rglob("*.so"))


def test_another_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    got = build()
    assert isinstance(got, Unavailable)
    assert "riscv64" in got.reason


def test_a_cache_that_cannot_be_had(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fallback = build(environment={**environment, "XDG_CACHE_HOME": str(blocked)})
    assert isinstance(fallback, Library)
    assert fallback.path.is_relative_to(tmp_path / f"machineid-conformance-{os.getuid()}")
    monkeypatch.setattr(tempfile, "tempdir", str(blocked))
    nowhere = build(environment={**environment, "XDG_CACHE_HOME": str(blocked)})
    assert isinstance(nowhere, Unavailable)
    assert "XDG_CACHE_HOME" in nowhere.reason


def test_a_library_that_others_may_write_is_not_used(environment: dict[str, str]) -> None:
    first = build(environment=environment)
    assert isinstance(first, Library)
    first.path.write_bytes(b"not ours")
    first.path.chmod(0o777)
    again = build(environment=environment)
    assert again == first
    assert first.path.read_bytes()[:4] == b"\x7fELF"


def test_placed_in_a_world(library: Library, tmp_path: Path) -> None:
    placed = place(library, tmp_path)
    assert placed.path.read_bytes() == library.path.read_bytes()
    assert placed.page == tmp_path / "target-time.so.page"


def test_what_a_target_is_told_to_load() -> None:
    assert preload(Path("/time/library.so")) == "/time/library.so"
    assert preload(Path("/time/library.so"), "libother.so") == "/time/library.so:libother.so"
    for folder in ("a b", "a:b"):
        with pytest.raises(ValueError, match="expected a path without spaces and colons"):
            preload(Path("/", folder, "library.so"))
