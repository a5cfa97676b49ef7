"""Commands that act on the whole server: faults, the clock, its state."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from fake_control_plane.cli.connection import Commands, UsageError, add_options, command, say, table

if TYPE_CHECKING:
    from fake_control_plane.client import Client


def add(commands: Commands) -> None:
    """Its commands."""
    faults = commands.add_parser("fault", help="add, list, remove or clear fault rules", allow_abbrev=False)
    verbs = faults.add_subparsers(dest="verb", metavar="VERB", required=True)

    adding = verbs.add_parser("add", help="add a fault rule", allow_abbrev=False)
    adding.add_argument(
        "words",
        nargs="+",
        metavar="WORD=VALUE",
        help="status=503 operation=validate first=2 fails the first two validates; or one JSON object",
    )
    _server(adding, command(_add))

    listing = verbs.add_parser("list", help="the fault rules in force", allow_abbrev=False)
    _server(listing, command(_list))

    kinds = verbs.add_parser("kinds", help="every fault, with its parameters", allow_abbrev=False)
    _server(kinds, command(_kinds))

    removing = verbs.add_parser("remove", help="remove one fault rule", allow_abbrev=False)
    removing.add_argument("rule", metavar="ID", help="its id, such as fault-1")
    _server(removing, command(_remove))

    clearing = verbs.add_parser("clear", help="remove all fault rules", allow_abbrev=False)
    _server(clearing, command(_clear))

    clock = commands.add_parser("clock", help="show the server's clock, or move it", allow_abbrev=False)
    clock.add_argument("--advance", type=float, metavar="SECONDS", help="move it by so much; below 0 back")
    _server(clock, command(_clock))

    status = commands.add_parser("status", help="what the server is, and whether it is well", allow_abbrev=False)
    _server(status, command(_status))


def _server(parser: argparse.ArgumentParser, action: object) -> None:
    add_options(parser, org=False)
    parser.set_defaults(action=action)


def _add(client: Client, options: argparse.Namespace) -> object:
    text = " ".join(options.words)
    if text.lstrip().startswith("{"):
        try:
            added = client.add_fault(json.loads(text))
        except ValueError as error:
            raise UsageError(f"fault add: the JSON object cannot be read: {error}") from error
    else:
        added = client.add_fault(text)
    say(options, added.id)
    return added


def _list(client: Client, options: argparse.Namespace) -> object:
    rules = client.faults()
    table(options, ("RULE", "SEEN", "HITS", "WHAT"), [(rule.id, rule.seen, rule.hits, rule.line) for rule in rules])
    return rules


def _kinds(client: Client, options: argparse.Namespace) -> object:
    kinds = client.fault_kinds()
    table(
        options,
        ("FAULT", "PARAMETERS", "WHAT"),
        [(kind.name, ", ".join(kind.parameters) or None, kind.summary) for kind in kinds],
    )
    return kinds


def _remove(client: Client, options: argparse.Namespace) -> object:
    removed = client.remove_fault(options.rule)
    say(options, f"{removed.id}: removed; it struck {removed.hits} of {removed.seen} calls")
    return removed


def _clear(client: Client, options: argparse.Namespace) -> object:
    removed = client.clear_faults()
    say(options, f"removed {len(removed)}: {', '.join(removed)}" if removed else "there were none")
    return removed


def _clock(client: Client, options: argparse.Namespace) -> object:
    clock = client.clock() if options.advance is None else client.advance_clock(options.advance)
    say(options, f"{clock.now:.3f} seconds since the epoch, {clock.moved:+g} s from the machine's clock")
    return clock


def _status(client: Client, options: argparse.Namespace) -> object:
    status = client.status()
    for name, value in status.items():
        say(options, f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")
    return status
