"""How long a client waits for its control plane: its deadlines as its runs measure them, at each kind of boundary.

A fault that leaves a client waiting measures one of them: the client closes when its deadline has passed, or it is still there when the
harness ends the wait. Nobody can tell by that which option of which library was set; but a hang, a drip and a silence in the middle of a
body end differently under each of the usual settings (``setting``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import median
from typing import Literal

from machineid_conformance.judge.api import Case
from machineid_conformance.judge.support import kind_of_boundary, own_instances
from machineid_conformance.judge.view import Register, Validate
from machineid_conformance.trace.events import (
    ConnectionOpened,
    ControlFailed,
    ControlRequest,
    EffectStarted,
    FaultDelivered,
    StimulusAnswered,
)

Phase = Literal["connect", "read", "silence", "total"]
"""``connect``: until the TLS handshake is over; ``read``: until the answer begins; ``silence``: between two bytes of its body;
``total``: until the whole answer is there.
"""

MEASURES: Mapping[str, Phase] = {
    "hang": "read",
    "late-allow": "read",
    "latency": "read",
    "handshake-hang": "connect",
    "slow-body": "total",
}
"""What a fault says something of."""
REGISTER = "register"
SIGNS = (ConnectionOpened, ControlRequest, EffectStarted, StimulusAnswered)

NOTICED = 0.05
"""Target seconds after which a close is noticed at the latest, on a machine that is not too busy."""
BEFORE = 0.2
"""Target seconds in which a client has begun to count and not yet connected."""
LATE = 0.05
"""By which share a wait may be off where target time is fast: what nobody announces (naps, timers of the kernel; dilation.h), and what a
busy machine adds.
"""
SHARE = 0.25
LEAST = 0.5
"""Two deadlines differ if one is longer than the other by this share of it and by so many target seconds, beyond what both may be off."""
A_SILENCE = 1.0
"""Target seconds without a byte that are more than the pause between two bytes of a drip."""


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """``boundary``: ``register``, or the kind of the validate. ``seconds`` is the median of its runs, in target seconds; None: no run
    saw the client give up, and it waited for ``at_least`` so long. ``error``: by how much ``seconds`` may be off, which is never less
    than what the runs differ by. ``runs`` are the ids of those that it was seen in.

    ``read`` and ``silence`` are counted as a client counts that waits for the next byte (``read`` from the connection on, where the runs
    show that the client does), ``connect`` and ``total`` from the connection on.
    """

    boundary: str
    phase: Phase
    seconds: float | None
    at_least: float | None
    error: float
    runs: tuple[str, ...]
    low: float = 0.0
    """Not much shorter than this: the soonest end, counted from the request."""
    high: float = 0.0
    """Not longer than this: the soonest end, counted from before the connection. Both may be wider apart than ``error`` says."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """One wait of a client in target seconds, from the request on. ``connecting``: from the connection to the request. ``silent``: since
    the last byte of a body that had begun to drip.
    """

    boundary: str
    phase: Phase
    seconds: float
    gave_up: bool
    run: str
    fast: bool
    connecting: float = 0.0
    silent: float | None = None

    @property
    def error(self) -> float:
        """By how much it may be off."""
        return NOTICED + (LATE * self.seconds if self.fast else 0.0)


# -- one call ----------------------------------------------------------------------------------------------------------


def wait_of(case: Case, call: Validate | Register) -> tuple[float, bool]:
    """For how many target seconds a client waited for the end of a call, and whether it was the client who ended it.

    Some libraries leave a handshake that nobody waits for any more to a timeout of its own: of a target that does one thing at a time, the
    next thing that it does shows that it has given up.
    """
    view = case.view
    asked = view.at(call.asked)
    if call.ended is None:
        return view.events[-1].at - asked, False
    event = view.event(call.ended)
    if not isinstance(event, ControlFailed):
        return event.at - asked, False
    waited = event.waited if event.waited is not None else event.at - asked
    if call.call is not None or event.waited is None or case.target.concurrency > 1:
        return waited, event.how == "gave-up"
    opened = view.connections.get(event.connection or 0)
    for later in view.events[opened.seq : event.seq] if opened is not None else ():
        if isinstance(later, SIGNS) and getattr(later, "instance", event.instance) == event.instance:
            return max(0.0, later.at - (event.at - waited)), True
    return waited, event.how == "gave-up"


# -- one run -----------------------------------------------------------------------------------------------------------


def waits_in(case: Case) -> tuple[Wait, ...]:
    """What one run shows: of its first validate that a fault left waiting, and likewise of its first register.

    What comes after them is at another boundary, or a second try. With several calls under way the end of one cancels the others early:
    the longest counts.
    """
    own = own_instances(case.view, case.target)
    found = []
    for calls in (case.view.registers, case.view.validates):
        struck = [(call, fault) for call in calls if call.instance in own and (fault := _fault_on(case, call))]
        if struck:
            end = struck[0][0].ended or len(case.view.events)
            together = [struck[0], *((call, fault) for call, fault in struck[1:] if _begun(case, call) < end)]
            waits = [_wait(case, call, fault) for call, fault in together]
            found.append(max(waits, key=lambda wait: (wait.gave_up, wait.seconds)))
    return tuple(found)


def _begun(case: Case, call: Validate | Register) -> int:
    """The event with which the wait began: the request, or the connection of one that never came to a request."""
    event = case.view.event(call.ended) if call.call is None and call.ended is not None else None
    opened = case.view.connections.get(event.connection or 0) if isinstance(event, ControlFailed) else None
    return opened.seq if opened is not None else call.asked


def _fault_on(case: Case, call: Validate | Register) -> FaultDelivered | None:
    """The fault that left this call waiting, by its receipt."""
    event = case.view.event(call.ended) if call.ended is not None else None
    for fault in case.view.faults:
        if fault.fault not in MEASURES:
            continue
        if fault.call is not None and fault.call == call.call:
            return fault
        if not isinstance(event, ControlFailed) or fault.call is not None or event.call is not None:
            continue
        if event.connection == fault.connection and event.how in ("gave-up", "cut-off"):
            return fault
    return None


def _wait(case: Case, call: Validate | Register, fault: FaultDelivered) -> Wait:
    seconds, gave_up = wait_of(case, call)
    event = case.view.event(call.ended) if call.ended is not None else None
    registering = isinstance(call, Register) or (
        call.call is None and case.baseline.registers and not any(r.asked < call.asked for r in case.view.registers)
    )
    return Wait(
        boundary=REGISTER if registering else kind_of_boundary(case, fault),
        phase=MEASURES[fault.fault],
        seconds=seconds,
        gave_up=gave_up,
        run=case.view.run,
        fast=case.view.started.speed > 1,
        connecting=_connecting(case, call, fault.connection),
        silent=event.silent if isinstance(event, ControlFailed) else None,
    )


def _connecting(case: Case, call: Validate | Register, connection: int | None) -> float:
    """Target seconds between the connection and the call that it was made for."""
    view = case.view
    opened = view.connections.get(connection or 0)
    if opened is None or call.ended is None:
        return 0.0
    if call.call is None:
        event = view.event(call.ended)
        waited = event.waited if isinstance(event, ControlFailed) else None
        return max(0.0, event.at - (waited or 0.0) - opened.at)
    first = min(request.seq for request in view.control if request.connection == connection)
    return max(0.0, view.at(call.asked) - opened.at) if first == call.asked else 0.0


# -- all runs ----------------------------------------------------------------------------------------------------------


def of(cases: Iterable[Case]) -> tuple[Deadline, ...]:
    """What the runs of one target measured: validates in the order of their first run, then register; phase by phase."""
    waits = [wait for case in cases for wait in waits_in(case)]
    boundaries = sorted(
        dict.fromkeys(wait.boundary for wait in waits), key=lambda name: (name == REGISTER, name != "startup")
    )
    return tuple(
        deadline
        for boundary in boundaries
        for deadline in _at_boundary(boundary, [wait for wait in waits if wait.boundary == boundary])
    )


def _at_boundary(boundary: str, waits: Sequence[Wait]) -> Iterable[Deadline]:
    read = _deadline(boundary, "read", [wait for wait in waits if wait.phase == "read"])
    drips = [part for wait in waits if wait.phase == "total" for part in _parts(wait, read)]
    yield from filter(
        None,
        (
            _deadline(boundary, "connect", [wait for wait in waits if wait.phase == "connect"]),
            read,
            _deadline(boundary, "silence", [wait for wait in drips if wait.phase == "silence"]),
            _deadline(boundary, "total", [wait for wait in drips if wait.phase == "total"]),
        ),
    )


def _parts(drip: Wait, read: Deadline | None) -> Iterable[Wait]:
    """What a drip says of the whole call, and what of the silence behind its last byte.

    A client that gave up may have counted from its request, or from the last byte: its other deadline tells which. Of a drip that had
    hardly begun it does not.
    """
    silent = drip.silent
    if silent is None:
        yield drip
        return
    silence = replace(drip, phase="silence", seconds=silent)
    if not drip.gave_up:
        yield drip
        if silent > A_SILENCE:
            yield silence
        return
    if read is None or read.seconds is None:
        yield drip
        return
    off = LEAST + drip.error + read.error
    if drip.seconds - silent < off:
        return
    by_request = min(abs(drip.seconds + connecting - read.seconds) for connecting in (0.0, drip.connecting))
    by_byte = abs(silent - read.seconds)
    if by_request <= by_byte or by_byte > off:
        yield drip
    else:
        yield silence
        yield replace(drip, seconds=drip.seconds - silent, gave_up=False)


def _deadline(boundary: str, phase: Phase, waits: Sequence[Wait]) -> Deadline | None:
    ended = [wait for wait in waits if wait.gave_up]
    if not waits:
        return None
    if not ended:
        longest = max(waits, key=lambda wait: wait.seconds)
        return Deadline(
            boundary=boundary,
            phase=phase,
            seconds=None,
            at_least=round(longest.seconds, 3),
            error=round(longest.error, 3),
            runs=tuple(wait.run for wait in waits),
            low=longest.seconds - longest.error,
            high=math.inf,
        )
    measured = [wait.seconds for wait in ended]
    since_connecting = [wait.seconds + wait.connecting for wait in ended]
    off = max(wait.error for wait in ended)
    # From which moment a client counts is seen where connecting took longer in one run than in another: that is the moment from which its
    # waits are alike.
    if phase in ("connect", "total") or (phase == "read" and _spread(since_connecting) < _spread(measured) - off):
        measured = since_connecting
    seconds = median(measured)
    error = max(off, *(abs(one - seconds) for one in measured))
    return Deadline(
        boundary=boundary,
        phase=phase,
        seconds=round(seconds, 3),
        at_least=None,
        error=round(error, 3),
        runs=tuple(wait.run for wait in ended),
        low=min(wait.seconds - wait.error for wait in ended),
        high=min(since_connecting) + BEFORE,
    )


def _spread(seconds: Sequence[float]) -> float:
    return max(seconds) - min(seconds)


def shortest_read(deadlines: Iterable[Deadline]) -> float | None:
    """After how many target seconds without an answer the client gives a validate up, where it is soonest; None: no run has shown it."""
    reads = (d.seconds for d in deadlines if d.phase == "read" and d.boundary != REGISTER and d.seconds is not None)
    return min(reads, default=None)


# -- consistent? ---------------------------------------------------------------------------------------------------------


def differences(deadlines: Sequence[Deadline]) -> tuple[tuple[Deadline, Deadline], ...]:
    """Pairs of one phase at two boundaries, the shorter first, that differ by more than they can be off."""
    pairs = (sorted(pair, key=_length) for pair in combinations(deadlines, 2) if pair[0].phase == pair[1].phase)
    return tuple((short, long) for short, long in pairs if differ(short, long))


def differ(short: Deadline, long: Deadline) -> bool:
    """Whether the second is longer by more than both can be off, on however busy a machine.

    Load only makes a wait longer, and connecting is counted by some clients: so the first is not longer than its soonest end, counted from
    the connection on, and the second about as long as its own, counted from the request. Where several calls are under way, the soonest end
    may be that of a call which another's end has cancelled: so what most of the runs waited has to differ too.
    """
    if short.seconds is None:
        return False  # nobody knows how long it is
    if long.seconds is not None and long.seconds - short.seconds <= max(LEAST, SHARE * short.seconds):
        return False
    return long.low - short.high > max(LEAST, SHARE * short.high)


def _length(deadline: Deadline) -> float:
    return deadline.seconds if deadline.seconds is not None else deadline.at_least or 0.0


# -- which setting? ------------------------------------------------------------------------------------------------------


def setting(deadlines: Sequence[Deadline]) -> str | None:
    """The likely setting of the client's library, in words; at each boundary where they differ. None: nothing was measured."""
    validates = [deadline for deadline in deadlines if deadline.boundary != REGISTER]
    if not differences(validates):
        # The boundaries are one setting: what a run shows at one of them holds for all.
        return _setting_at(
            {one.phase: one for one in sorted(validates, key=lambda one: (_length(one), one.seconds is not None))}
        )
    words = {
        boundary: _setting_at({one.phase: one for one in validates if one.boundary == boundary})
        for boundary in dict.fromkeys(one.boundary for one in validates)
    }
    return "; ".join(f"{boundary}: {said}" for boundary, said in words.items() if said is not None) or None


def _setting_at(phases: Mapping[Phase, Deadline]) -> str | None:
    read, total, silence, connect = (phases.get(name) for name in ("read", "total", "silence", "connect"))
    if read is None:
        return None
    if read.seconds is None:
        return f"no deadline: it still waited after {_length(read):g} s"
    figure = likely(read)
    # The deadline of a whole call is counted from the connection on.
    if total is None or (total.seconds is None and _length(total) <= read.seconds):
        said = f"a timeout of {figure}; whether it is for the whole call no drip has shown"
    elif total.seconds is not None and not differ(read, total):
        said = f"a deadline of {likely(total)} for the whole call"
    elif total.seconds is not None:
        said = f"a per-read timeout of {figure}, and a deadline of {likely(total)} for the whole call"
    elif silence is not None and silence.seconds is None and _length(silence) > read.seconds:
        said = f"a timeout of {figure} until the answer begins: neither a drip nor silence in its body ends it"
    else:
        said = f"a per-read timeout of {figure}: a drip never ends it"
    if connect is None or not (differ(read, connect) or differ(connect, read)):
        return said
    if connect.seconds is None:
        return f"{said}; none to connect"
    return f"{said}; {likely(connect)} to connect"


def likely(deadline: Deadline) -> str:
    """The roundest number of seconds near what was measured, in words: people set round ones."""
    seconds = deadline.seconds or 0.0
    near = NOTICED + LATE * seconds
    for step in (100, 10, 5, 1, 0.5, 0.1):
        rounded = round(seconds / step) * step
        if rounded and abs(rounded - seconds) <= near:
            return f"{round(rounded, 1):g} s"
    return f"{seconds:.2g} s"
