"""The control plane without a network: calls of clients, answers; actions of an operator, changes.

Sans I/O: request ids, org keys and the time are asked of the three functions that it is made with. One thread at a
time. A client's call names the org by its key and gets an ``Answer``. An operator's action (``operator_…``: what the
console does) names the org by its current key too, and takes effect at the next validate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.dialects import CURRENT, Dialect, legacy_decision, plan_fields
from fake_control_plane.org import Org
from fake_control_plane.problems import refusal

DeviceAction = Literal["revoke", "unrevoke", "remove"]


def _standstill() -> float:
    return 0.0


class ControlPlane:
    """All orgs of one fake.

    ``new_id`` gives a fresh request id (a UUID) at each call, ``new_key`` a fresh org key (``org_…``), ``now`` the
    time in seconds since the epoch, which only ends the cycle of a cancelled plan; by default it stands still.
    """

    def __init__(
        self,
        *,
        new_id: Callable[[], str],
        new_key: Callable[[], str],
        now: Callable[[], float] = _standstill,
        dialect: Dialect = CURRENT,
    ) -> None:
        self.dialect = dialect
        self._new_id = new_id
        self._new_key = new_key
        self._now = now
        self._orgs: dict[str, Org] = {}  # by current key
        self._issued: set[str] = set()

    # -- calls of clients ----------------------------------------------------------------------------------------------

    def unauthorized(self, key: str | None, *, handler: str) -> Answer | None:
        """The 401 that this key gets, or None if it is the current key of an org.

        A rotated key is refused at once, and like any other wrong one. The body has no ``allowed``: to a validate
        this is a failure, not a deny (assumed).
        """
        if not key:
            return refusal("missing_org_key", handler=handler)
        if key not in self._orgs:
            return refusal("invalid_org_key", handler=handler)
        return None

    def create_org(self) -> Answer:
        """``POST org/create``: a new, empty org on the free plan, and its key."""
        return Answer(body={"status": "ok", "orgApiKey": self.add_org(), "handler": "org_create"})

    def register(self, key: str | None, device: str) -> Answer:
        """Register a device.

        It lifts no revoke unless the dialect says so; at the cap the device stays unregistered.
        """
        org = self._find(key, "devices/register")
        if isinstance(org, Answer):
            return org
        registration = org.register(device, restores=self.dialect.register_restores)
        return self.dialect.registered(org, device, registration)

    def validate(self, key: str | None, device: str) -> Answer:
        """The decision for a device, with a fresh request id."""
        org = self._find(key, "devices/validate")
        if isinstance(org, Answer):
            return org
        return self.dialect.decision(org.decide(device), request_id=self._new_id())

    def validate_legacy(self, key: str | None, device: str) -> Answer:
        """The decision as the legacy GET says it: ``{"valid": …}``."""
        org = self._find(key, "devices/validate")
        return org if isinstance(org, Answer) else legacy_decision(org.decide(device))

    def allow_answer(self, device: str) -> Answer:  # noqa: ARG002 -- no field of today's allow names the device
        """What an allow for this device looks like, whatever is so: for faults that dangle one.

        Its request id is fresh.
        """
        return self.dialect.decision("allow", request_id=self._new_id())

    def list(self, key: str | None) -> Answer:
        """All devices of the org in register order, each with its revoked state."""
        org = self._find(key, "devices/list")
        if isinstance(org, Answer):
            return org
        devices = [{"deviceId": device.id, "revoked": device.revoked} for device in org.devices]
        return Answer(body={"status": "ok", "handler": "devices/list", "devices": devices})

    def usage(self, key: str | None) -> Answer:
        """Plan, cap and devices used."""
        return self._plan("usage", key)

    def billing_summary(self, key: str | None) -> Answer:
        """The same fields as ``usage``: only the endpoint's name is public."""
        return self._plan("billing/summary", key)

    def revoke(self, key: str | None, device: str) -> Answer:
        """Revoke a device as a client; 404 if it is not registered."""
        return self._change("revoke", key, device)

    def unrevoke(self, key: str | None, device: str) -> Answer:
        """Restore a device as a client; 404 if it is not registered."""
        return self._change("unrevoke", key, device)

    def remove(self, key: str | None, device: str) -> Answer:
        """Remove a device as a client; 404 if it is not registered."""
        return self._change("remove", key, device)

    def _find(self, key: str | None, handler: str) -> Org | Answer:
        refused = self.unauthorized(key, handler=handler)
        return refused if refused is not None else self._orgs[key or ""]

    def _plan(self, handler: str, key: str | None) -> Answer:
        org = self._find(key, handler)
        if isinstance(org, Answer):
            return org
        return Answer(body={"status": "ok", "handler": handler, **plan_fields(org)})

    def _change(self, action: DeviceAction, key: str | None, device: str) -> Answer:
        handler = f"devices/{action}"
        org = self._find(key, handler)
        if isinstance(org, Answer):
            return org
        change = {"revoke": org.revoke, "unrevoke": org.restore, "remove": org.remove}[action]
        if not change(device):
            return refusal("device_not_found", handler=handler)
        body: dict[str, Any] = {"status": "ok", "handler": handler, "deviceId": device}
        return Answer(body=body if action == "remove" else {**body, "revoked": action == "revoke"})

    # -- actions of an operator ----------------------------------------------------------------------------------------

    def add_org(self, *, plan: str = "free", limit: int | None = None) -> str:
        """Make an empty org and return its key. ``limit`` is a custom cap.

        Raises:
            ValueError: there is no such plan; the limit is below 0.
        """
        org = Org(now=self._now, plan=plan, limit=limit)
        key = self._issue()
        self._orgs[key] = org
        return key

    def adopt(self, key: str, org: Org) -> None:
        """Take an org in that was stored, under the key that it had.

        Raises:
            ValueError: the key is empty, or was given before.
        """
        if not key or key in self._issued:
            raise ValueError("a stored org has a key that is empty or another org's; expected a key for each org")
        self._issued.add(key)
        self._orgs[key] = org

    def org(self, key: str) -> Org:
        """The org with this current key, to look at.

        Raises:
            LookupError: no org has this key now.
        """
        try:
            return self._orgs[key]
        except KeyError:
            # The key is a secret: the message does not repeat it.
            raise LookupError(
                "no org has this key: it was rotated, or is of another control plane; "
                "expected what add_org or operator_rotate returned last"
            ) from None

    def operator_preregister(self, key: str, device: str) -> None:
        """Register a device from the console; one that is registered stays as it is.

        Raises:
            ValueError: the cap is reached.
        """
        org = self.org(key)
        if org.register(device) == "blocked":
            raise ValueError(
                f"device {device!r} cannot be registered: {org.used} devices and a limit of {org.limit}; "
                "raise it with operator_set_plan or operator_set_cap, or remove a device"
            )

    def operator_revoke(self, key: str, device: str) -> bool:
        """Revoke a device.

        False if it is not registered: there is nothing to revoke, and its validates are denied anyway.
        """
        return self.org(key).revoke(device)

    def operator_restore(self, key: str, device: str) -> bool:
        """Restore a device. False if it is not registered."""
        return self.org(key).restore(device)

    def operator_remove(self, key: str, device: str) -> bool:
        """Remove a device. False if it was not registered."""
        return self.org(key).remove(device)

    def operator_disable(self, key: str) -> None:
        """Org-wide disable: every validate is denied, each device keeps its own state."""
        self.org(key).disable()

    def operator_enable(self, key: str) -> None:
        """Lift org-wide disable."""
        self.org(key).enable()

    def operator_rotate(self, key: str) -> str:
        """Give the org a new key and return it; the old one gets 401 from now on."""
        org = self.org(key)
        new = self._issue()
        del self._orgs[key]
        self._orgs[new] = org
        return new

    def operator_set_plan_state(self, key: str, state: str) -> None:
        """``active``, ``frozen``, or another word for a plan that is not active.

        Raises ValueError for a plan's name.
        """
        self.org(key).set_plan_state(state)

    def operator_set_plan(self, key: str, plan: str) -> None:
        """Upgrade or downgrade; the plan's cap holds at once. Raises ValueError for an unknown plan."""
        self.org(key).set_plan(plan)

    def operator_set_cap(self, key: str, limit: int) -> None:
        """Set a custom cap, at once; devices beyond it, in register order, are denied. Raises ValueError below 0."""
        self.org(key).set_limit(limit)

    def operator_cancel_plan(self, key: str, *, access_until: float) -> None:
        """Cancel the plan: unchanged until then (seconds since the epoch), free with its cap of 3 afterwards.

        Raises ValueError for a moment that no timestamp can say.
        """
        self.org(key).cancel(access_until)

    def _issue(self) -> str:
        key = self._new_key()
        if not key or key in self._issued:
            raise ValueError(
                "new_key gave an org key that is empty or was given before; expected a fresh one at each call"
            )
        self._issued.add(key)
        return key
