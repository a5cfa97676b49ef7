"""One org: its devices, its plan, its switches, and the decision that follows from them.

Nothing here does I/O, reads a clock (time is asked of ``now``) or makes anything up. A change takes effect at the next
decision, because a decision is computed from the state at that moment and nothing is remembered of the one before.

What decides, the widest reason first (the order is assumed; no public source says which code wins when several apply):
the org is disabled; its plan is frozen or not active; the device is not registered, is revoked, is over the cap.

Assumed, because no public source says so:

- a registered device takes a place of the cap whether or not it is revoked; only a removal gives the place back;
- a device removed and registered again stands last in the register order;
- over a lowered cap, the devices registered last are the ones denied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Literal

Reason = Literal[
    "allow",
    "org-disabled",
    "plan-frozen",
    "plan-not-active",
    "device-not-registered",
    "device-revoked",
    "device-limit-exceeded",
]
"""Why a device is allowed or denied. How it is called on the wire is the dialect's."""

Registration = Literal["ok", "exists", "restored", "blocked"]
"""What a register did: a new device; already there; there, and no longer revoked (older docs); refused at the cap."""

PLANS: Mapping[str, int] = MappingProxyType({"free": 3, "pro": 25, "scale": 250, "max": 1000})
"""Each plan's cap, in devices (pricing page)."""

ACTIVE = "active"
FROZEN = "frozen"

LAST_MOMENT = 253_402_300_799
"""9999-12-31T23:59:59Z in seconds since the epoch: what comes after has no timestamp of four-digit years (RFC 3339)."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A registered device. Removed devices are forgotten."""

    id: str
    revoked: bool = False


@dataclass(frozen=True, kw_only=True)
class OrgSettings:
    """All that an org is beside its devices, as it is kept over a restart (``Org.settings``, ``Org.restored``).

    ``custom_limit``: None is the plan's own. ``access_until``: the end of a cancelled plan's cycle, in seconds since the
    epoch, None while nothing is cancelled; ``plan`` and ``custom_limit`` are those from before it.
    """

    plan: str = "free"
    custom_limit: int | None = None
    access_until: float | None = None
    plan_state: str = ACTIVE
    disabled: bool = False


class Org:
    """State changes only in the methods of this class, each of which is one action of a client or of the console."""

    def __init__(self, *, now: Callable[[], float], plan: str = "free", limit: int | None = None) -> None:
        """An org starts empty, enabled and with an active plan. ``limit`` is a custom cap."""
        self._now = now
        self._plan = _known_plan(plan)
        self._custom_limit = None if limit is None else _whole(limit)
        self._access_until: float | None = None
        self._plan_state = ACTIVE
        self._disabled = False
        self._devices: dict[str, Device] = {}  # in register order

    @classmethod
    def restored(cls, settings: OrgSettings, devices: Iterable[Device], *, now: Callable[[], float]) -> Org:
        """The org that these settings and devices (in register order) were taken from.

        Raises:
            ValueError: a setting is none that an org can have.
        """
        org = cls(now=now, plan=settings.plan, limit=settings.custom_limit)
        org.set_plan_state(settings.plan_state)
        org._access_until = settings.access_until
        org._disabled = settings.disabled
        org._devices = {device.id: device for device in devices}
        return org

    # -- what is so ----------------------------------------------------------------------------------------------------

    @property
    def devices(self) -> tuple[Device, ...]:
        """All registered devices in register order."""
        return tuple(self._devices.values())

    def find(self, device: str) -> Device | None:
        """The registered device with this id; None if there is none."""
        return self._devices.get(device)

    @property
    def settings(self) -> OrgSettings:
        """What ``restored`` needs beside the devices."""
        return OrgSettings(
            plan=self._plan,
            custom_limit=self._custom_limit,
            access_until=self._access_until,
            plan_state=self._plan_state,
            disabled=self._disabled,
        )

    @property
    def disabled(self) -> bool:
        """Whether org-wide disable is on."""
        return self._disabled

    @property
    def plan_state(self) -> str:
        """``active``, ``frozen``, or any other word, which means not active."""
        return self._plan_state

    @property
    def plan(self) -> str:
        """The plan's name; ``free`` once a cancelled plan's cycle is over."""
        return "free" if self._cycle_is_over else self._plan

    @property
    def access_until(self) -> float | None:
        """The end of a cancelled plan's cycle, in seconds since the epoch; None while nothing is cancelled."""
        return self._access_until

    @property
    def limit(self) -> int:
        """The cap, in devices: the custom one if there is one, else the plan's."""
        if self._cycle_is_over or self._custom_limit is None:
            return PLANS[self.plan]
        return self._custom_limit

    @property
    def used(self) -> int:
        """How many places of the cap are taken; may exceed it after the cap was lowered."""
        return len(self._devices)

    def decide(self, device: str) -> Reason:
        """The decision for a device at this moment."""
        if self._disabled:
            return "org-disabled"
        if self._plan_state != ACTIVE:
            return "plan-frozen" if self._plan_state == FROZEN else "plan-not-active"
        known = self._devices.get(device)
        if known is None:
            return "device-not-registered"
        if known.revoked:
            return "device-revoked"
        # The scan is spared where nobody is over the cap: nearly always.
        # So is, for this is asked at every call, the way over ``limit`` where nothing is cancelled.
        limit = self._custom_limit if self._access_until is None else self.limit
        if limit is None:
            limit = PLANS[self._plan]
        if len(self._devices) > limit and device not in islice(self._devices, limit):
            return "device-limit-exceeded"
        return "allow"

    # -- devices -------------------------------------------------------------------------------------------------------

    def register(self, device: str, *, restores: bool = False) -> Registration:
        """Register a device if there is a place. A disabled org and the plan's state do not matter (assumed).

        ``restores``: a revoked device that registers is restored, as older docs had it.
        """
        known = self._devices.get(device)
        if known is not None:
            if restores and known.revoked:
                self.restore(device)
                return "restored"
            return "exists"
        if self.used >= self.limit:
            return "blocked"
        self._devices[device] = Device(id=device)
        return "ok"

    def revoke(self, device: str) -> bool:
        """Deny a device until it is restored. False if it is not registered."""
        return self._set_revoked(device, True)

    def restore(self, device: str) -> bool:
        """Lift a revoke. False if the device is not registered."""
        return self._set_revoked(device, False)

    def remove(self, device: str) -> bool:
        """Forget a device; its place is free. False if it was not registered."""
        return self._devices.pop(device, None) is not None

    def _set_revoked(self, device: str, revoked: bool) -> bool:
        known = self._devices.get(device)
        if known is None:
            return False
        self._devices[device] = replace(known, revoked=revoked)  # keeps its place in the order
        return True

    # -- switches ------------------------------------------------------------------------------------------------------

    def disable(self) -> None:
        """Deny every device. Each device's own state stays as it is (PYTHON, Org-wide disable)."""
        self._disabled = True

    def enable(self) -> None:
        """Lift ``disable``."""
        self._disabled = False

    def set_plan_state(self, state: str) -> None:
        """``active``, ``frozen``, or any other word for a plan that is not active.

        Raises:
            ValueError: the word is empty, or is the name of a plan.
        """
        if not state or state in PLANS:
            raise ValueError(
                f"plan state: got {state!r}; expected active, frozen, or another word for a plan that is not active "
                f"(not_active, canceled, …). The plans {', '.join(PLANS)} are set by set_plan"
            )
        self._plan_state = state

    def set_plan(self, plan: str) -> None:
        """Change the plan, up or down. Its cap holds at once, a custom limit and a cancellation are over.

        Raises:
            ValueError: there is no such plan.
        """
        self._plan, self._custom_limit, self._access_until = _known_plan(plan), None, None

    def set_limit(self, limit: int) -> None:
        """Set a custom cap, at once.

        Raises:
            ValueError: ``limit`` is not a whole number, or is below 0.
        """
        checked = _whole(limit)
        if self._cycle_is_over:
            self.set_plan("free")
        self._custom_limit = checked

    def cancel(self, access_until: float) -> None:
        """Cancel the plan: it stays as it is until then (seconds since the epoch), and is ``free`` afterwards.

        Raises:
            ValueError: ``access_until`` is no moment from 1970 to 9999, the years that a timestamp can say.
        """
        if not 0 <= access_until <= LAST_MOMENT:  # NaN compares with nothing
            raise ValueError(
                f"end of the cycle: got {access_until!r}; expected seconds since the epoch, from 0 to {LAST_MOMENT} (the year 9999)"
            )
        self._access_until = access_until

    @property
    def _cycle_is_over(self) -> bool:
        return self._access_until is not None and self._now() >= self._access_until


def _known_plan(plan: str) -> str:
    if plan not in PLANS:
        raise ValueError(f"plan: got {plan!r}; expected one of {', '.join(PLANS)}")
    return plan


def _whole(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise ValueError(f"device limit: got {limit!r}; expected a whole number, 0 or more")
    return limit
