"""How the control plane says what it decided: the sources disagree, and each of their ways is a dialect.

What every dialect shares: a denied validate is HTTP 200 (assumed), its body has ``allowed``, ``code`` and
``request_id``, and an error's body has ``status``, ``error`` (a stable word), ``message`` (for people) and
``handler``, and never ``allowed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from fake_control_plane.answers import Answer
from fake_control_plane.org import Org, Reason, Registration

CODES: Mapping[Reason, str] = MappingProxyType(
    {
        "allow": "ALLOW",
        "org-disabled": "ORG_DISABLED",
        "plan-frozen": "PLAN_FROZEN",
        "plan-not-active": "PLAN_NOT_ACTIVE",
        "device-not-registered": "DEVICE_NOT_REGISTERED",
        "device-revoked": "DEVICE_REVOKED",
        "device-limit-exceeded": "DEVICE_LIMIT_EXCEEDED",
    }
)
"""The code of each reason. A conforming client acts on ``allowed``, never on a particular code."""

ASSUMED: frozenset[Reason] = frozenset({"org-disabled", "device-not-registered", "device-limit-exceeded"})
"""The reasons whose code no public source names."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """One way to answer.

    ``at_cap``: what a register refused at the cap gets: ``blocked`` is HTTP 403 with ``{"status": "blocked", "error":
    "device_limit_reached"}`` (current docs), ``limit_reached`` is HTTP 200 with ``{"status": "limit_reached",
    "overLimit": true}`` (pricing and API pages). ``register_restores``: a revoked device that registers is restored
    (older docs). ``codes`` overrides any of ``CODES``.

    Raises:
        ValueError: ``codes`` names a reason that does not exist, or gives one a code that is no word.
    """

    name: str
    at_cap: Literal["blocked", "limit_reached"] = "blocked"
    register_restores: bool = False
    codes: Mapping[Reason, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.codes) - set(CODES))
        if unknown:
            raise ValueError(f"codes: got the reason {unknown[0]!r}; expected one of {', '.join(CODES)}")
        for reason, code in self.codes.items():
            if not isinstance(code, str) or not code.strip():
                raise ValueError(
                    f"codes: got {code!r} for the reason {reason!r}; expected a word such as {CODES[reason]}"
                )

    def code(self, reason: Reason) -> str:
        """The code that this dialect gives a reason."""
        return self.codes.get(reason, CODES[reason])

    def decision(self, reason: Reason, *, request_id: str) -> Answer:
        """The answer to a validate. ``allowed`` comes first: what is cut off after it is still cut off an allow."""
        return Answer(body={"allowed": reason == "allow", "code": self.code(reason), "request_id": request_id})

    def registered(self, org: Org, device: str, registration: Registration) -> Answer:
        """The answer to a register."""
        about = {"handler": "devices/register", "deviceId": device, **plan_fields(org)}
        if registration != "blocked":
            return Answer(body={"status": registration, **about})
        if self.at_cap == "limit_reached":
            return Answer(body={"status": "limit_reached", **about, "overLimit": True})
        message = f"The plan's limit of {org.limit} devices is reached; the device was not registered."
        blocked = {"status": "blocked", "error": "device_limit_reached", "message": message}
        return Answer(status=403, body={**blocked, **about, "overLimit": True})


CURRENT = Dialect(name="current")
LEGACY = Dialect(name="legacy", at_cap="limit_reached", register_restores=True)


def legacy_decision(reason: Reason) -> Answer:
    """The answer to a validate by GET (legacy docs): no ``allowed``, no code, no request id."""
    if reason == "allow":
        return Answer(body={"valid": True})
    return Answer(body={"valid": False, "revoked": reason == "device-revoked"})


def plan_fields(org: Org) -> dict[str, Any]:
    """The plan, its cap and how much of it is used, as register and usage show them."""
    return {
        "planTier": org.plan,
        "planState": org.plan_state,
        "accessUntil": None if org.access_until is None else _timestamp(org.access_until),
        "limit": org.limit,
        "devicesUsed": org.used,
        "remaining": max(0, org.limit - org.used),
        "overLimit": org.used > org.limit,
        "softGraceWindow": None,
    }


def error(status: int, word: str, message: str, *, handler: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error: one shape for all of them."""
    body = {"status": "error", "error": word, "message": message, "handler": handler}
    return Answer(status=status, body=body, headers=dict(headers or {}))


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
