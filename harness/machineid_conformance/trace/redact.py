"""Secrets never reach a disk: they are replaced by a mark that says what stood there.

A checker that looks for a leaked key looks for the mark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

ORG_KEY_MARK = "[redacted: org key]"
OLD_KEY_MARK = "[redacted: old org key]"
SECRET_MARK = "[redacted: secret]"  # noqa: S105  (the mark that stands for one)
MARKS = (ORG_KEY_MARK, OLD_KEY_MARK, SECRET_MARK)

LOOKS_SECRET = re.compile(
    r"""(?-i:\borg_)(?=[a-z_\-]*[0-9])[a-z0-9_\-]{8,}          # an org key, of this run or not; no word like org_disabled
      | (?P<head>\b(?:authorization|proxy-authorization|cookie|set-cookie|x-[a-z0-9\-]*-key)\b["']?\s*[:=]\s*["']?)
        (?P<value>[^"'\r\n]+)
    """,
    re.IGNORECASE | re.VERBOSE,
)

SHORT, MANY = 200, 4096
"""Texts up to this length are remembered, so many of them: field names and chatter come again and again."""

_ESCAPE = re.compile(r"%[0-9A-F]{2}")


def spellings(secret: str) -> set[str]:
    """A secret as it stands in plain text, in a URL (RFC 3986, and a form's), in a JSON string, and in Python's ``repr``."""
    urls = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    strings = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    # A URL's escapes are written in lower case as well (RFC 3986, 2.1).
    return {secret} | strings | urls | {_ESCAPE.sub(lambda found: found[0].lower(), url) for url in urls}


class Redactor:
    """Replaces known secrets, each by its mark, and then whatever looks like one."""

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._secrets = dict(secrets or {})
        self._known: dict[str, str] = {}

    def learn(self, secret: str, mark: str = SECRET_MARK) -> None:
        """Know one more secret, as it is and as URLs, JSON and Python spell it; values shorter than four characters are none."""
        if len(secret) >= 4:
            self._secrets |= dict.fromkeys(spellings(secret), mark)
            self._known.clear()

    def text(self, text: str) -> str:
        """The text with every secret replaced, the longest first."""
        found = self._known.get(text)
        if found is None:
            found = self._replaced(text)
            if len(text) <= SHORT:
                if len(self._known) >= MANY:
                    self._known.clear()
                self._known[text] = found
        return found

    def _replaced(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, self._secrets[secret])
        return LOOKS_SECRET.sub(lambda found: (found["head"] + SECRET_MARK) if found["head"] else SECRET_MARK, text)

    def values(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """The same mapping with all its values redacted; its own keys are this package's words, such as an event's fields."""
        return {name: self.redact(value) for name, value in line.items()}

    def redact(self, value: Any) -> Any:
        """A JSON value with every string in it redacted, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value  # most fields; an abstract class takes long to say what it is not
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.redact(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact(item) for item in value]
        return value
