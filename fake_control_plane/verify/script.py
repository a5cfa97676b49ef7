"""The life of one throwaway device, played to the fake and to the original, call by call.

``Play`` is sans I/O: it says what to send next and judges what came back. Whoever sends it must send ``cleanup`` at the
end, however it ends, once ``touched`` is true.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fake_control_plane.api import PREFIX, Request, handle, parse
from fake_control_plane.dialects import CODES, Dialect
from fake_control_plane.state import ControlPlane
from fake_control_plane.verify.comparison import Difference, Observed, compare


@dataclass(frozen=True, kw_only=True)
class Step:
    """One call. ``path`` below ``/api/v1/``; ``assumes``: what the fake had to assume about its answer, None if nothing."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    assumes: str | None = None


LIST_FIRST = Step(name="list, before anything", method="GET", path="devices/list", assumes="how the list looks")
ASK_FIRST = Step(
    name="validate, not registered", method="POST", path="devices/validate", assumes="the code of an unknown device"
)
REGISTER = Step(name="register", method="POST", path="devices/register")
REMOVE = Step(name="remove", method="POST", path="devices/remove", assumes="the fields of the answer")

STEPS = (
    LIST_FIRST,
    ASK_FIRST,
    REGISTER,
    Step(name="register again", method="POST", path="devices/register"),
    Step(name="validate", method="POST", path="devices/validate"),
    Step(name="list", method="GET", path="devices/list", assumes="how the list looks"),
    Step(name="usage", method="GET", path="usage", assumes="the fields beside plan tier, limit and devicesUsed"),
    Step(name="billing summary", method="GET", path="billing/summary", assumes="everything but the endpoint's name"),
    Step(name="revoke", method="POST", path="devices/revoke", assumes="the fields of the answer"),
    Step(name="validate, revoked", method="POST", path="devices/validate"),
    Step(
        name="register, revoked",
        method="POST",
        path="devices/register",
        assumes="that register lifts no revoke, and answers exists",
    ),
    Step(name="validate, registered while revoked", method="POST", path="devices/validate"),
    Step(name="unrevoke", method="POST", path="devices/unrevoke", assumes="the fields of the answer"),
    Step(name="validate, restored", method="POST", path="devices/validate"),
    REMOVE,
    Step(
        name="validate, removed",
        method="POST",
        path="devices/validate",
        assumes="the code of a device that was removed",
    ),
)


class Refused(Exception):  # noqa: N818 -- the play's own decision, not an error of anybody
    """The play must not begin, or must not go on. The message says why and what to do."""


class Unusable(Exception):  # noqa: N818 -- see Refused
    """The original answers, and not as a control plane does."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One step and how the two answers to it differ."""

    step: Step
    differences: tuple[Difference, ...]


@dataclass(kw_only=True)
class Play:
    """One play. ``touched``: a register was about to be sent, and no remove has been answered since."""

    device: str
    dialect: Dialect
    touched: bool = False
    compared: list[Compared] = field(default_factory=list)

    def __post_init__(self) -> None:
        if ":prod:" in self.device.lower():
            raise Refused(
                f"the device {self.device!r} is of production (':prod:'); expected a throwaway id such as verify:dev:throwaway:01"
            )
        if not self.device.strip():
            raise Refused("the device id is empty; expected a throwaway id such as verify:dev:throwaway:01")
        ids = iter(range(1_000_000))
        self._fake = ControlPlane(
            new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012}", new_key=lambda: "org_fake", dialect=self.dialect
        )
        self._key = self._fake.add_org()

    def steps(self) -> Iterator[Step]:
        """The calls to send, in order. After each, ``answered`` must be called with what the original said."""
        for step in STEPS:
            if step is REGISTER:
                self.touched = True
            yield step

    def answered(self, step: Step, original: Observed) -> Compared:
        """Compare the original's answer with the fake's.

        Raises:
            Refused: the device is there already, is somebody's, or has no place.
            Unusable: this is no answer of a control plane, so that nothing can be told from it.
        """
        if step is LIST_FIRST:
            self._is_not_listed(original)
        elif step is ASK_FIRST:
            self._is_not_allowed(original)
        elif step is REGISTER:
            self._is_new(original)
        elif step is REMOVE and 200 <= original.status < 300:
            self.touched = False
        compared = Compared(step=step, differences=compare(self._of_the_fake(step), original))
        self.compared.append(compared)
        return compared

    def body(self, step: Step) -> bytes | None:
        """What to send with a step."""
        return json.dumps({"deviceId": self.device}).encode() if step.method == "POST" else None

    def _of_the_fake(self, step: Step) -> Observed:
        headers = (("x-org-key", self._key),)
        request = Request(method=step.method, target=PREFIX + step.path, headers=headers, body=self.body(step) or b"")
        answer = handle(self._fake, parse(request))
        names = {name.lower(): value for name, value in answer.headers.items()}
        return Observed(status=answer.status, headers={"content-type": answer.content_type, **names}, body=answer.body)

    # -- what must be so before anything is touched --------------------------------------------------------------------

    def _is_not_listed(self, original: Observed) -> None:
        if original.status in (401, 403):
            raise Refused(
                f"the service refuses the org key (HTTP {original.status}); expected the key of an org of yours"
            )
        if not original.is_json or original.status != 200:
            raise Unusable(
                f"devices/list answered HTTP {original.status} ({original.media_type}), so it cannot be known whether the "
                "device exists; expected 200 and JSON. Is --base-url a control plane?"
            )
        if self.device in _strings(original.body):
            raise self._exists("is in the org's list")

    def _is_not_allowed(self, original: Observed) -> None:
        body = original.body if original.is_json and isinstance(original.body, dict) else {}
        if body.get("allowed") is True:
            raise self._exists("is allowed already")

    def _is_new(self, original: Observed) -> None:
        body = original.body if original.is_json and isinstance(original.body, dict) else {}
        if body.get("status") in ("exists", "restored"):
            self.touched = False  # it is not ours to remove
            raise self._exists(f"was registered before: register answered {body['status']!r}")
        if original.status >= 400 or body.get("status") in ("blocked", "limit_reached"):
            raise Refused(
                f"the device could not be registered (HTTP {original.status}, {body.get('error') or body.get('status')!r}): "
                "is the plan's limit reached? Remove a device, or use the key of an org with a free place"
            )

    def _exists(self, how: str) -> Refused:
        return Refused(
            f"the device {self.device!r} {how}; nothing of yours is touched: choose an id that is not in use"
        )


def flags_for(differences: Sequence[Difference]) -> Iterator[str]:
    """The options of ``serve`` that make the fake say the original's code, where the two decided alike."""
    if any(difference.where in ("status", "body.allowed") for difference in differences):
        return
    reasons = {json.dumps(code): reason for reason, code in CODES.items()}
    for difference in differences:
        if difference.where == "body.code" and difference.fake in reasons:
            yield f"--code {reasons[difference.fake]}={json.loads(difference.original)}"


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
