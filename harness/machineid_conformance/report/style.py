"""How a report looks on this terminal: colour, symbols, width."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TextIO

Colour = Literal["red", "green", "yellow", "cyan", "bold", "dim"]

CODES: Mapping[Colour, str] = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
SYMBOLS = {"rule": ("─", "-"), "none": ("·", "."), "dot": ("•", "-"), "arrow": ("→", "->"), "dots": ("…", "...")}

NARROWEST, WIDEST = 60, 140
"""Columns: below the first a table breaks, above the second a line of prose is no longer read with ease."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """``colour``: write ANSI codes. ``unicode``: the stream can carry more than ASCII. ``width`` in columns."""

    colour: bool = False
    unicode: bool = True
    width: int = 80

    @classmethod
    def of(cls, stream: TextIO, *, environment: Mapping[str, str] | None = None) -> Style:
        """Colour on a terminal only, and not with NO_COLOR (https://no-color.org) or TERM=dumb."""
        environment = os.environ if environment is None else environment
        terminal = stream.isatty()
        try:
            "".join(pair[0] for pair in SYMBOLS.values()).encode(stream.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            unicode = False
        else:
            unicode = True
        return cls(
            colour=terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb",
            unicode=unicode,
            width=max(NARROWEST, min(WIDEST, shutil.get_terminal_size((100, 24)).columns)),
        )

    def paint(self, text: str, *colours: Colour) -> str:
        """The text in these colours, or as it is."""
        if not self.colour or not colours:
            return text
        return f"\x1b[{';'.join(CODES[colour] for colour in colours)}m{text}\x1b[0m"

    def symbol(self, name: str) -> str:
        """A symbol, in ASCII where the stream can carry no other."""
        return SYMBOLS[name][0 if self.unicode else 1]

    def cut(self, text: str, width: int) -> str:
        """The text, shortened to ``width`` columns."""
        dots = self.symbol("dots")
        return text if len(text) <= width else text[: max(0, width - len(dots))] + dots

    def labelled(self, label: str, text: str, *, indent: int = 2, column: int = 14) -> list[str]:
        """``label`` in a column of its own, and the text wrapped beside it. Line breaks in the text stay."""
        first = f"{' ' * indent}{label:<{column - indent}}"
        rest = " " * column
        lines: list[str] = []
        for paragraph in text.splitlines() or [""]:
            start = rest if lines else first
            # A word is never broken: it may be a command or a path that somebody copies.
            lines += textwrap.wrap(
                paragraph,
                self.width,
                initial_indent=start,
                subsequent_indent=rest,
                break_long_words=False,
                break_on_hyphens=False,
            ) or [start.rstrip()]
        return lines


def printable(text: str) -> str:
    """The text with control characters shown as escapes: what a target wrote must not steer the reader's terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def one_line(parts: Iterable[str | None]) -> str:
    """The parts that there are, in one line."""
    return ", ".join(part for part in parts if part)
