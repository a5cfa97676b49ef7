"""Paths as the kernel sees them. Looking a path up does not wait for anything that a turn of the loop should not wait for."""

from __future__ import annotations

import os
from pathlib import Path

from machineid_conformance.isolation.api import IsolationError


def real(path: Path) -> Path:
    """The path without links."""
    return Path(os.path.realpath(path))


def working_folder(cwd: Path) -> Path:
    """The real path of a declared working folder.

    Raises:
        IsolationError: it is no folder.
    """
    found = real(cwd)
    if not found.is_dir():
        raise IsolationError(f"cwd: {cwd} is not a folder")
    return found
