"""What an operator does: the console's actions on orgs and devices, and those on the service itself.

Each returns when it is stored and journaled. Orgs are named by id. Where an action takes several devices it is done to all of
them or to none. Raises, besides what each says: ``UnknownOrg``; ``OSError`` when the store cannot write (a full disk): then the
change is in force, and may be lost with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from fake_control_plane.api import is_device_id
from fake_control_plane.fault_rules import FaultRule, parse
from fake_control_plane.fault_rules.line import write_line
from fake_control_plane.org import Org, Reason
from fake_control_plane.problems import DEVICE_ID_LIMIT
from fake_control_plane.serving.core import Core, dialect_named
from fake_control_plane.serving.guards import production_message
from fake_control_plane.serving.hosted import HostedOrg
from fake_control_plane.serving.views import (
    Change,
    Conflict,
    DeviceView,
    NewOrg,
    OrgView,
    UnknownDevice,
    UnknownRule,
)

_UNDELIVERABLE = {
    "tcp": "nothing here listens. Start a server",
    "dns": "this server answers no DNS. Names fail to resolve only in the namespace that the harness makes for a target: "
    "use it in a scenario, or 'refuse' here",
    "tls": "this server does not speak TLS. Start it with --tls",
}


class Actions(Core):
    """See the module."""

    # -- what is so ------------------------------------------------------------------------------------------------------

    def orgs(self) -> tuple[OrgView, ...]:
        """All orgs in the order in which they were made."""
        return tuple(hosted.view() for hosted in self._orgs)

    def org(self, org_id: str) -> OrgView:
        """One org."""
        return self._orgs.find(org_id).view()

    def devices(self, org_id: str) -> tuple[DeviceView, ...]:
        """All devices of an org in register order."""
        return self._orgs.find(org_id).devices()

    def device(self, org_id: str, device: str) -> DeviceView:
        """One device. Raises UnknownDevice."""
        return self._orgs.find(org_id).device(device)

    def faults(self) -> tuple[Mapping[str, Any], ...]:
        """Every fault rule as JSON, with its counters, in the order in which they were added."""
        return tuple(self._rules.describe(rule.id) for rule in self._rules)

    def fault(self, rule_id: str) -> Mapping[str, Any]:
        """One fault rule as JSON. Raises UnknownRule."""
        return self._rules.describe(self._rule(rule_id).id)

    def key(self, org_id: str) -> str:
        """The org's current key: for whoever started this process. No port shows it."""
        return self._orgs.find(org_id).key

    # -- orgs ------------------------------------------------------------------------------------------------------------

    def add_org(self, *, plan: str = "free", cap: int | None = None) -> NewOrg:
        """Make an empty org. ``cap`` is a custom one. Raises ValueError for an unknown plan or a cap below 0."""
        hosted = self._adopt(self._control_plane.add_org(plan=plan, limit=cap))
        self._acknowledge("org-create", hosted.id, detail=f"plan {plan}, cap {hosted.org.limit}")
        return NewOrg(id=hosted.id, key=hosted.key)

    def rotate(self, org_id: str) -> str:
        """Give the org a new key and return it; the old one gets 401 from now on."""
        hosted = self._orgs.find(org_id)
        self._orgs.rekey(hosted, self._control_plane.operator_rotate(hosted.key))
        self._minted += 1
        self._save_setting("minted", self._minted)
        self._change_org(hosted, "rotate")
        return hosted.key

    def disable(self, org_id: str) -> None:
        """Org-wide disable: every validate is denied, each device keeps its own state."""
        hosted = self._orgs.find(org_id)
        hosted.org.disable()
        self._change_org(hosted, "disable")

    def enable(self, org_id: str) -> None:
        """Lift org-wide disable."""
        hosted = self._orgs.find(org_id)
        hosted.org.enable()
        self._change_org(hosted, "enable")

    def set_plan(self, org_id: str, plan: str) -> None:
        """Upgrade or downgrade, at once; ends a custom cap and a cancellation. Raises ValueError for an unknown plan."""
        hosted = self._orgs.find(org_id)
        hosted.org.set_plan(plan)
        self._change_org(hosted, "set-plan", detail=plan)

    def set_plan_state(self, org_id: str, state: str) -> None:
        """``active``, ``frozen``, or another word for a plan that is not active. Raises ValueError for a plan's name."""
        hosted = self._orgs.find(org_id)
        hosted.org.set_plan_state(state)
        self._change_org(hosted, "set-plan-state", detail=state)

    def set_cap(self, org_id: str, cap: int) -> None:
        """Set a custom cap, at once; devices beyond it, in register order, are denied. Raises ValueError below 0."""
        hosted = self._orgs.find(org_id)
        hosted.org.set_limit(cap)
        self._change_org(hosted, "set-cap", detail=str(cap))

    def cancel_plan(self, org_id: str, *, access_until: float) -> None:
        """Unchanged until then (seconds since the epoch, on the service's clock), free with its cap of 3 afterwards.

        Raises:
            ValueError: no timestamp can say that moment.
        """
        hosted = self._orgs.find(org_id)
        hosted.org.cancel(access_until)
        self._change_org(hosted, "cancel-plan", detail=f"access until {access_until!r}")

    def _change_org(self, hosted: HostedOrg, action: str, *, detail: str | None = None) -> None:
        self._save_org(hosted)
        self._acknowledge(action, hosted.id, detail=detail)

    # -- devices: one or many, all or none -------------------------------------------------------------------------------

    def register(self, org_id: str, devices: Iterable[str]) -> tuple[str, ...]:
        """Register from the console; returns the new ones, and leaves the others as they are.

        Raises:
            Conflict: there is no place for all of them.
            ValueError: an id is none that a client could register, or is one of production.
        """
        hosted = self._orgs.find(org_id)
        wanted = tuple(dict.fromkeys(devices))
        for device in wanted:
            if not is_device_id(device):
                raise ValueError(
                    f"device: got {device!r}; expected 1 to {DEVICE_ID_LIMIT} characters that are not all blank"
                )
            if self._guards.refuses_device(device):
                raise ValueError(production_message(device))
        org = hosted.org
        new = tuple(device for device in wanted if org.find(device) is None)
        if new and org.used + len(new) > org.limit:
            raise Conflict(
                f"{hosted.id} has {org.used} devices and a limit of {org.limit}: no place for {len(new)} more. "
                "Raise the plan or the cap, or remove a device"
            )
        for device in new:
            org.register(device)
        if new:
            self._change_devices(hosted, "register", new)
        return new

    def revoke(self, org_id: str, devices: Iterable[str]) -> None:
        """Deny these devices until they are restored. Raises UnknownDevice."""
        self._each(org_id, "revoke", devices, Org.revoke)

    def restore(self, org_id: str, devices: Iterable[str]) -> None:
        """Lift the revoke. Raises UnknownDevice."""
        self._each(org_id, "restore", devices, Org.restore)

    def remove(self, org_id: str, devices: Iterable[str]) -> None:
        """Forget these devices; their places are free. Raises UnknownDevice."""
        self._each(org_id, "remove", devices, Org.remove)

    def _each(self, org_id: str, action: str, devices: Iterable[str], change: Callable[[Org, str], bool]) -> None:
        hosted = self._orgs.find(org_id)
        wanted = tuple(dict.fromkeys(devices))
        unknown = [device for device in wanted if hosted.org.find(device) is None]
        if unknown:
            raise UnknownDevice(org_id, unknown)
        for device in wanted:
            change(hosted.org, device)
        if wanted:
            self._change_devices(hosted, action, wanted)

    def _change_devices(self, hosted: HostedOrg, action: str, devices: Sequence[str]) -> None:
        self._save_devices(hosted, devices)
        self._acknowledge(action, hosted.id, devices)

    # -- the service -----------------------------------------------------------------------------------------------------

    def add_fault(self, rule: Mapping[str, Any] | str) -> FaultRule:
        """Add a fault rule, as JSON or as a line (``status=503 operation=validate first=2``).

        Raises:
            ValueError: it is none, its id is taken, or it is of a layer at which this server cannot deliver anything.
        """
        added = parse(rule, id=self._rules.next_id())
        if (listener := added.listener) is not None and listener.layer not in self._layers:
            raise ValueError(f"fault {listener.name!r} cannot be delivered here: {_UNDELIVERABLE[listener.layer]}")
        self._rules.add(added)
        if self._store is not None:
            self._store.save_rule(added.id, added.describe())
        self._save_setting("rules", self._rules.last_number)
        self._acknowledge("fault-add", detail=f"{added.id}: {write_line(added)}")
        return added

    def remove_fault(self, rule_id: str) -> None:
        """Remove a fault rule. Raises UnknownRule."""
        self._rule(rule_id)
        self._forget([rule_id])

    def clear_faults(self) -> tuple[str, ...]:
        """Remove all fault rules; returns their ids."""
        ids = tuple(rule.id for rule in self._rules)
        if ids:
            self._forget(ids)
        return ids

    def _forget(self, ids: Sequence[str]) -> None:
        for rule_id in ids:
            self._rules.remove(rule_id)
            if self._store is not None:
                self._store.forget_rule(rule_id)
        self._acknowledge("fault-remove", detail=", ".join(ids))

    def _rule(self, rule_id: str) -> FaultRule:
        try:
            return self._rules[rule_id]
        except LookupError as error:
            raise UnknownRule(*error.args) from None

    def set_dialect(self, name: str) -> None:
        """``current`` or ``legacy``; overridden codes stay. Raises ValueError for another word."""
        self._control_plane.dialect = replace(dialect_named(name), codes=self.dialect.codes)
        self._dialect_changed()
        self._save_setting("dialect", name)
        self._acknowledge("set-dialect", detail=name)

    def set_codes(self, codes: Mapping[Reason, str] | Mapping[str, str]) -> None:
        """Override codes: reason to code, in place of all overrides before.

        Raises:
            ValueError: there is no such reason, or a code is no string with something in it.
        """
        for reason, code in codes.items():
            if not isinstance(code, str) or not code.strip():
                raise ValueError(f"code of {reason!r}: got {code!r}; expected a string such as 'DEVICE_REVOKED'")
        self._control_plane.dialect = replace(self.dialect, codes=cast("Mapping[Reason, str]", dict(codes)))
        self._dialect_changed()
        self._save_setting("codes", dict(codes))
        self._acknowledge("set-codes", detail=", ".join(f"{reason}={code}" for reason, code in codes.items()))

    def move_clock(self, seconds: float) -> float:
        """Move the clock forward, or back, by so many seconds; returns the new time. Raises ValueError if that is no number."""
        now = self._clock.move(seconds)
        self._save_setting("clock", self._clock.moved)
        self._acknowledge("move-clock", detail=f"by {seconds!r} seconds")
        return now

    # -- who is told -----------------------------------------------------------------------------------------------------

    def subscribe(self, told: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``told`` after each acknowledged change, in this thread; returns what ends that."""
        self._subscribers[told] = None
        return lambda: self._subscribers.pop(told, None)
