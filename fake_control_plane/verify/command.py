"""``fake-control-plane verify``: the original compared with the fake, on a throwaway device of the user's org.

Exit codes: 0 no difference, 1 differences, 2 not begun or not finished because of what was asked for, 4 the service could not
be reached or is no control plane, 130 interrupted. However it ends, the device is removed if it may have been registered.
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fake_control_plane.api import PREFIX
from fake_control_plane.dialects import CURRENT, LEGACY
from fake_control_plane.verify.comparison import Observed
from fake_control_plane.verify.script import REMOVE, Compared, Play, Refused, Step, Unusable, flags_for

if TYPE_CHECKING:
    import httpx

ORIGINAL = "https://machineid.io"
KEY_VARIABLE = "MACHINEID_ORG_KEY"
TIMEOUT = 10.0
"""Seconds for one call."""

EQUAL, DIFFERENT, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 4, 130


class _UnreachableError(Exception):
    """There was no answer."""


class _Interrupted(Exception):  # noqa: N818 -- the user's decision, no error
    """Ctrl-C or SIGTERM came between two calls."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand; ``arguments.action(arguments)`` gives its exit code."""
    parser = subparsers.add_parser(
        "verify",
        help="compare the real service with the fake, on a throwaway device",
        description="Registers, validates, revokes, restores and removes a throwaway device at the real service, and prints where "
        "its answers differ in shape, status or code from the fake's. Changes nothing else, and removes the device at the end.",
        epilog="Exit codes: 0 no difference, 1 differences, 2 not begun or not finished because of what was asked for, 4 the service "
        "could not be reached or is no control plane, 130 interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--org-key", help=f"the org's key; better in {KEY_VARIABLE}, where no list of processes shows it. Never printed"
    )
    parser.add_argument("--device", required=True, help="an id that is not in use, such as verify:dev:throwaway:01")
    parser.add_argument("--base-url", default=ORIGINAL, help=f"default {ORIGINAL}")
    parser.add_argument(
        "--dialect", choices=("current", "legacy"), default="current", help="which fake to compare with"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before the device is registered")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.set_defaults(action=run)


def run(arguments: argparse.Namespace) -> int:
    """Play the script and report. Returns the exit code."""
    key = (arguments.org_key or os.environ.get(KEY_VARIABLE, "")).strip()
    try:
        base_url = _checked_base_url(arguments.base_url)
        if not key:
            raise Refused(f"there is no org key; expected it in {KEY_VARIABLE}, or as --org-key")
        play = Play(device=arguments.device, dialect=LEGACY if arguments.dialect == "legacy" else CURRENT)
        if not arguments.yes:
            _ask(play.device, base_url)
    except Refused as refused:
        return _say(str(refused), key, USAGE)
    import httpx  # noqa: PLC0415 -- of the extra `serve`: the parser has to work without it

    headers = {"x-org-key": key, "content-type": "application/json"}
    with (
        _interrupts() as interrupted,
        httpx.Client(base_url=base_url, headers=headers, timeout=TIMEOUT, follow_redirects=False) as client,
    ):
        status = _play(play, client, interrupted, key)
    if status in (EQUAL, DIFFERENT):
        text = _as_json(play, base_url) if arguments.json else _as_text(play, base_url)
        sys.stdout.write(_without(text, key) + "\n")
    return status


def _play(play: Play, client: httpx.Client, interrupted: threading.Event, key: str) -> int:
    """Send every step and clean up, whatever happens."""
    try:
        for step in play.steps():
            if interrupted.is_set():
                raise _Interrupted
            play.answered(step, _send(client, step, play.body(step)))
    except Refused as refused:
        status = _say(str(refused), key, USAGE)
    except (Unusable, _UnreachableError) as error:
        status = _say(str(error), key, UNREACHABLE)
    except _Interrupted:
        status = _say("interrupted", key, INTERRUPTED)
    else:
        status = DIFFERENT if any(compared.differences for compared in play.compared) else EQUAL
    finally:
        left = _clean_up(play, client)
    if left is not None:
        return _say(left, key, status if status in (USAGE, UNREACHABLE, INTERRUPTED) else UNREACHABLE)
    return status


def _send(client: httpx.Client, step: Step, body: bytes | None) -> Observed:
    """One call to the original.

    Raises:
        _UnreachableError: there was no answer.
    """
    import httpx  # noqa: PLC0415 -- see run

    try:
        response = client.request(step.method, PREFIX + step.path, content=body)
    except httpx.HTTPError as error:
        raise _UnreachableError(
            f"{step.name}: {client.base_url} did not answer: {type(error).__name__}: {error}. Is --base-url right, and the network up?"
        ) from error
    headers = {name.lower(): value for name, value in response.headers.items()}
    try:
        return Observed(status=response.status_code, headers=headers, body=response.json())
    except ValueError:
        return Observed(status=response.status_code, headers=headers, body=None, is_json=False)


def _clean_up(play: Play, client: httpx.Client) -> str | None:
    """Remove the device if it may be there; what to tell the user if that did not work."""
    if not play.touched:
        return None
    try:
        answer = _send(client, REMOVE, play.body(REMOVE))
    except _UnreachableError as error:
        why = str(error)
    else:
        if 200 <= answer.status < 300 or answer.status == 404:  # 404: the register had not come to pass
            return None
        why = f"remove answered HTTP {answer.status}"
    return f"the device {play.device!r} may still be registered: remove it in the console ({why})"


@contextlib.contextmanager
def _interrupts() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event, so that no call is cut off whose effect would then be unknown."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    before = {number: signal.signal(number, lambda *_: interrupted.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checked_base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Refused(f"--base-url: got {text!r}; expected a URL such as {ORIGINAL}")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise Refused(
            f"--base-url: {text!r} would send the org key in the clear; expected https, or a loopback address"
        )
    return text.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ask(device: str, base_url: str) -> None:
    if not sys.stdin.isatty():
        raise Refused("there is nobody to ask whether the device may be registered; add --yes")
    sys.stderr.write(
        f"At {base_url}, the device {device!r} will be registered, validated, revoked, restored and removed. Go on? [y/N] "
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Refused("not begun; nothing was sent")


def _as_text(play: Play, base_url: str) -> str:
    lines = [f"{base_url} against the fake (dialect {play.dialect.name}), device {play.device}", ""]
    for compared in play.compared:
        lines.append(f"  {compared.step.name:<36} {'different' if compared.differences else 'equal'}")
        lines += [f"      {difference}" for difference in compared.differences]
        if compared.differences and compared.step.assumes is not None:
            lines.append(f"      (assumed by the fake: {compared.step.assumes})")
    different = [compared for compared in play.compared if compared.differences]
    lines += [
        "",
        f"{len(play.compared)} calls: {len(play.compared) - len(different)} equal, {len(different)} different.",
    ]
    if flags := _flags(different):
        lines.append(f"To make the fake say the same codes: fake-control-plane serve {' '.join(flags)}")
    return "\n".join(lines)


def _as_json(play: Play, base_url: str) -> str:
    different = [compared for compared in play.compared if compared.differences]
    steps = [
        {
            "step": compared.step.name,
            "equal": not compared.differences,
            "assumed": compared.step.assumes,
            "differences": [vars(difference) for difference in compared.differences],
        }
        for compared in play.compared
    ]
    value: dict[str, Any] = {
        "original": base_url,
        "dialect": play.dialect.name,
        "device": play.device,
        "equal": not different,
        "steps": steps,
        "flags": _flags(different),
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def _flags(different: list[Compared]) -> list[str]:
    found = (flag for compared in different for flag in flags_for(compared.differences))
    return list(dict.fromkeys(found))


def _say(text: str, key: str, status: int) -> int:
    sys.stderr.write(f"fake-control-plane verify: {_without(text, key)}\n")
    return status


def _without(text: str, key: str) -> str:
    """The text without the key, which a service might repeat in an answer."""
    return text.replace(key, "org_…") if key else text
