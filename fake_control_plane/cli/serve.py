"""``serve``: a fake control plane on two ports, until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fake_control_plane.cli.connection import TOKEN, Commands
from fake_control_plane.dialects import CODES

if TYPE_CHECKING:
    from fake_control_plane.serving.server import Opened, Server, Settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add(commands: Commands) -> None:
    """``serve``."""
    parser = commands.add_parser(
        "serve",
        help="start a fake control plane",
        description="Starts a fake control plane and prints where it listens and the first org's key. Ctrl-C or SIGTERM ends it.",
        epilog="Exit codes: 0 ended by a signal, 2 usage, or it cannot listen, or a file cannot be used.",
        allow_abbrev=False,
    )
    where = parser.add_argument_group("where it listens")
    where.add_argument("--host", default="127.0.0.1", help="of the API (default %(default)s); see --expires")
    where.add_argument("--port", type=_port, default=8080, help="of the API (default %(default)s; 0: a free one)")
    where.add_argument("--admin-host", default="127.0.0.1", metavar="HOST", help="of the admin API and the dashboard")
    where.add_argument(
        "--admin-port", type=_port, default=8081, metavar="PORT", help="(default %(default)s; 0: a free one)"
    )
    where.add_argument(
        "--admin-token-file",
        type=Path,
        metavar="FILE",
        help=f"make a token that the admin port asks for, and write it there; beyond loopback it needs one, from here or {TOKEN}",
    )
    where.add_argument("--tls", action="store_true", help="speak TLS, with a certificate for the control plane's names")
    where.add_argument(
        "--tls-dir", type=Path, metavar="DIR", help="write its authority there as ca.pem (implies --tls)"
    )
    where.add_argument(
        "--tls-name",
        action="append",
        default=[],
        metavar="NAME",
        help="one more name or address for it; may be repeated",
    )
    what = parser.add_argument_group("what it is")
    what.add_argument("--plan", default="free", choices=("free", "pro", "scale", "max"), help="of the first org")
    what.add_argument("--cap", type=_whole, metavar="N", help="a custom device limit of the first org")
    what.add_argument("--dialect", choices=("current", "legacy"), help="how it answers (default current)")
    what.add_argument(
        "--code",
        action="append",
        default=[],
        type=_code,
        metavar="REASON=CODE",
        help=f"override a code; may be repeated. Reasons: {', '.join(CODES)}",
    )
    what.add_argument("--seed", type=_whole, metavar="N", help="repeatable keys and request ids: no secrets any more")
    kept = parser.add_argument_group("what it keeps")
    kept.add_argument("--state", type=Path, metavar="FILE", help="keep the state there (SQLite) over restarts")
    kept.add_argument("--journal", type=Path, metavar="FILE", help="append every call and action there (JSON Lines)")
    guards = parser.add_argument_group("what keeps it from being a back door")
    guards.add_argument(
        "--expires",
        type=duration,
        metavar="TIME",
        help="deny everything after it: 30m, 2h, 1d (default: never on loopback, 2h beyond it)",
    )
    guards.add_argument("--allow-prod", action="store_true", help="serve devices with :prod: in their id too")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print where it listens as one line of JSON")
    output.add_argument(
        "--ready-fd", type=_whole, metavar="FD", help="write that line to this descriptor, and close it"
    )
    parser.set_defaults(action=run)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    # What needs the extra is imported here: the parser has to work without it.
    from fake_control_plane.serving.addresses import AddressError  # noqa: PLC0415
    from fake_control_plane.serving.admin.access import AccessError, new_token  # noqa: PLC0415
    from fake_control_plane.serving.server import Server  # noqa: PLC0415
    from fake_control_plane.serving.store import StateFileError  # noqa: PLC0415

    try:
        token = new_token(options.admin_token_file) if options.admin_token_file else os.environ.get(TOKEN) or None
        settings = _settings(options, token)
        _runner()(_serve(Server(settings), options))
    except (AddressError, AccessError, StateFileError, ValueError, OSError) as error:
        print(f"fake-control-plane serve: {error}", file=sys.stderr)
        return 2
    return 0


async def _serve(server: Server, options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    opened = await server.open()
    gc.freeze()  # what is here stays: no collection needs to look at it again, which takes 30 ms
    gc.set_threshold(
        700, 10, 30
    )  # a full one takes a third of a second with 10,000 TLS connections: more seldom than by default
    try:
        if server.data_port.narrow is not None:
            print(f"fake-control-plane serve: {server.data_port.narrow}", file=sys.stderr, flush=True)
        _announce(opened, server.settings, options)
        if opened.expires is not None:
            loop.call_later(opened.expires, _say_expired)
        await ended.wait()
    finally:
        await server.close()


def _announce(opened: Opened, settings: Settings, options: argparse.Namespace) -> None:
    line = json.dumps(
        {
            "base_url": opened.base_url,
            "admin_url": opened.admin_url,
            "org": opened.org,
            "org_key": opened.key,
            "expires_in": opened.expires,
            "ca": None if opened.ca is None else str(opened.ca),
        }
    )
    if options.json:
        print(line, flush=True)
    else:
        print("\n".join(_words(opened, settings)), flush=True)
    if options.ready_fd is not None:
        with os.fdopen(options.ready_fd, "w", encoding="utf-8") as ready:
            ready.write(line + "\n")


def _words(opened: Opened, settings: Settings) -> list[str]:
    lines = [
        f"A fake MachineID control plane listens at {opened.base_url}",
        f"Admin API and dashboard: {opened.admin_url}",
        "",
        f"export MACHINEID_BASE_URL={opened.base_url}",
        f"export MACHINEID_ORG_KEY={opened.key}",
    ]
    if opened.ca is not None:
        lines += [f"export REQUESTS_CA_BUNDLE={opened.ca} SSL_CERT_FILE={opened.ca} NODE_EXTRA_CA_CERTS={opened.ca}"]
    elif settings.tls:
        lines += ["", "Its authority is known to nobody: write it with --tls-dir, and let clients trust that file"]
    if opened.expires is not None:
        lines += ["", f"In {opened.expires:g} seconds it expires: then it denies everything"]
    return [*lines, "", "Ctrl-C ends it"]


def _say_expired() -> None:
    print("fake-control-plane serve: expired; every validate is denied from now on", file=sys.stderr, flush=True)


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    """uvloop's, where it is installed: three times as fast."""
    try:
        import uvloop  # noqa: PLC0415
    except ModuleNotFoundError:
        return asyncio.run
    return uvloop.run


def _settings(options: argparse.Namespace, token: str | None) -> Settings:
    from fake_control_plane.serving.server import Settings  # noqa: PLC0415

    return Settings(
        host=options.host,
        port=options.port,
        admin_host=options.admin_host,
        admin_port=options.admin_port,
        plan=options.plan,
        cap=options.cap,
        dialect=options.dialect,
        codes=dict(options.code),
        tls=options.tls or options.tls_dir is not None,
        tls_names=tuple(options.tls_name),
        tls_folder=options.tls_dir,
        state=options.state,
        journal=options.journal,
        expires=options.expires,
        allow_prod=options.allow_prod,
        seed=options.seed,
        token=token,
    )


def duration(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h``, ``1d``."""
    match = re.fullmatch(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>[smhd])", text)
    if match is None or float(match["number"]) <= 0:
        raise argparse.ArgumentTypeError(f"expected a time above 0 such as 90s, 30m, 2h or 1d, got {text!r}")
    return float(match["number"]) * _UNITS[match["unit"]]


def _code(text: str) -> tuple[str, str]:
    reason, separator, code = text.partition("=")
    if not separator or not code or reason not in CODES:
        raise argparse.ArgumentTypeError(f"expected REASON=CODE with one of {', '.join(CODES)}, got {text!r}")
    return reason, code


def _port(text: str) -> int:
    number = _whole(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return number


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return int(text)
