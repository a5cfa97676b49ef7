"""The rules in force, and their choice for each call. The package's docstring says how rules go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fake_control_plane.fault_rules.composed import Composed
from fake_control_plane.fault_rules.form import parse
from fake_control_plane.fault_rules.rule import OPERATIONS, FaultRule
from fake_control_plane.faults.api import AnswerFault, ListenerFault
from fake_control_plane.faults.parameters import nearest
from fake_control_plane.faults.stages import StagedFault


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What strikes one call. ``fault`` is to be delivered once; ``rules`` are those that it comes from, in order."""

    fault: AnswerFault
    rules: tuple[FaultRule, ...]

    @property
    def id(self) -> str:
        """The rules' ids: ``fault-1``, or ``fault-1+fault-3``."""
        return "+".join(rule.id for rule in self.rules)


class _Entry:
    """A rule in force with its two counters, and what the choice reads of it."""

    __slots__ = ("device", "fires", "hits", "org", "parts", "rule", "seen")

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.seen = 0
        self.hits = 0
        self.org = rule.match.org
        self.device: Callable[[str], object] | None = rule.match.device_matcher()
        self.fires = rule.trigger.fires
        self.parts = rule.parts

    def means(self, device: str | None, org: str | None) -> bool:
        """Whether it means a call about this device, with a key of this org."""
        if self.org is not None and self.org != org:
            return False
        return self.device is None or (device is not None and bool(self.device(device)))


class FaultRules:
    """Rules in the order in which they were added. One thread."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._by_operation: dict[str, tuple[_Entry, ...]] = {}
        self.in_force: object = self._by_operation
        """Another object after each change of the rules: what was found out about them (``mean``) holds as long as this one is there."""
        self._of_tls: tuple[_Entry, ...] = ()
        self._added = 0
        self.earlier_answers = 0
        """How many earlier answers of each operation and device the rules in force need (``Exchange.earlier``)."""

    # -- which there are -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[FaultRule]:
        return (entry.rule for entry in self._entries.values())

    def __getitem__(self, rule_id: str) -> FaultRule:
        return self._entry(rule_id).rule

    @property
    def last_number(self) -> int:
        """The highest number of a ``fault-N`` that is or was in force here; what ``go_on_behind`` takes after a restart."""
        return self._added

    def go_on_behind(self, number: int) -> None:
        """``next_id`` gives no id up to ``fault-`` and this number: a journal may still name them."""
        self._added = max(self._added, number)

    def next_id(self) -> str:
        """An id that no rule has or had here: ``fault-3``."""
        number = self._added + 1
        while f"fault-{number}" in self._entries:
            number += 1
        return f"fault-{number}"

    def add(self, rule: FaultRule | Mapping[str, Any] | str, *, id: str | None = None) -> FaultRule:  # noqa: A002
        """Put a rule in force, behind the others, and return it. JSON or a line that names no id gets ``id``, or ``next_id``.

        Raises:
            ValueError: it cannot be parsed, or another rule has its id.
        """
        if not isinstance(rule, FaultRule):
            rule = parse(rule, id=id or self.next_id())
        if rule.id in self._entries:
            raise ValueError(f"id: a fault rule {rule.id!r} is in force; remove it first, or leave the id out")
        self._entries[rule.id] = _Entry(rule)
        # next_id is never one that was removed: a journal may still name it.
        head, _, number = rule.id.partition("-")
        self._added = max(self._added, int(number) if head == "fault" and number.isdecimal() else 0)
        self._index()
        return rule

    def restore(self, described: Mapping[str, Any]) -> FaultRule:
        """Put a rule in force as ``describe`` said it; it goes on counting where it was. Raises ValueError."""
        rule = self.add({word: value for word, value in described.items() if word not in ("seen", "hits")})
        entry = self._entries[rule.id]
        entry.seen, entry.hits = described.get("seen", 0), described.get("hits", 0)
        return rule

    def remove(self, rule_id: str) -> FaultRule:
        """End a rule. Raises LookupError if there is none of this id."""
        rule = self._entry(rule_id).rule
        del self._entries[rule_id]
        self._index()
        return rule

    def clear(self) -> tuple[FaultRule, ...]:
        """End all rules; returns them."""
        rules = tuple(self)
        self._entries.clear()
        self._index()
        return rules

    def describe(self, rule_id: str) -> dict[str, Any]:
        """A rule as JSON, and how many calls matched (``seen``) and were struck (``hits``). Raises LookupError.

        ``restore`` reads it back.
        """
        entry = self._entry(rule_id)
        return {**entry.rule.describe(), "seen": entry.seen, "hits": entry.hits}

    def _entry(self, rule_id: str) -> _Entry:
        try:
            return self._entries[rule_id]
        except KeyError:
            near = nearest(rule_id, self._entries)
            known = ", ".join(self._entries) or "there is none"
            raise LookupError(f"no fault rule {rule_id!r} is in force{near}; in force: {known}") from None

    def _index(self) -> None:
        by_operation: dict[str, list[_Entry]] = {}
        for entry in self._entries.values():
            if entry.parts:
                meant = OPERATIONS if entry.rule.match.operation is None else (entry.rule.match.operation,)
                for operation in meant:
                    by_operation.setdefault(operation, []).append(entry)
        self.in_force = self._by_operation = {operation: tuple(entries) for operation, entries in by_operation.items()}
        self._of_tls = tuple(entry for entry in self._entries.values() if _layer(entry.rule) == "tls")
        self.earlier_answers = max((entry.rule.earlier_answers for entry in self._entries.values()), default=0)

    # -- what strikes ----------------------------------------------------------------------------------------------------

    def choose(self, operation: str, device: str | None, org: str | None) -> Chosen | None:
        """What strikes this call, which is counted; None: nothing. ``org`` is an id, None where the key was of no org."""
        entries = self._by_operation.get(operation)
        if entries is None:
            return None
        struck: list[_Entry] | None = None
        for entry in entries:
            if not entry.means(device, org):
                continue
            entry.seen = seen = entry.seen + 1
            if entry.fires(seen):
                if struck is None:
                    struck = [entry]
                else:
                    struck.append(entry)
        return None if struck is None else _compose(struck)

    def mean(self, operation: str, device: str | None, org: str | None) -> bool:
        """Whether ``choose`` would count this call for any rule. It is not counted."""
        return any(entry.means(device, org) for entry in self._by_operation.get(operation, ()))

    def connect(self) -> ListenerFault | None:
        """What the next TLS connection gets, which is counted: a bad certificate, a cut, or None."""
        fault: ListenerFault | None = None
        for entry in self._of_tls:
            entry.seen += 1
            if fault is None and entry.fires(entry.seen):
                entry.hits += 1
                fault = entry.rule.listener
        return fault

    def listener(self, layer: Literal["tcp", "dns", "tls"]) -> FaultRule | None:
        """The rule in force for a layer of the listener, if there is one: ``tcp`` (connects are refused) or ``dns`` last until
        it is removed; of ``tls`` ``connect`` says when.
        """
        return next((rule for rule in self if _layer(rule) == layer), None)


def _layer(rule: FaultRule) -> str | None:
    return None if rule.listener is None else rule.listener.layer


def _compose(struck: list[_Entry]) -> Chosen:
    parts: list[StagedFault] = []
    rules: list[FaultRule] = []
    taken: set[str] = set()
    for entry in struck:
        own = [part for part in entry.parts if part.stage not in taken]
        if own:
            entry.hits += 1
            rules.append(entry.rule)
            parts += [part.at(entry.hits) for part in own]
            taken.update(part.stage for part in own)
    return Chosen(fault=parts[0] if len(parts) == 1 else Composed(parts=tuple(parts)), rules=tuple(rules))
