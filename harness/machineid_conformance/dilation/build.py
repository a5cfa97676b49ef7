"""Compiles the dilation library, once for each state of its sources and compiler, and keeps it in the user's cache.

What cannot be had is a ``Unavailable`` with the reason in words: the run is then judged at real speed, and says so.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("source")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fexceptions", "-Wall", "-Wextra", "-pthread")
LIBRARY = "target-time.so"
_SHOWN_LINES = 5
_TIMEOUT = 120.0  # seconds; a compile takes two


@dataclass(frozen=True, kw_only=True)
class Library:
    """The compiled library; readable and executable for every user that can reach its folder. It looks for its pages beside itself."""

    path: Path

    @property
    def page(self) -> Path:
        """Where it looks for the page that the harness writes."""
        return self.path.with_name(f"{self.path.name}.page")

    @property
    def woken(self) -> Path:
        """Where it looks for the page that the target writes."""
        return self.path.with_name(f"{self.path.name}.woken")


@dataclass(frozen=True, kw_only=True)
class Unavailable:
    """There is no library here: why, and what to do about it. Target time is then real time."""

    reason: str


def place(library: Library, folder: Path) -> Library:
    """Copy the library into a folder of one world."""
    copied = folder / LIBRARY
    shutil.copyfile(library.path, copied)
    copied.chmod(0o755)
    return Library(path=copied)


def preload(path: Path, others: str = "") -> str:
    """The value of LD_PRELOAD by which a target loads the library, before ``others`` that it has there already.

    Raises:
        ValueError: a path that ld.so takes for several, since it has a space or a colon in it: target time would silently be real.
    """
    if any(separator in str(path) for separator in " :"):
        raise ValueError(
            f"LD_PRELOAD: got {str(path)!r}; expected a path without spaces and colons, at which ld.so ends a name: "
            "give the library another folder in the target's world"
        )
    return f"{path}:{others}" if others else str(path)


def build(*, environment: Mapping[str, str] = os.environ, flags: Sequence[str] = ()) -> Library | Unavailable:
    """Find the library in the cache, or compile it. ``flags`` are added to the compiler's (a test's ``-Werror``).

    Blocks for some two seconds when it compiles. Never raises for what a machine lacks.
    """
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return Unavailable(
            reason=f"target time needs Linux on x86_64; this is {platform.system()} on {platform.machine()}: waits last as long as they do"
        )
    compiler = _compiler(environment)
    if isinstance(compiler, Unavailable):
        return compiler
    try:
        version = _run([*compiler, "--version"], environment)
        name = _fingerprint(compiler, version.stdout, flags)
        folder = _cache(environment)
        library = folder / name / LIBRARY
        if _ours(library):
            return Library(path=library)
        return _compile(compiler, flags, library, environment)
    except subprocess.TimeoutExpired:
        return Unavailable(
            reason=f"{shlex.join(compiler)} did not end within {_TIMEOUT:.0f} s; try it by hand, or set CC to another one"
        )
    except OSError as error:
        return Unavailable(
            reason=f"the target time library cannot be compiled: {error}; set CC to a C compiler, XDG_CACHE_HOME to a folder of yours"
        )


def _compiler(environment: Mapping[str, str]) -> list[str] | Unavailable:
    search = environment.get("PATH")
    asked = environment.get("CC", "").strip()
    if asked:
        try:
            words = shlex.split(asked)
        except ValueError as error:
            return Unavailable(
                reason=f"CC={asked!r} is no command ({error}); set it to a C compiler, for example CC=gcc"
            )
        found = shutil.which(words[0], path=search)
        return (
            [found, *words[1:]]
            if found
            else Unavailable(reason=f"CC={asked!r}: there is no such program; set CC to a C compiler")
        )
    for name in COMPILERS:
        found = shutil.which(name, path=search)
        if found:
            return [found]
    return Unavailable(
        reason=f"no C compiler: none of {', '.join(COMPILERS)} is on PATH; install gcc and libc6-dev, or set CC"
    )


def _run(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    # In the compiler's own words, and they are shown: not in a translation that a reader of a log may not know.
    return subprocess.run(
        command, env={**environment, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=_TIMEOUT, check=False,
    )  # fmt: skip


def _fingerprint(compiler: Sequence[str], version: str, flags: Sequence[str]) -> str:
    # The libc too: the library binds the versions of its symbols.
    digest = hashlib.sha256(repr((tuple(compiler), version, FLAGS, tuple(flags), platform.libc_ver())).encode())
    for file in _sources():
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def _sources() -> list[Path]:
    return sorted([*SOURCE.glob("*.c"), *SOURCE.glob("*.h")])


def _cache(environment: Mapping[str, str]) -> Path:
    """The first of the user's cache and a folder in the temporary one that can be written."""
    home = environment.get("XDG_CACHE_HOME") or (f"{environment['HOME']}/.cache" if environment.get("HOME") else "")
    places = [Path(home)] if home.startswith("/") else []
    places.append(Path(tempfile.gettempdir(), f"machineid-conformance-{os.getuid()}"))
    error: OSError | None = None
    for place in places:
        folder = place / "machineid-conformance" / "target-time"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe, name = tempfile.mkstemp(dir=folder)
        except OSError as failed:
            error = failed
            continue
        os.close(probe)
        Path(name).unlink()
        # A library is code: nobody else may put one where we look for ours.
        if folder.stat().st_uid == os.getuid() and not folder.stat().st_mode & stat.S_IWOTH:
            return folder
        error = PermissionError(f"{folder} belongs to another user, or everyone may write it")
    assert error is not None
    raise error


def _ours(library: Path) -> bool:
    try:
        status = library.stat()
    except OSError:
        return False
    return (
        status.st_uid == os.getuid()
        and stat.S_ISREG(status.st_mode)
        and not status.st_mode & (stat.S_IWOTH | stat.S_IWGRP)
    )


def _compile(
    compiler: Sequence[str], flags: Sequence[str], library: Path, environment: Mapping[str, str]
) -> Library | Unavailable:
    library.parent.mkdir(mode=0o755, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=library.parent, suffix=".so")
    os.close(descriptor)
    made = Path(name)
    try:
        units = [str(file) for file in _sources() if file.suffix == ".c"]
        done = _run([*compiler, *FLAGS, *flags, "-o", str(made), *units, "-ldl"], environment)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[:_SHOWN_LINES]
            return Unavailable(
                reason=f"{shlex.join(compiler)} could not compile the target time library (exit status {done.returncode}); "
                "is libc6-dev (glibc 2.34 or later) installed? It said:\n  " + "\n  ".join(said or ["nothing"])
            )
        made.chmod(0o755)
        made.replace(library)  # of two who compile at once, the later replaces the same by the same
    finally:
        made.unlink(missing_ok=True)
    return Library(path=library)
