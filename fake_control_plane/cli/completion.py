"""``fake-control-plane completion SHELL``: a script that completes the commands and options, made from the parser by shtab."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from fake_control_plane.cli.connection import DONE, Commands

SHELLS = ("bash", "zsh", "fish")

_HOW = """put it where the shell looks for it:
  bash: fake-control-plane completion bash > ~/.local/share/bash-completion/completions/fake-control-plane
  zsh:  fake-control-plane completion zsh > "${fpath[1]}/_fake-control-plane"
  fish: fake-control-plane completion fish > ~/.config/fish/completions/fake-control-plane.fish"""


def add(commands: Commands, parser: Callable[[], argparse.ArgumentParser]) -> None:
    """``completion``. ``parser`` makes the whole command line's."""
    completing = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description=_HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    completing.add_argument("shell", choices=SHELLS)
    completing.set_defaults(action=lambda options: _print(options.shell, parser()))


def _print(shell: str, parser: argparse.ArgumentParser) -> int:
    import shtab  # noqa: PLC0415 -- of the extra `serve`

    print(shtab.complete(parser, shell=shell))
    return DONE
