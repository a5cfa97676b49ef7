"""The programs of the table that this machine has."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 9)
NEWEST = (3, 14)
_ASK = "import os, sys; print(*sys.version_info[:2], os.path.realpath(sys.executable))"


@functools.cache
def pythons() -> dict[str, str]:
    """``3.12`` to an interpreter: this one, and one of each other version on PATH or of pyenv's."""
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    names = [f"python3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
    candidates = [path for name in ("python3", *names) if (path := shutil.which(name))]
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = Path(subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip())
        candidates += map(str, sorted(root.glob("versions/3.*/bin/python3")))
    for candidate in candidates:
        # A shim of pyenv's is on PATH also for a version that is not chosen, and then fails.
        asked = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            major, minor, path = asked.stdout.strip().split(" ", 2)
            if OLDEST <= (int(major), int(minor)) <= NEWEST:
                found.setdefault(f"{major}.{minor}", path)
    return found


def missing(*programs: str) -> str:
    """Why a row cannot be measured here, or nothing."""
    absent = [program for program in programs if not shutil.which(program)]
    return f"not on PATH: {', '.join(absent)}" if absent else ""
