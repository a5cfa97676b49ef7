"""All that one running fake holds, and how it answers the calls of clients. One thread.

Ports are thin: a data port turns bytes into ``Request`` and calls ``call`` (or ``validate``, the fast path), the admin port turns
REST into the actions of ``Actions``. The order of every change: checked, made, stored (``Store.commit`` has returned), journaled,
acknowledged. What ``call`` changed is stored before it returns.

An org is named by its *id* (``org-1``); its *key* is a secret which only ``add_org`` and ``rotate`` return.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Unpack

from fake_control_plane.answers import Answer
from fake_control_plane.api import PREFIX, Call, Request, handle, handler_of, parse
from fake_control_plane.dialects import error
from fake_control_plane.fault_rules import Chosen
from fake_control_plane.faults.api import Ending, ListenerFault, Receipt
from fake_control_plane.faults.redirect import Redirect, is_followed
from fake_control_plane.org import Reason
from fake_control_plane.serving.actions import Actions
from fake_control_plane.serving.core import Parts
from fake_control_plane.serving.entries import Decided, Round, Verdict
from fake_control_plane.serving.hosted import HostedOrg
from fake_control_plane.serving.standing import Standing
from fake_control_plane.serving.views import (
    Change,
    Conflict,
    DeviceView,
    NewOrg,
    OrgView,
    Served,
    UnknownDevice,
    UnknownOrg,
    UnknownRule,
)

__all__ = [
    "Change",
    "Conflict",
    "DeviceView",
    "NewOrg",
    "OrgView",
    "Served",
    "Service",
    "UnknownDevice",
    "UnknownOrg",
    "UnknownRule",
]

HISTORY = 10_000
"""How many earlier truths are kept, of all devices together, for the faults that give an old one."""

ORGS = 10_000
"""How many orgs clients may make by ``org/create``: a bound for the memory."""

VALIDATE = PREFIX + "devices/validate"

_Asked = tuple[str, str, str]
"""Org id, operation, device."""

_CHANGES_A_DEVICE = frozenset({"register", "revoke", "unrevoke", "remove"})


class Service(Actions):
    """See the module, and ``Core`` for what it is made with."""

    def __init__(self, **parts: Unpack[Parts]) -> None:
        self._number = 0
        self._truths: deque[tuple[_Asked, Answer] | Decided] = deque(maxlen=HISTORY)
        super().__init__(**parts)

    def call(self, request: Request) -> Served:
        """Rule on one complete request. Every ``Served`` is settled once."""
        began = time.monotonic()
        call = parse(request)
        hosted = self._orgs.by_key.get(call.key or "")
        refused = self._guards.refusal(call, new_id=self._new_id) or self._too_many(call)
        if refused is not None:
            self._number += 1
            return Served(
                number=self._number, call=call, org=hosted.id if hosted else None, answer=refused, began=began
            )
        redirecting = self._redirecting() if hosted and is_followed(request.host, request.target) else None
        if hosted is not None and redirecting is not None:
            self._number += 1
            allow = self._control_plane.allow_answer(call.device or "")
            return Served(number=self._number, call=call, org=hosted.id, answer=allow, began=began, rule=redirecting)
        rule = self._rules.choose(call.operation, call.device, hosted.id if hosted else None)
        return self._rule_on(call, hosted, rule, began)

    def begin(self) -> Round:
        """The round in which validates are decided now; a port ends it by ``flush``, before it sends their answers."""
        begun = self._journal.round
        if begun is None:
            begun = self._journal.round = Round(at=self._clock.now(), began=time.monotonic())
        return begun

    def validate(self, standing: Standing) -> tuple[Reason, str] | Served | None:
        """The fast path of a POST validate.

        Reason and request id of a decision, which is settled already; a ``Served`` where a fault is due; None where the call has
        to go the long way (``call``): then nothing was counted yet.
        """
        hosted = standing.hosted
        if hosted is None or hosted.key != standing.key or standing.rules is not self._rules.in_force:
            return self._look_up(standing)
        if self._guards.expires_at is not None and self._guards.expired:
            return None
        return self._decide(hosted, standing.device)

    def _look_up(self, standing: Standing) -> tuple[Reason, str] | Served | None:
        """The same, where keys or rules have changed, or a rule means it."""
        key, device, rules = standing.key, standing.device, self._rules
        standing.hosted = hosted = self._orgs.by_key.get(key)
        if hosted is None or self._guards.forbid(device):
            standing.rules = None
            return None
        standing.rules = None if rules.mean("validate", device, hosted.id) else rules.in_force
        rule = rules.choose("validate", device, hosted.id)
        if rule is None:
            return self._decide(hosted, device)
        call = Call(operation="validate", device=device, key=key, key_in_url=False, method="POST", path=VALIDATE)
        return self._rule_on(call, hosted, rule, self.begin().began)

    def _decide(self, hosted: HostedOrg, device: str) -> tuple[Reason, str]:
        """A validate without a fault: decided, noted, kept as a truth, journaled."""
        begun = self._journal.round or self.begin()
        reason = hosted.org.decide(device)
        request_id = self._new_id()
        self._number += 1
        hosted.note(device, reason, begun.at)
        verdict = hosted.verdicts.get(reason)
        if verdict is None:
            verdict = hosted.verdicts[reason] = Verdict(hosted.id, reason, self.dialect.code(reason))
        decided = (verdict, device, request_id, begun)
        self._truths.append(decided)
        self._journal.decided(decided)
        return reason, request_id

    def settle(self, served: Served, receipt: Receipt | None = None) -> None:
        """Write down what the client really got.

        ``receipt`` is that of the fault, or of a sending that failed; None: the whole answer was handed over.
        """
        got = served.answer if receipt is None else receipt.answer
        delivered = receipt is None or receipt.delivered
        detail = None
        if receipt is not None:
            detail = receipt.evidence if delivered else f"{served.rule or 'answer'}: {receipt.evidence}"
        body = got.body if got is not None and isinstance(got.body, dict) else {}
        code, request_id = body.get("code"), body.get("request_id")
        self._journal.record(
            self._clock.now(),
            "call",
            served.org,
            served.call.operation,
            served.call.device,
            got.status if got is not None else None,
            _decision(served.call, got) if got is not None else None,
            code if isinstance(code, str) else None,
            request_id if isinstance(request_id, str) else None,
            served.rule if delivered else None,
            receipt.ending if receipt is not None else "answered",
            time.monotonic() - served.began if receipt is None else receipt.waited,
            detail,
        )

    @property
    def refusing(self) -> bool:
        """Whether connects are to be refused: a fault rule of the listener says so until it is removed."""
        return self._rules.listener("tcp") is not None

    @property
    def nameless(self) -> bool:
        """Whether its name is not to resolve: asked where the service stands behind a client's own transport."""
        return self._rules.listener("dns") is not None

    @property
    def listener_rules(self) -> tuple[str, ...]:
        """The ids of the rules that act on the listener."""
        return tuple(rule.id for rule in self._rules if rule.listener is not None)

    def connect(self) -> ListenerFault | None:
        """What the next TLS connection gets, which is counted; ``connected`` settles it."""
        return None if self._guards.expired else self._rules.connect()

    def connected(self, fault: ListenerFault, ending: Ending, evidence: str) -> None:
        """Write down how a TLS connection under a fault ended."""
        rule = next((rule.id for rule in self._rules if rule.listener is fault), None)
        now = self._clock.now()
        self._journal.record(now, "call", None, "connect", None, None, None, None, None, rule, ending, None, evidence)
        self._journal.flush()

    def _rule_on(self, call: Call, hosted: HostedOrg | None, rule: Chosen | None, began: float) -> Served:
        """The truth, with what it changed stored, and the fault that is due."""
        org = hosted.id if hosted is not None else None
        reason = None
        if hosted is not None and call.operation == "validate" and call.device is not None:
            reason = hosted.org.decide(call.device)
        earlier = self._earlier(call, org, rule.fault.earlier_answers) if rule is not None else ()
        answer = self._stored(call, hosted)
        if hosted is not None and call.device is not None:
            self._truths.append(((hosted.id, call.operation, call.device), answer))
            if reason is not None:
                hosted.note(call.device, reason, self._clock.now())
        self._number += 1
        if rule is None:
            return Served(number=self._number, call=call, org=org, answer=answer, began=began)
        return Served(
            number=self._number,
            call=call,
            org=org,
            answer=answer,
            began=began,
            fault=rule.fault,
            rule=rule.id,
            allow=self._control_plane.allow_answer(call.device or ""),
            earlier=earlier,
        )

    def _stored(self, call: Call, hosted: HostedOrg | None) -> Answer:
        """The control plane's answer. What it changed is stored, or the answer is an error that says it may be lost."""
        device = call.device
        if call.operation == "org-create":
            answer = handle(self._control_plane, call)
            hosted = self._adopt(answer.body["orgApiKey"])
            change = Change(action="org-create", org=hosted.id)
        elif hosted is None or device is None or call.operation not in _CHANGES_A_DEVICE:
            return handle(self._control_plane, call)
        else:
            before = hosted.org.find(device)
            answer = handle(self._control_plane, call)
            if hosted.org.find(device) == before:
                return answer
            self._save_devices(hosted, [device])
            change = Change(action=call.operation, org=hosted.id, devices=(device,))
        try:
            self._commit()
        except OSError as failed:
            message = f"The change is made, and may be lost when this server ends: {failed}"
            return error(503, "not_stored", message, handler=handler_of(call.path))
        self._tell(change)
        return answer

    def _redirecting(self) -> str | None:
        """The rule that redirects, if one is in force. Where it leads an allow waits, which is no permit: for the keys of this
        service, and while the rule lasts. For anybody else, and at any other time, it would be a back door.
        """
        return next(
            (rule.id for rule in self._rules if any(isinstance(fault, Redirect) for fault in rule.faults)), None
        )

    def _too_many(self, call: Call) -> Answer | None:
        if call.operation != "org-create" or len(self._orgs) < ORGS:
            return None
        message = f"This fake control plane has {ORGS} orgs, which is as many as it makes for clients."
        return error(429, "too_many_orgs", message, handler=handler_of(call.path))

    def _earlier(self, call: Call, org: str | None, count: int) -> Sequence[Answer]:
        """The last truths, at most ``count``, that calls of this operation and device got before; oldest first."""
        found: deque[Answer] = deque(maxlen=count)
        if count and org is not None and call.device is not None:
            wanted = (org, call.operation, call.device)
            for truth in reversed(self._truths):
                if len(truth) == 2:
                    if truth[0] == wanted:
                        found.appendleft(truth[1])
                elif (truth[0].org, "validate", truth[1]) == wanted:
                    found.appendleft(self.dialect.decision(truth[0].reason, request_id=truth[2]))
                if len(found) == count:
                    break
        return tuple(found)

    def _dialect_changed(self) -> None:
        super()._dialect_changed()
        for hosted in self._orgs:
            hosted.verdicts.clear()


def _decision(call: Call, got: Answer) -> str | None:
    """What an answer to a validate says; the legacy GET says it as ``valid``."""
    if call.operation != "validate":
        return None
    if call.method == "GET" and got.status == 200 and isinstance(got.body, dict):
        valid = got.body.get("valid")
        return "allow" if valid is True else "deny" if valid is False else "failure"
    return got.decision
