"""An answer of the control plane, before it is bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Answer:
    """``body`` is the JSON value to send; ``raw`` (bytes that are no JSON, or are broken JSON) goes before it when it is set."""

    status: int = 200
    body: Any = None
    raw: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def payload(self) -> bytes:
        """The body's bytes."""
        return self.raw if self.raw is not None else json.dumps(self.body).encode()

    @property
    def decision(self) -> Literal["allow", "deny", "failure"]:
        """What this answer to a validate says (requirements.md, Words): only a JSON true is a yes, only a JSON false a no."""
        if not 200 <= self.status < 300:
            return "failure"
        try:
            body = json.loads(self.payload())
        except ValueError:
            return "failure"
        allowed = body.get("allowed") if isinstance(body, dict) else None
        return "allow" if allowed is True else "deny" if allowed is False else "failure"
