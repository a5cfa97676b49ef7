"""A folder with a library and its page, and what is run in that time."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from machineid_conformance.dilation.build import Library, place, preload
from machineid_conformance.dilation.page import Page

ATTEMPTS = 3
"""How often a wait is measured before it is called late: a machine that is busy elsewhere makes it late too, but never early."""


class World:
    def __init__(self, library: Library, folder: Path) -> None:
        folder.mkdir()
        self.library = place(library, folder)
        self.page = Page(self.library.page)
        self.environment = {**os.environ, "LD_PRELOAD": preload(self.library.path)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.page.close()


def slack(seconds: float, rate: float) -> float:
    """By how many target seconds a wait may be longer than asked."""
    return 0.05 * seconds + 0.05 * rate
