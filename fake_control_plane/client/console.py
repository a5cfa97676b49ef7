"""What the console can do with orgs and devices: a function for each request."""

from __future__ import annotations

from collections.abc import Sequence

from fake_control_plane.client.ask import Ask, path, query
from fake_control_plane.client.results import Device, Devices, Org, OrgWithKey, Registered, part, read

# -- orgs ------------------------------------------------------------------------------------------------------------------


def orgs() -> Ask[tuple[Org, ...]]:
    """All orgs, in the order in which they were made."""
    return Ask(method="GET", path=path("orgs"), read=lambda value: tuple(read(Org, org) for org in part(value, "orgs")))


def create_org(*, plan: str = "free", cap: int | None = None) -> Ask[OrgWithKey]:
    """Make an empty org. The key is said this once. ``cap``: a custom one."""
    body = {"plan": plan} if cap is None else {"plan": plan, "cap": cap}
    return Ask(method="POST", path=path("orgs"), body=body, read=_org_with_key)


def org(org: str) -> Ask[Org]:
    """One org, by its id."""
    return Ask(method="GET", path=path("orgs", org), read=_org)


def rotate_key(org: str) -> Ask[OrgWithKey]:
    """Give the org a new key, which is said this once; the old one gets 401 from now on."""
    return Ask(method="POST", path=path("orgs", org, "rotate"), read=_org_with_key)


def disable(org: str) -> Ask[Org]:
    """Org-wide disable: every validate is denied, each device keeps its own state."""
    return Ask(method="POST", path=path("orgs", org, "disable"), read=_org)


def enable(org: str) -> Ask[Org]:
    """Lift org-wide disable."""
    return Ask(method="POST", path=path("orgs", org, "enable"), read=_org)


def set_plan(org: str, plan: str) -> Ask[Org]:
    """Upgrade or downgrade, at once: ``free``, ``pro``, ``scale``, ``max``."""
    return Ask(method="PUT", path=path("orgs", org, "plan"), body={"plan": plan}, read=_org)


def set_plan_state(org: str, state: str) -> Ask[Org]:
    """``active``, ``frozen``, or another word for a plan that is not active."""
    return Ask(method="PUT", path=path("orgs", org, "plan-state"), body={"state": state}, read=_org)


def set_cap(org: str, cap: int) -> Ask[Org]:
    """Set a custom cap, at once."""
    return Ask(method="PUT", path=path("orgs", org, "cap"), body={"cap": cap}, read=_org)


def cancel_plan(org: str, *, access_until: float) -> Ask[Org]:
    """Cancel the plan: unchanged until then (seconds since the epoch, on the server's clock), free afterwards."""
    return Ask(method="POST", path=path("orgs", org, "cancel"), body={"access_until": access_until}, read=_org)


# -- devices ---------------------------------------------------------------------------------------------------------------


def devices(
    org: str, *, search: str | None = None, state: str | None = None, offset: int = 0, limit: int = 1000
) -> Ask[Devices]:
    """A page of the org's devices, in register order.

    ``search``: only ids with this in them. ``state``: only those of which a validate would say this now: ``allow``, ``deny``, or
    a reason such as ``device-revoked``.
    """
    return Ask(
        method="GET",
        path=path("orgs", org, "devices"),
        query=query(search=search, state=state, offset=offset, limit=limit),
        read=lambda value: read(
            Devices, value, devices=tuple(read(Device, device) for device in part(value, "devices"))
        ),
    )


def device(org: str, device: str) -> Ask[Device]:
    """One device."""
    return Ask(
        method="GET", path=path("orgs", org, "device"), query=query(id=device), read=lambda value: read(Device, value)
    )


def register(org: str, devices: Sequence[str]) -> Ask[Registered]:
    """Register devices from the console; those that are registered stay as they are."""
    return Ask(
        method="POST",
        path=path("orgs", org, "register"),
        body=_devices(devices),
        read=lambda value: read(
            Registered, value, org=_org(part(value, "org")), registered=tuple(part(value, "registered"))
        ),
    )


def revoke(org: str, devices: Sequence[str]) -> Ask[Org]:
    """Deny devices until they are restored: all of them, or, if one is not registered, none."""
    return Ask(method="POST", path=path("orgs", org, "revoke"), body=_devices(devices), read=_org)


def restore(org: str, devices: Sequence[str]) -> Ask[Org]:
    """Lift the revoke of devices: of all, or of none."""
    return Ask(method="POST", path=path("orgs", org, "restore"), body=_devices(devices), read=_org)


def remove(org: str, devices: Sequence[str]) -> Ask[Org]:
    """Forget devices, all or none; their places are free."""
    return Ask(method="POST", path=path("orgs", org, "remove"), body=_devices(devices), read=_org)


# -- of these ----------------------------------------------------------------------------------------------------------------


def _devices(devices: Sequence[str]) -> dict[str, list[str]]:
    # A string is a sequence of strings too, and its letters would be taken for devices.
    return {"devices": [devices] if isinstance(devices, str) else list(devices)}


def _org(value: object) -> Org:
    return read(Org, value)


def _org_with_key(value: object) -> OrgWithKey:
    return read(OrgWithKey, value, org=_org(part(value, "org")))
