"""The command line: ``fake-control-plane serve``, and the commands against a running server.

Each file of this folder adds its commands; a command's ``action`` takes the parsed arguments and returns the exit code. Nothing that a
command needs beyond the core install is imported before it runs.

Exit codes: 0 done, 1 the server said no, 2 usage, or it cannot be begun here, 4 no server could be reached.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from fake_control_plane.cli import completion, console, controls, serve, tail
from fake_control_plane.verify import command

DISTRIBUTION = "machineid-conformance"
PROGRAM = "fake-control-plane"

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 4

EXTRA = {"starlette", "uvicorn", "prometheus_client", "httpx", "shtab"}
"""What the extra ``serve`` installs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = parser().parse_args(arguments)
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        return action(options)
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in EXTRA:
            raise
        print(f"{PROGRAM}: this command needs {missing.name}: pip install '{DISTRIBUTION}[serve]'", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing may be flushed to it at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED


def parser() -> argparse.ArgumentParser:
    """The whole command line, for ``main`` and for shell completion."""
    top = argparse.ArgumentParser(
        prog=PROGRAM,
        description="A fake MachineID control plane: serves it, and acts on one that runs.",
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {version(DISTRIBUTION)}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for part in (serve, console, controls, tail):
        part.add(commands)
    command.add_parser(commands)
    completion.add(commands, parser)
    return top
