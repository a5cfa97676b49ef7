"""The operator's side of a run: what a scenario does to the control plane, each action with its event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, cast

from fake_control_plane.org import PLANS
from fake_control_plane.state import ControlPlane
from machineid_conformance.trace.events import Key, Operator
from machineid_conformance.trace.redact import OLD_KEY_MARK, ORG_KEY_MARK, Redactor


class Console:
    """One org of the fake, with the keys it has had.

    ``default_device`` stands for the target's device where none is declared and none registered yet.
    """

    def __init__(self, plane: ControlPlane, *, key: str, redactor: Redactor, default_device: str) -> None:
        self.plane = plane
        self.key = key
        self.default_device = default_device
        self._redactor = redactor
        self._old: list[str] = []
        redactor.learn(key, ORG_KEY_MARK)

    def key_state(self, key: str | None) -> Key:
        """Which key a call carried."""
        if not key:
            return "missing"
        return "current" if key == self.key else "old" if key in self._old else "other"

    def keys(self) -> dict[str, str]:
        """Every key of this org so far, and its mark in a trace."""
        return {self.key: ORG_KEY_MARK} | dict.fromkeys(self._old, OLD_KEY_MARK)

    def is_secret(self, text: str) -> bool:
        """Whether a key of this org stands in the text."""
        return any(key in text for key in (self.key, *self._old))

    def perform(self, action: str, argument: Any, *, why: str, held: int | None = None) -> Operator:
        """Do it, at once. Raises ValueError for an action that the console does not have."""
        actions: dict[str, Callable[[], object]] = {
            "revoke": lambda: self.plane.operator_revoke(self.key, argument),
            "restore": lambda: self.plane.operator_restore(self.key, argument),
            "remove": lambda: self.plane.operator_remove(self.key, argument),
            "disable": lambda: self.plane.operator_disable(self.key),
            "enable": lambda: self.plane.operator_enable(self.key),
            "rotate": self._rotate,
            "plan": lambda: self._plan(argument),
            "cap": lambda: self.plane.operator_set_cap(self.key, argument),
        }
        if action not in actions:
            raise ValueError(f"unknown operator action {action!r}; expected one of {', '.join(actions)}")
        actions[action]()
        about_device = action in ("revoke", "restore", "remove")
        return Operator(
            action=action,
            device=argument if about_device else None,
            argument=None if about_device or argument is None else str(argument),
            why=cast("Literal['scenario', 'horizon', 'setup']", why),
            held=held,
        )

    def _plan(self, argument: str) -> None:
        """A plan's name changes the plan, any other word is the plan's state."""
        if argument in PLANS:
            self.plane.operator_set_plan(self.key, argument)
        else:
            self.plane.operator_set_plan_state(self.key, argument)

    def _rotate(self) -> None:
        self._old.append(self.key)
        self._redactor.learn(self.key, OLD_KEY_MARK)
        self.key = self.plane.operator_rotate(self.key)
        self._redactor.learn(self.key, ORG_KEY_MARK)
