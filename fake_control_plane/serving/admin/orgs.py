"""The console: orgs and their switches."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fake_control_plane.org import LAST_MOMENT, PLANS
from fake_control_plane.serving.admin.endpoints import ORG, Asked, Endpoint, org_action
from fake_control_plane.serving.admin.fields import Field
from fake_control_plane.serving.admin.held import Held

_PLAN = Field(name="plan", kind="text", meaning="the plan", choices=tuple(PLANS))
_CAP = Field(name="cap", kind="whole", meaning="a custom cap, in devices", most=1_000_000)


def _list_orgs(held: Held, _: Asked) -> Any:
    return {"orgs": [asdict(org) for org in held.service.orgs()]}


def _create_org(held: Held, asked: Asked) -> Any:
    made = held.service.add_org(plan=asked.body["plan"], cap=asked.body["cap"])
    return {"org": asdict(held.service.org(made.id)), "key": made.key}


def _get_org(held: Held, asked: Asked) -> Any:
    return asdict(held.service.org(asked.path["org"]))


def _rotate_key(held: Held, asked: Asked) -> Any:
    key = held.service.rotate(asked.path["org"])
    return {"org": _get_org(held, asked), "key": key}


def _disable_org(held: Held, asked: Asked) -> Any:
    held.service.disable(asked.path["org"])
    return _get_org(held, asked)


def _enable_org(held: Held, asked: Asked) -> Any:
    held.service.enable(asked.path["org"])
    return _get_org(held, asked)


def _set_plan(held: Held, asked: Asked) -> Any:
    held.service.set_plan(asked.path["org"], asked.body["plan"])
    return _get_org(held, asked)


def _set_plan_state(held: Held, asked: Asked) -> Any:
    held.service.set_plan_state(asked.path["org"], asked.body["state"])
    return _get_org(held, asked)


def _set_cap(held: Held, asked: Asked) -> Any:
    held.service.set_cap(asked.path["org"], asked.body["cap"])
    return _get_org(held, asked)


def _cancel_plan(held: Held, asked: Asked) -> Any:
    held.service.cancel_plan(asked.path["org"], access_until=asked.body["access_until"])
    return _get_org(held, asked)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/orgs",
        name="orgs",
        summary="All orgs, in the order in which they were made.",
        act=_list_orgs,
        answer="Orgs",
        answered="The orgs, without their keys.",
    ),
    Endpoint(
        method="POST",
        path="/orgs",
        name="create_org",
        summary="Make an empty org.",
        act=_create_org,
        status=201,
        body=(
            Field(name="plan", kind="text", meaning="the plan", choices=tuple(PLANS), required=False, default="free"),
            Field(
                name="cap",
                kind="whole",
                meaning="a custom cap, in devices; the plan's own without it",
                required=False,
                most=1_000_000,
            ),
        ),
        answer="OrgWithKey",
        answered="The org, and its key: a secret, shown this once.",
        errors=("not_stored",),
    ),
    Endpoint(
        method="GET",
        path="/orgs/{org}",
        name="org",
        summary="One org.",
        act=_get_org,
        parameters=ORG,
        answer="Org",
        answered="The org.",
        errors=("unknown_org",),
    ),
    org_action(
        "rotate",
        "rotate_key",
        "Give the org a new key; the old one gets 401 from now on.",
        _rotate_key,
        answer="OrgWithKey",
        answered="The org, and its new key: a secret, shown this once.",
    ),
    org_action(
        "disable",
        "disable",
        "Org-wide disable: every validate is denied, each device keeps its own state.",
        _disable_org,
    ),
    org_action("enable", "enable", "Lift org-wide disable.", _enable_org),
    org_action(
        "plan",
        "set_plan",
        "Upgrade or downgrade, at once; ends a custom cap and a cancellation.",
        _set_plan,
        body=(_PLAN,),
        method="PUT",
    ),
    org_action(
        "plan-state",
        "set_plan_state",
        "Freeze the plan, or make it inactive or active.",
        _set_plan_state,
        body=(
            Field(name="state", kind="text", meaning="active, frozen, or another word for a plan that is not active"),
        ),
        method="PUT",
    ),
    org_action(
        "cap",
        "set_cap",
        "Set a custom cap, at once; devices beyond it, in register order, are denied.",
        _set_cap,
        body=(_CAP,),
        method="PUT",
    ),
    org_action(
        "cancel",
        "cancel_plan",
        "Cancel the plan: unchanged until the end of its cycle, free with a cap of 3 afterwards.",
        _cancel_plan,
        body=(
            Field(
                name="access_until",
                kind="number",
                most=LAST_MOMENT,
                meaning="the end, in seconds since the epoch, on the server's clock",
            ),
        ),
    ),
)
