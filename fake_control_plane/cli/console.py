"""The console's commands: orgs, devices and their switches on a running server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fake_control_plane.cli.connection import Commands, add_options, command, org_of, say, table
from fake_control_plane.org import PLANS

if TYPE_CHECKING:
    from fake_control_plane.client import Client, Org

_PAGE = 10_000


def add(commands: Commands) -> None:
    """Its commands."""
    listing = _parser(commands, "orgs", "all orgs", org=False)
    listing.set_defaults(action=command(_orgs))

    making = _parser(commands, "create-org", "make an empty org and print its key", org=False)
    making.add_argument("--plan", choices=tuple(PLANS), default="free")
    making.add_argument("--cap", type=int, metavar="N", help="a custom cap, in devices; default: the plan's")
    making.set_defaults(action=command(_create_org))

    devices = _parser(commands, "devices", "the devices of an org")
    devices.add_argument("--search", metavar="TEXT", help="only ids with this in them")
    devices.add_argument(
        "--state", metavar="WORD", help="only those that validate says this to: allow, deny, device-revoked, …"
    )
    devices.set_defaults(action=command(_devices))

    for name, help_text in (
        ("register", "register devices"),
        ("revoke", "deny devices until they are restored: all of them or none"),
        ("restore", "lift the revoke of devices"),
        ("remove", "forget devices; their places are free"),
    ):
        acting = _parser(commands, name, help_text)
        acting.add_argument("devices", nargs="+", metavar="DEVICE", help="a device's id")
        acting.set_defaults(action=command(_on_devices))

    for name, help_text in (
        ("disable", "org-wide disable: deny every validate"),
        ("enable", "lift org-wide disable"),
    ):
        switching = _parser(commands, name, help_text)
        switching.set_defaults(action=command(_switch))

    rotating = _parser(commands, "rotate", "give the org a new key and print it; the old one is refused from now on")
    rotating.set_defaults(action=command(_rotate))

    plan = _parser(commands, "plan", "upgrade or downgrade, at once")
    plan.add_argument("plan", choices=tuple(PLANS))
    plan.set_defaults(action=command(_plan))

    state = _parser(commands, "plan-state", "freeze the plan, or make it inactive or active")
    state.add_argument("state", metavar="STATE", help="active, frozen, or another word for a plan that is not active")
    state.set_defaults(action=command(_plan_state))

    cap = _parser(commands, "cap", "set a custom cap, at once")
    cap.add_argument("cap", type=int, metavar="N", help="devices")
    cap.set_defaults(action=command(_cap))

    cancel = _parser(commands, "cancel", "cancel the plan at the end of its cycle")
    cancel.add_argument(
        "--in", dest="days", type=float, default=30.0, metavar="DAYS", help="how far off that is; default: 30"
    )
    cancel.set_defaults(action=command(_cancel))


def _parser(commands: Commands, name: str, help_text: str, *, org: bool = True) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
    add_options(parser, org=org)
    return parser


def _orgs(client: Client, options: argparse.Namespace) -> object:
    orgs = client.orgs()
    rows = [(org.id, org.plan, org.plan_state, f"{org.used}/{org.limit}", org.disabled) for org in orgs]
    table(options, ("ORG", "PLAN", "STATE", "DEVICES", "DISABLED"), rows)
    return orgs


def _create_org(client: Client, options: argparse.Namespace) -> object:
    made = client.create_org(plan=options.plan, cap=options.cap)
    say(options, made.key)
    return made


def _devices(client: Client, options: argparse.Namespace) -> object:
    org = org_of(client, options)
    found = client.devices(org, search=options.search, state=options.state, limit=_PAGE).devices
    while len(found) % _PAGE == 0 and found:
        more = client.devices(org, search=options.search, state=options.state, offset=len(found), limit=_PAGE).devices
        if not more:
            break
        found += more
    table(
        options,
        ("DEVICE", "NOW", "CALLS", "LAST"),
        [(device.id, device.now, device.calls, device.last) for device in found],
    )
    return found


def _on_devices(client: Client, options: argparse.Namespace) -> object:
    org = org_of(client, options)
    if options.command == "register":
        registered = client.register(org, options.devices)
        new = registered.registered
        say(options, f"{org}: {len(new)} new, {len(options.devices) - len(new)} there before; {_used(registered.org)}")
        return registered
    act = {"revoke": client.revoke, "restore": client.restore, "remove": client.remove}[options.command]
    after = act(org, options.devices)
    say(options, f"{org}: {options.command}d {len(options.devices)}; {_used(after)}")
    return after


def _switch(client: Client, options: argparse.Namespace) -> object:
    act = {"disable": client.disable, "enable": client.enable}[options.command]
    return _said(options, act(org_of(client, options)))


def _rotate(client: Client, options: argparse.Namespace) -> object:
    rotated = client.rotate_key(org_of(client, options))
    say(options, rotated.key)
    return rotated


def _plan(client: Client, options: argparse.Namespace) -> object:
    return _said(options, client.set_plan(org_of(client, options), options.plan))


def _plan_state(client: Client, options: argparse.Namespace) -> object:
    return _said(options, client.set_plan_state(org_of(client, options), options.state))


def _cap(client: Client, options: argparse.Namespace) -> object:
    return _said(options, client.set_cap(org_of(client, options), options.cap))


def _cancel(client: Client, options: argparse.Namespace) -> object:
    until = client.clock().now + options.days * 86400
    return _said(options, client.cancel_plan(org_of(client, options), access_until=until))


def _said(options: argparse.Namespace, org: Org) -> Org:
    """Say how the org is now, and give it back."""
    disabled = "; DISABLED: every validate is denied" if org.disabled else ""
    cancelled = "" if org.access_until is None else f"; cancelled, ends at {org.access_until:.0f}"
    say(options, f"{org.id}: plan {org.plan} ({org.plan_state}); {_used(org)}{cancelled}{disabled}")
    return org


def _used(org: Org) -> str:
    return f"{org.used} of {org.limit} devices"
