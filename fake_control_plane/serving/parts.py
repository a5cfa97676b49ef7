"""What a ``Service`` stores, and where: shapes only. ``store`` writes them to a file; without a store the memory is all there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from fake_control_plane.org import Device, OrgSettings

Setting = Literal["dialect", "codes", "clock", "minted", "rules"]


@dataclass(frozen=True, kw_only=True)
class SavedOrg:
    """Everything that one org is but its devices."""

    id: str
    key: str
    settings: OrgSettings


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A whole state as it is stored.

    ``devices`` by org id, in register order. ``rules`` by id, in the order in which they were added: fault rules as
    ``fault_rules`` describes and parses them, without counters. ``settings``: ``dialect`` (its name), ``codes`` (reason to
    code), ``clock`` (seconds by which it was moved), ``minted`` (how many org keys were ever given: a seeded service goes on
    behind them), ``rules`` (the highest number of a fault rule's id ever given: none is given again).
    """

    orgs: Sequence[SavedOrg] = ()
    devices: Mapping[str, Sequence[Device]] = field(default_factory=dict)
    rules: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


class Store(Protocol):
    """Where changes go. Each method adds to one transaction; ``commit`` ends it, and what was committed survives a SIGKILL.

    An ``OSError`` of ``commit`` (a full disk) leaves the changes pending: the next commit tries them again.
    """

    def load(self) -> Saved | None:
        """What was committed last; None for a new file."""

    def save_org(self, org: SavedOrg) -> None:
        """Add an org or replace its row."""

    def save_devices(self, org_id: str, devices: Sequence[Device]) -> None:
        """Add these devices behind the others, in this order, or change them in their places."""

    def forget_devices(self, org_id: str, devices: Sequence[str]) -> None:
        """Remove these."""

    def save_rule(self, rule_id: str, rule: Mapping[str, Any]) -> None:
        """Add a fault rule behind the others."""

    def forget_rule(self, rule_id: str) -> None:
        """Remove a fault rule."""

    def save_setting(self, name: Setting, value: Any) -> None:
        """One of ``Saved.settings``."""

    def commit(self) -> None:
        """Store all of it, or raise OSError."""

    def close(self) -> None:
        """Give the file back."""
