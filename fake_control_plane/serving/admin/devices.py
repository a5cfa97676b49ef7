"""The console: the devices of an org."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

from fake_control_plane.org import Reason
from fake_control_plane.serving.admin.endpoints import ORG, Asked, Endpoint, org_action
from fake_control_plane.serving.admin.fields import Field
from fake_control_plane.serving.admin.held import Held
from fake_control_plane.serving.views import DeviceView

_DEVICES = Field(name="devices", kind="texts", meaning="device ids; the action is done to all of them or to none")
_PAGE = 10_000


def _list_devices(held: Held, asked: Asked) -> Any:
    devices = held.service.devices(asked.path["org"])
    search, state = asked.query["search"], asked.query["state"]
    matching = [device for device in devices if _matches(device, search, state)]
    offset, limit = asked.query["offset"], asked.query["limit"]
    page = matching[offset : offset + limit]
    return {"devices": [asdict(device) for device in page], "matching": len(matching), "total": len(devices)}


def _matches(device: DeviceView, search: str | None, state: str | None) -> bool:
    if search is not None and search.lower() not in device.id.lower():
        return False
    return state is None or state == device.now or (state == "deny" and device.now != "allow")


def _get_device(held: Held, asked: Asked) -> Any:
    return asdict(held.service.device(asked.path["org"], asked.query["id"]))


def _register_devices(held: Held, asked: Asked) -> Any:
    new = held.service.register(asked.path["org"], asked.body["devices"])
    return {"org": _org(held, asked), "registered": list(new)}


def _revoke_devices(held: Held, asked: Asked) -> Any:
    held.service.revoke(asked.path["org"], asked.body["devices"])
    return _org(held, asked)


def _restore_devices(held: Held, asked: Asked) -> Any:
    held.service.restore(asked.path["org"], asked.body["devices"])
    return _org(held, asked)


def _remove_devices(held: Held, asked: Asked) -> Any:
    held.service.remove(asked.path["org"], asked.body["devices"])
    return _org(held, asked)


def _org(held: Held, asked: Asked) -> Any:
    return asdict(held.service.org(asked.path["org"]))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/orgs/{org}/devices",
        name="devices",
        summary="The devices of an org, in register order.",
        act=_list_devices,
        parameters=ORG,
        query=(
            Field(name="search", kind="text", meaning="only ids with this in them, in any case", required=False),
            Field(
                name="state",
                kind="text",
                meaning="only devices of which a validate would say this now; deny is all but allow",
                choices=("deny", *get_args(Reason)),
                required=False,
            ),
            Field(name="offset", kind="whole", meaning="how many of those to leave out", required=False, default=0),
            Field(name="limit", kind="whole", meaning="how many to show", required=False, default=1000, most=_PAGE),
        ),
        answer="Devices",
        answered="One page of them.",
        errors=("unknown_org",),
    ),
    Endpoint(
        method="GET",
        path="/orgs/{org}/device",  # its id in the query: a path would lose ids such as ".."
        name="device",
        summary="One device.",
        act=_get_device,
        parameters=ORG,
        query=(Field(name="id", kind="text", meaning="the device's id"),),
        answer="Device",
        answered="The device.",
        errors=("unknown_org", "unknown_device"),
    ),
    org_action(
        "register",
        "register",
        "Register devices from the console; those that are registered stay as they are.",
        _register_devices,
        body=(_DEVICES,),
        answer="Registered",
        answered="The org as it is now, and which devices are new.",
        errors=("conflict",),
    ),
    org_action(
        "revoke",
        "revoke",
        "Deny devices until they are restored.",
        _revoke_devices,
        body=(_DEVICES,),
        errors=("unknown_device",),
    ),
    org_action(
        "restore",
        "restore",
        "Lift the revoke of devices.",
        _restore_devices,
        body=(_DEVICES,),
        errors=("unknown_device",),
    ),
    org_action(
        "remove",
        "remove",
        "Forget devices; their places are free.",
        _remove_devices,
        body=(_DEVICES,),
        errors=("unknown_device",),
    ),
)
