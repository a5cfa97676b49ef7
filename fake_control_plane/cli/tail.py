"""``fake-control-plane tail``: the journal, one line a call or action, as it grows."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from fake_control_plane.cli.connection import (
    DONE,
    PROGRAM,
    REFUSED,
    UNREACHABLE,
    USAGE,
    Commands,
    UsageError,
    add_options,
    connect,
    fail,
    plain,
    reason,
)

if TYPE_CHECKING:
    from fake_control_plane.client import Client, Entry

LAST = 10
"""How many entries are shown before those that are new, as tail does."""


def add(commands: Commands) -> None:
    """``tail``."""
    parser = commands.add_parser("tail", help="show calls and actions as they happen", allow_abbrev=False)
    parser.add_argument(
        "--since", type=int, metavar="N", help=f"begin behind entry N, 0 for all; default: the last {LAST}"
    )
    parser.add_argument("--no-follow", action="store_true", help="end after what there is")
    parser.add_argument("--kind", choices=("call", "action"), help="only these")
    parser.add_argument("--device", metavar="GLOB", help="only those of such devices")
    parser.add_argument("--operation", metavar="WORD", help="only validate, register, …, revoke, set-cap, …")
    parser.add_argument("--decision", choices=("allow", "deny", "failure"), help="only validates that got this")
    parser.add_argument("--rule", metavar="ID", help="only calls that this fault rule acted on")
    add_options(parser, org=False)
    parser.add_argument("--org", metavar="ID", help="only those of this org")
    parser.set_defaults(action=run)


def run(options: argparse.Namespace) -> int:
    """Print entries until the server ends, or the user does."""
    from fake_control_plane.client import ClientError, Unreachable  # noqa: PLC0415 -- of the extra `serve`

    try:
        with connect(options) as client:
            _tail(client, options)
    except KeyboardInterrupt:
        return DONE  # how one ends it
    except Unreachable as error:
        return fail(str(error), UNREACHABLE)
    except ClientError as error:
        return fail(reason(error), REFUSED)
    except UsageError as error:
        return fail(str(error), USAGE)
    return DONE


def _tail(client: Client, options: argparse.Namespace) -> None:
    from fake_control_plane.client import Entry, Missed  # noqa: PLC0415 -- of the extra `serve`

    since = options.since
    if since is None:
        since = max(0, _newest(client) - LAST)
    if options.no_follow:
        _pages(client, options, since)
        return
    with client.follow(
        since=since,
        kind=options.kind,
        org=options.org,
        device=options.device,
        operation=options.operation,
        decision=options.decision,
        rule=options.rule,
    ) as events:
        for event in events:
            if isinstance(event, Entry):
                _show(options, event)
            elif isinstance(event, Missed):
                _missed(event.missed)


def _pages(client: Client, options: argparse.Namespace, since: int) -> None:
    until = _newest(client)  # a busy server would never come to an end
    while since < until:
        page = client.journal(
            since=since,
            kind=options.kind,
            org=options.org,
            device=options.device,
            operation=options.operation,
            decision=options.decision,
            rule=options.rule,
        )
        _missed(page.missed)
        for entry in page.entries:
            if entry.number <= until:
                _show(options, entry)
        since = page.last


def _newest(client: Client) -> int:
    return int(client.status()["journal"]["last"])


def _missed(count: int) -> None:
    """What is no longer there is said where nobody takes it for an entry."""
    if count:
        print(f"{PROGRAM}: {count} entries are no longer in the server's memory", file=sys.stderr, flush=True)


def _show(options: argparse.Namespace, entry: Entry) -> None:
    # Flushed: whoever reads a pipe waits for this line.
    print(json.dumps(plain(entry), ensure_ascii=False) if options.json else line(entry), flush=True)


def line(entry: Entry) -> str:
    """An entry for people: when, who, what, and what came of it."""
    at = datetime.fromtimestamp(entry.time).astimezone().strftime("%H:%M:%S.%f")[:-3]
    result = [str(value) for value in (entry.decision, entry.code, entry.status) if value is not None]
    if entry.kind == "call" and entry.status is None:
        result.append("no answer")
    if entry.ending not in (None, "answered"):
        result.append(str(entry.ending))
    if entry.rule is not None:
        result.append(f"by {entry.rule}")
    if entry.detail is not None:
        result.append(f"({entry.detail})")
    parts = [f"{entry.number:>6}", at, entry.kind, entry.org or "-", entry.operation, entry.device or "-", *result]
    return " ".join(parts)
