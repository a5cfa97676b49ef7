"""What the admin port works on, and the order in which it is given back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fake_control_plane.serving.journal import Journal
from fake_control_plane.serving.metrics import Tally
from fake_control_plane.serving.service import Service
from fake_control_plane.serving.store import SqliteStore


@dataclass(frozen=True, kw_only=True)
class Held:
    """One server. ``about`` is what ``GET /admin/v1/status`` shows beside the state: addresses, version."""

    service: Service
    tally: Tally
    store: SqliteStore | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def journal(self) -> Journal:
        """The service's journal."""
        return self.service.journal

    def problems(self) -> list[str]:
        """What is wrong with this server, for people; empty while it is healthy."""
        found = [self.journal.problem, None if self.store is None else self.store.problem]
        return [problem for problem in found if problem is not None]
