"""What keeps a fake that was left behind from being a kill switch that always allows.

- It ends: after ``expires`` every validate is denied and all else is 403, for good, by a clock that nobody can move and that goes
  on while the machine is suspended.
- It accepts only org keys that it minted itself: they are marked (``KEY_MARK``), so that no file can bring it a real one.
- It refuses devices of production (``:prod:``), unless it was told otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fake_control_plane.answers import Answer
from fake_control_plane.api import Call, handler_of
from fake_control_plane.dialects import error, legacy_decision

KEY_MARK = "org_fake_"
"""How every org key of a service begins. The original's begin with ``org_``."""

EXPIRED = "FAKE_EXPIRED"
"""The code of every validate after the end."""

PRODUCTION = ":prod:"
"""What a device id of production has in it: ``{service}:{env}:{role}:{instance}``."""


def elapsing() -> float:
    """Seconds on a clock that only goes forward, and goes on while the machine sleeps where the system has such a one."""
    return time.clock_gettime(_CLOCK)


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


@dataclass(frozen=True, kw_only=True)
class Guards:
    """``expires_at``: the end, on ``clock`` (seconds); None: none. ``allow_prod``: serve devices of production too."""

    allow_prod: bool = False
    expires_at: float | None = None
    clock: Callable[[], float] = elapsing

    @property
    def expired(self) -> bool:
        """Whether the end has come."""
        return self.expires_at is not None and self.clock() >= self.expires_at

    @property
    def remaining(self) -> float | None:
        """Seconds until the end, 0 after it; None if there is none."""
        return None if self.expires_at is None else max(0.0, self.expires_at - self.clock())

    def refuses_device(self, device: str) -> bool:
        """Whether this device is one of production and must not be served."""
        return not self.allow_prod and PRODUCTION in device.lower()

    def forbid(self, device: str) -> bool:
        """Whether a call about this device gets a ``refusal``: the question alone, for the fast path."""
        return self.refuses_device(device) if self.expires_at is None else self.expired or self.refuses_device(device)

    def refusal(self, call: Call, *, new_id: Callable[[], str]) -> Answer | None:
        """What a call gets instead of the state's answer; None if nothing speaks against it."""
        if self.expired:
            return _expired(call, new_id)
        if call.device is not None and self.refuses_device(call.device):
            return error(422, "production_device", production_message(call.device), handler=handler_of(call.path))
        return None


def production_message(device: str) -> str:
    """Why a device of production is refused, and what to do."""
    return (
        f"The device {device!r} has {PRODUCTION!r} in its id: it is of production, and this is a fake control plane, "
        "which must not decide for it. Point it at the real service, or, if this is a drill, start the fake with --allow-prod."
    )


def _expired(call: Call, new_id: Callable[[], str]) -> Answer:
    if call.operation == "validate" and call.method == "POST":
        return Answer(body={"allowed": False, "code": EXPIRED, "request_id": new_id()})
    if call.operation == "validate":
        return legacy_decision("org-disabled")
    message = (
        "This fake control plane has reached its --expires: it denies everything from now on. "
        "If it is still wanted, start it anew; if it was left behind, stop it."
    )
    return error(403, "fake_expired", message, handler=handler_of(call.path))
