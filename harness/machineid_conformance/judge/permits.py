"""How permission is counted: one walk over a trace, one ``Charge`` an effect.

requirements.md, *How permission is counted*, is the law; this is its reading:

- An allow is one permit of its device from the position of its last byte. Permits and unanswered validates of a device
  together never exceed N: when a further validate arrives, the oldest permit lapses.
- ``high``: each side effect, tool call and LLM call spends a permit; with N = 1 the start of a unit lapses what is
  unspent. ``medium``: each tool call spends one, and the first spending effect of a unit, which then covers the unit.
  ``low``: none. A handoff spends one at every profile. Reads and dequeues never spend.
- A refusal voids permits and covered units. With N > 1 up to N - 1 effects that were permitted before it may still
  arrive.
- A restart is a new process: what its instance was allowed before is gone, and so is what it was refused.

Where N > 1 leaves open which unit an effect belongs to, the reading that accuses nobody is taken: an effect may
belong to any of the last N units, and while there were as many allows as units each unit may have had its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from machineid_conformance.config.model import Profile
from machineid_conformance.judge.view import Effect, Process, Register, RunView, StimulusView, Validate

Violation = Literal["no-allow-yet", "after-refusal", "unanswered", "no-permit"]


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What one effect cost, and what was wrong with it.

    ``unit`` counts from 1 over the units of its instance, 0 before the first. ``first``: it is the first spending
    effect of its unit for its device. ``allow`` is the position of the allow that covered it; ``refusal`` that of the
    refusal in force. ``unit_allow`` is the newest allow of its device since the last spending effect of another unit
    (``placement/task`` at ``high``). ``pending``: a validate of its device was unanswered. ``exposure``: it arrived
    after a refusal, permitted before it (N > 1).
    """

    effect: Effect
    device: str
    unit: int
    first: bool = False
    spends: bool = False
    allow: int | None = None
    refusal: int | None = None
    unit_allow: int | None = None
    pending: bool = False
    exposure: bool = False
    violation: Violation | None = None


def charge(view: RunView, *, devices: Sequence[str], profile: Profile, concurrency: int) -> tuple[Charge, ...]:
    """One charge for each effect of ``view.effects``, in the same order.

    ``devices`` are the declared ones; empty: the first one that the target names counts as declared. Effects that are
    no work are charged with nothing, but for a ``release`` after a refusal beyond the units in flight: that is work.
    """
    return _Walk(view, devices=tuple(devices), profile=profile, concurrency=concurrency).charges()


def device_of(view: RunView, devices: Sequence[str], *, instance: int, start: int, named: str | None) -> str | None:
    """The declared device that ``named`` stands for in one start of an instance.

    That is itself, unless this start never names a declared device: then whatever it names stands for its own
    declared one, so that a made-up id is the finding of ``identity/declared-device`` alone. None stays None: every
    device of the instance.
    """
    if named is None:
        return None
    return _Names(view, tuple(devices)).resolve(instance, start, named)


class _Names:
    """Which declared device a name stands for."""

    def __init__(self, view: RunView, devices: tuple[str, ...]) -> None:
        asked: tuple[Register | Validate, ...] = (*view.registers, *view.validates)
        calls = [call for call in asked if call.device]
        first = min(calls, key=lambda call: call.asked, default=None)
        self._declared = devices or ((first.device,) if first is not None and first.device else ())
        named: dict[tuple[int, int], set[str]] = {}
        for call in calls:
            named.setdefault((call.instance, call.start), set()).add(call.device or "")
        known = set(self._declared) | {process.device for process in view.processes if process.device}
        self._strays = {key for key, names in named.items() if not names & known}
        self._own = {(process.instance, process.start): process.device for process in view.processes}

    def own(self, instance: int, start: int) -> str:
        """The declared device of one start of an instance; "" when nothing is known of it."""
        return self._own.get((instance, start)) or (self._declared[0] if self._declared else "")

    def resolve(self, instance: int, start: int, named: str) -> str:
        """``named``, or the declared device that it stands for."""
        return self.own(instance, start) if not named or (instance, start) in self._strays else named


@dataclass(kw_only=True)
class _Permit:
    allow: int
    instance: int
    stale: bool = False  # work has used it already (``low`` spends none, but a handoff wants a fresh one)


@dataclass(kw_only=True)
class _Unit:
    number: int
    covered: dict[str, int] = field(default_factory=dict)  # device -> position of the allow that covers it
    late: dict[str, int] = field(default_factory=dict)  # … as it was before the last refusal (N > 1)
    begun: set[str] = field(default_factory=set)  # devices that had a spending effect in it


@dataclass(kw_only=True)
class _Device:
    permits: list[_Permit] = field(default_factory=list)
    pending: set[int] = field(default_factory=set)  # positions of unanswered validates
    askers: set[int] = field(default_factory=set)  # instances that validate it
    allows: int = 0
    last_allow: int | None = None
    last_refusal: int | None = None
    late: list[_Permit] = field(default_factory=list)
    late_left: int = 0
    # By instance, for units are counted there: replicas that share an id are the finding of identity/per-replica alone.
    last_spent: dict[int, tuple[int, int]] = field(
        default_factory=dict
    )  # position and unit of its last spending effect
    unit_floor: dict[int, int] = field(default_factory=dict)  # position of the last spending effect of another unit


Moment = Effect | Validate | Process | StimulusView


class _Walk:
    def __init__(self, view: RunView, *, devices: tuple[str, ...], profile: Profile, concurrency: int) -> None:
        self._view = view
        self._profile = profile
        self._n = max(1, concurrency)
        self._names = _Names(view, devices)
        self._devices: dict[str, _Device] = {}
        self._open: dict[int, deque[_Unit]] = {}
        self._begun: dict[int, int] = {}  # units begun, by instance
        self._cut: dict[int, int] = {}  # instance -> its last refusal without a device
        self._released: dict[str, int] = {}
        for call in view.validates:
            if call.device is not None:
                self._device(self._names.resolve(call.instance, call.start, call.device)).askers.add(call.instance)

    def charges(self) -> tuple[Charge, ...]:
        charged: list[Charge] = []
        for position, what, thing in sorted(self._moments(), key=lambda moment: moment[:2]):
            match thing:
                case Process():
                    self._restart(thing.instance)
                case StimulusView():
                    self._unit_begins(thing.instance)
                case Validate():
                    self._asked(thing) if what == "asked" else self._decided(thing, position)
                case Effect():
                    if what == "began":
                        charged.append(self._charge(thing))
                    else:
                        self._unit_begins(thing.instance)
        return tuple(charged)

    def _moments(self) -> list[tuple[int, str, Moment]]:
        moments: list[tuple[int, str, Moment]] = []
        moments += [(process.spawned, "restart", process) for process in self._view.processes if process.start > 1]
        moments += [(stimulus.sent, "stimulus", stimulus) for stimulus in self._view.stimuli]
        for call in self._view.validates:
            if call.call is not None:
                moments.append((call.asked, "asked", call))
            if call.ended is not None:
                moments.append((call.ended, "decided", call))
        for effect in self._view.effects:
            moments.append((effect.began, "began", effect))
            if effect.role == "task-source" and effect.holds_unit and effect.ended is not None:
                moments.append((effect.ended, "holds", effect))
        return moments

    def _device(self, name: str) -> _Device:
        return self._devices.setdefault(name, _Device())

    def _units(self, instance: int) -> deque[_Unit]:
        if instance not in self._open:
            self._open[instance] = deque([_Unit(number=0)], maxlen=self._n)
        return self._open[instance]

    # -- what changes permission --------------------------------------------------------------------------------------

    def _restart(self, instance: int) -> None:
        self._open.pop(instance, None)
        self._begun.pop(instance, None)
        self._cut.pop(instance, None)
        self._released.clear()
        for name, device in tuple(self._devices.items()):
            if device.askers <= {instance}:
                self._devices[name] = _Device(askers=device.askers)
            else:
                device.permits = [permit for permit in device.permits if permit.instance != instance]

    def _unit_begins(self, instance: int) -> None:
        self._begun[instance] = self._begun.get(instance, 0) + 1
        self._units(instance).append(_Unit(number=self._begun[instance]))
        if self._profile == "high" and self._n == 1:
            for device in self._devices.values():
                device.permits = [permit for permit in device.permits if permit.instance != instance]

    def _asked(self, call: Validate) -> None:
        device = self._device(self._names.resolve(call.instance, call.start, call.device or ""))
        device.askers.add(call.instance)
        device.pending.add(call.asked)
        self._lapse(device)

    def _lapse(self, device: _Device) -> None:
        room = self._n * max(1, len(device.askers)) - len(device.pending)
        if len(device.permits) > max(0, room):
            device.permits = device.permits[len(device.permits) - max(0, room) :]

    def _decided(self, call: Validate, position: int) -> None:
        if call.device is None:
            self._refused_without_device(call.instance, position)
            return
        device = self._device(self._names.resolve(call.instance, call.start, call.device))
        device.pending.discard(call.asked)
        if call.outcome == "allow":
            device.allows += 1
            device.last_allow = position
            device.permits.append(_Permit(allow=position, instance=call.instance))
            self._lapse(device)
        else:
            self._void(device, self._names.resolve(call.instance, call.start, call.device), None)
            device.last_refusal = position

    def _refused_without_device(self, instance: int, position: int) -> None:
        for name, device in self._devices.items():
            self._void(device, name, instance)
        self._cut[instance] = position

    def _void(self, device: _Device, name: str, instance: int | None) -> None:
        """Take permits of a device back: those of one instance, or all. Called before the refusal is noted."""
        voided = [permit for permit in device.permits if instance is None or permit.instance == instance]
        device.permits = [permit for permit in device.permits if permit not in voided]
        if self._n > 1:
            if self._refusal(device, instance) is None and device.last_allow is not None:
                device.late_left = self._n - 1
            device.late = (device.late + voided)[-(self._n - 1) :]
        for owner, units in self._open.items():
            if instance is not None and owner != instance:
                continue
            for unit in units:
                allow = unit.covered.pop(name, None)
                if allow is not None and self._n > 1:
                    unit.late[name] = allow

    def _refusal(self, device: _Device, instance: int | None) -> int | None:
        """The refusal in force for a device and an instance, or None: there was none, or an allow came after it."""
        cut = self._cut.get(instance, 0) if instance is not None else 0
        last = max(device.last_refusal or 0, cut)
        return last if last > (device.last_allow or 0) else None

    # -- what needs permission ----------------------------------------------------------------------------------------

    def _charge(self, effect: Effect) -> Charge:
        name = self._names.resolve(effect.instance, effect.start, effect.device) if effect.device else ""
        name = name or self._names.own(effect.instance, effect.start)
        device = self._device(name)
        refusal = self._refusal(device, effect.instance)
        unit = self._units(effect.instance)[-1].number
        base = Charge(effect=effect, device=name, unit=unit, pending=bool(device.pending), refusal=refusal)
        if effect.role == "release":
            return self._release(base, name, refused=refusal is not None)
        if not effect.is_work:
            return base
        if refusal is not None:
            return self._late(base, device, name)
        if device.last_allow is None:
            return replace(base, violation="no-allow-yet")
        if not effect.may_spend:
            return replace(base, allow=device.last_allow)
        return self._spend(base, device, name)

    def _release(self, base: Charge, name: str, *, refused: bool) -> Charge:
        """A unit in flight may be given back once after a refusal; further releases are work."""
        if not refused:
            self._released[name] = 0
            return base
        self._released[name] = self._released.get(name, 0) + 1
        in_flight = max(1, min(self._n, self._begun.get(base.effect.instance, 0)))
        return base if self._released[name] <= in_flight else replace(base, violation="after-refusal")

    def _late(self, base: Charge, device: _Device, name: str) -> Charge:
        """Work under a refusal: with N > 1 it may have been permitted before."""
        allow = self._late_allow(base, device, name)
        if allow is None:
            return replace(base, violation="after-refusal")
        return replace(base, allow=allow, exposure=True, spends=base.effect.may_spend)

    def _late_allow(self, base: Charge, device: _Device, name: str) -> int | None:
        if device.late_left <= 0 or device.last_allow is None:
            return None
        allow: int | None = None
        if not base.effect.may_spend or (self._profile == "low" and base.effect.role != "handoff"):
            allow = device.last_allow
        elif self._profile == "medium" and base.effect.role not in ("tool-call", "handoff"):
            allow = next((u.late[name] for u in reversed(self._units(base.effect.instance)) if name in u.late), None)
        if allow is None and device.late:
            allow = device.late.pop(0).allow
        if allow is not None:
            device.late_left -= 1
        return allow

    def _spend(self, base: Charge, device: _Device, name: str) -> Charge:
        unit = self._unit_of(base.effect.instance, name)
        first = name not in unit.begun
        unit.begun.add(name)
        instance = base.effect.instance
        last = device.last_spent.get(instance)
        if last is not None and last[1] != unit.number:
            device.unit_floor[instance] = last[0]
        device.last_spent[instance] = base.effect.began, unit.number
        fresh = device.last_allow if (device.last_allow or 0) > device.unit_floor.get(instance, 0) else None
        base = replace(base, unit=unit.number, first=first, unit_allow=fresh)
        own = base.effect.role in ("tool-call", "handoff") or self._profile == "high"
        if self._profile == "low":
            return self._spend_low(base, device)
        if not own and name in unit.covered:
            return replace(base, allow=unit.covered[name])
        if device.permits:
            permit = device.permits.pop(0)
            unit.covered.setdefault(name, permit.allow)
            return replace(base, allow=permit.allow, spends=True)
        late = self._late_allow(base, device, name)
        if late is not None:
            return replace(base, allow=late, exposure=True, spends=True)
        if not own and self._n > 1 and device.allows >= self._begun.get(base.effect.instance, 0) > 0:
            return replace(base, allow=device.last_allow)
        return replace(base, spends=True, violation="unanswered" if device.pending else "no-permit")

    def _spend_low(self, base: Charge, device: _Device) -> Charge:
        if base.effect.role == "handoff":
            fresh = next((permit for permit in device.permits if not permit.stale), None)
            if fresh is None:
                return replace(base, spends=True, violation="unanswered" if device.pending else "no-permit")
            device.permits.remove(fresh)
            return replace(base, allow=fresh.allow, spends=True)
        if not device.permits and device.pending and self._late_allow(base, device, base.device) is None:
            return replace(base, violation="unanswered")
        for permit in device.permits:
            permit.stale = True
        return replace(base, allow=device.last_allow)

    def _unit_of(self, instance: int, name: str) -> _Unit:
        """The unit that an effect is taken to belong to: with N > 1, a covered one if there is any."""
        units = self._units(instance)
        return next((unit for unit in reversed(units) if name in unit.covered), units[-1])
