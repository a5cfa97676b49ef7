"""The words in braces: ``{org_key}``, ``{device}``, ``{port}``, ``{n}`` and ``{n:02}``.

Only these are replaced. Every other brace stays as it is, so that JSON and shell snippets in a command need no
escaping.
"""

from __future__ import annotations

import re

WORDS = ("org_key", "device", "port", "n")

_PATTERN = re.compile(r"\{(?P<word>org_key|device|port|n)(?::0?(?P<width>[1-9][0-9]?))?\}")


def words(template: str) -> frozenset[str]:
    """The words that a template uses."""
    return frozenset(match["word"] for match in _PATTERN.finditer(template))


def fill(
    template: str,
    *,
    n: int | None = None,
    device: str | None = None,
    port: int | None = None,
    org_key: str | None = None,
) -> str:
    """The template with each word replaced; ``n`` is the instance, counted from 1, and ``{n:02}`` is padded with zeros.

    A word whose value is None stays as it is.
    """
    values = {"n": n, "device": device, "port": port, "org_key": org_key}

    def replace(match: re.Match[str]) -> str:
        value = values[match["word"]]
        if value is None:
            return match[0]
        return str(value).zfill(int(match["width"] or 0))

    return _PATTERN.sub(replace, template)


def left_over(template: str) -> str | None:
    """The first brace of a device id that is not ``{n}``: a typing error there, never a part of an id."""
    match = re.search(r"\{[^}]*\}?|\}", _PATTERN.sub(lambda found: "" if found["word"] == "n" else found[0], template))
    return match[0] if match else None
