"""How the commands that need a running server find it, and what they say when it is not there or says no."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fake_control_plane.client import Client, ClientError

PROGRAM = "fake-control-plane"

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 4
"""Exit codes: done; the server said no, and nothing was changed; usage; nobody answers there."""

EXITS = "Exit codes: 0 done, 1 the server refused it, 2 usage, 4 no server there."

ADMIN = "FAKE_CONTROL_PLANE_ADMIN"
TOKEN = "FAKE_CONTROL_PLANE_TOKEN"  # noqa: S105 -- the name of a variable
ORG = "FAKE_CONTROL_PLANE_ORG"

DEFAULT_ADMIN = "http://127.0.0.1:8081"
"""Where ``serve`` puts its admin port unless it is told otherwise."""


class Commands(Protocol):
    """What ``ArgumentParser.add_subparsers`` returns, as far as it is used."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """One more command."""


class UsageError(Exception):
    """The command cannot be carried out as it stands; the message says what to write instead."""


def add_options(parser: argparse.ArgumentParser, *, org: bool) -> None:
    """The options of a command that talks to a server. ``org``: it acts on one org."""
    group = parser.add_argument_group("server")
    group.add_argument("--admin", metavar="URL", help=f"its admin address; default: ${ADMIN}, or {DEFAULT_ADMIN}")
    group.add_argument(
        "--token-file", metavar="FILE", help=f"the file with its token, if it has one; default: the token in ${TOKEN}"
    )
    if org:
        group.add_argument("--org", metavar="ID", help=f"org-1, …; default: ${ORG}, or the only org that there is")
    parser.add_argument("--json", action="store_true", help="print the server's answer as JSON")
    parser.epilog = EXITS


def command(run: Callable[[Client, argparse.Namespace], Any]) -> Callable[[argparse.Namespace], int]:
    """A command line's action from a function that takes a client. What the function returns is printed."""

    def action(options: argparse.Namespace) -> int:
        from fake_control_plane.client import ClientError, Unreachable  # noqa: PLC0415 -- of the extra `serve`

        try:
            with connect(options) as client:
                shown = run(client, options)
        except Unreachable as error:
            return fail(str(error), UNREACHABLE)
        except ClientError as error:
            return fail(reason(error), REFUSED)
        except UsageError as error:
            return fail(str(error), USAGE)
        if options.json:
            print(json.dumps(plain(shown), indent=2, ensure_ascii=False))
        return DONE

    return action


def connect(options: argparse.Namespace) -> Client:
    """A client of the server that the options, or the environment, name.

    Raises:
        UsageError: the token's file cannot be read.
    """
    from fake_control_plane.client import Client  # noqa: PLC0415 -- of the extra `serve`

    url = options.admin or os.environ.get(ADMIN) or DEFAULT_ADMIN
    if "://" not in url:
        url = f"http://{url}"
    token = os.environ.get(TOKEN) or None
    if options.token_file is not None:
        try:
            token = Path(options.token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"--token-file {options.token_file}: cannot be read: {error}; give the file that serve wrote"
            ) from error
    return Client(url, token=token)


def org_of(client: Client, options: argparse.Namespace) -> str:
    """The id of the org that is meant.

    Raises:
        UsageError: none was named, and there is not exactly one.
    """
    named: str | None = options.org or os.environ.get(ORG)
    if named:
        return named
    orgs = client.orgs()
    if len(orgs) == 1:
        return orgs[0].id
    if not orgs:
        raise UsageError("the server has no org yet; make one with fake-control-plane create-org")
    known = ", ".join(org.id for org in orgs[:10])
    raise UsageError(
        f"the server has {len(orgs)} orgs ({known}{', …' if len(orgs) > 10 else ''}); choose one with --org ID"
    )


def say(options: argparse.Namespace, line: str) -> None:
    """Print a line for people, unless JSON was asked for."""
    if not options.json:
        print(line)


def table(options: argparse.Namespace, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows in columns, unless JSON was asked for."""
    texts = [list(heads), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(heads))]
    for row in texts:
        say(options, "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def plain(value: Any) -> Any:
    """A result as JSON: dataclasses become objects."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def fail(message: str, code: int) -> int:
    """Say on standard error why not; returns the exit code."""
    print(f"{PROGRAM}: {message}", file=sys.stderr)
    return code


def reason(error: ClientError) -> str:
    """Why the server said no, and what to do about it on a command line."""
    from fake_control_plane.client import Refused, Unauthorized  # noqa: PLC0415 -- of the extra `serve`

    if isinstance(error, Unauthorized):
        return f"{error.message}; give it with --token-file FILE or in {TOKEN}"
    return error.message if isinstance(error, Refused) else str(error)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
