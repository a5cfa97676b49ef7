"""Where a folder's configuration is, without reading what is in it: the command line needs no more to start the engine."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = "machineid-conformance.toml"
PYPROJECT = "pyproject.toml"


def discover(folder: Path) -> Path | None:
    """The configuration of ``folder``: ``machineid-conformance.toml``, else a ``pyproject.toml`` with our table."""
    own = folder / FILE
    if own.is_file():
        return own
    pyproject = folder / PYPROJECT
    if not pyproject.is_file():
        return None
    try:
        found = section_of(tomllib.loads(pyproject.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError):
        return None  # a broken pyproject.toml is for the tools whose file it is to report
    return pyproject if found is not None else None


def section_of(document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Our table in a ``pyproject.toml``, or None."""
    tool = document.get("tool")
    section = tool.get("machineid-conformance") if isinstance(tool, dict) else None
    return section if isinstance(section, dict) else None
