"""What a ``Service`` shows, returns and raises: values for consoles and ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fake_control_plane.answers import Answer
from fake_control_plane.api import Call
from fake_control_plane.faults.api import AnswerFault
from fake_control_plane.org import Reason


class UnknownOrg(LookupError):  # noqa: N818  (what is so, like the others here)
    """No org has this id."""


class UnknownDevice(LookupError):  # noqa: N818
    """``devices``: those that are not registered in the org. Nothing was changed."""

    def __init__(self, org_id: str, devices: Sequence[str]) -> None:
        self.devices = tuple(devices)
        shown = ", ".join(map(repr, self.devices[:5])) + (", …" if len(self.devices) > 5 else "")
        super().__init__(f"not registered in {org_id}: {shown}; expected registered devices. Nothing was changed")


class UnknownRule(LookupError):  # noqa: N818
    """No fault rule has this id."""


class Conflict(Exception):  # noqa: N818
    """The state does not allow it now (the cap is reached). Nothing was changed."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One call, ruled on. ``answer`` is the truth; ``fault``, if any, is to be delivered instead, and ``rule`` is its rule's id.

    ``allow``: what an allow for this device looks like, and ``earlier``: the truths given to validates of this device before,
    oldest first (both only with a fault: some dangle one, some replay one). ``org`` is None where the key was of no org.
    ``number`` counts the calls from 1. ``began`` on ``time.monotonic``, in seconds.
    """

    number: int
    call: Call
    org: str | None
    answer: Answer
    began: float
    fault: AnswerFault | None = None
    rule: str | None = None
    allow: Answer | None = None
    earlier: Sequence[Answer] = ()


@dataclass(frozen=True, kw_only=True)
class NewOrg:
    """A new org, and its key: shown this once."""

    id: str
    key: str


@dataclass(frozen=True, kw_only=True)
class OrgView:
    """One org as a console shows it. ``limit`` is the cap in force, ``used`` may exceed it. Times in seconds since the epoch."""

    id: str
    plan: str
    plan_state: str
    limit: int
    used: int
    access_until: float | None
    disabled: bool


@dataclass(frozen=True, kw_only=True)
class DeviceView:
    """One device as a console shows it.

    ``now`` is what a validate would decide at this moment. ``calls`` counts its validates since the service began; ``last``
    is the last one's reason, ``last_at`` its time in seconds since the epoch; None before the first.
    """

    id: str
    revoked: bool
    now: Reason
    calls: int
    last: Reason | None
    last_at: float | None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What subscribers are told after each acknowledged change: ``action`` as in the journal, org id, devices."""

    action: str
    org: str | None = None
    devices: tuple[str, ...] = ()
