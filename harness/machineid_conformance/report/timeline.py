"""A trace for people: one line an event, with the time, who did it, and what it was."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from typing import Any

from machineid_conformance.report.style import Colour, Style, one_line, printable
from machineid_conformance.trace import events as e

Told = tuple[str, str]  # who, what
TIME, WHO = 9, 13  # columns


def line(event: e.Event, style: Style, *, mark: bool = False) -> str:
    """One event in one line, cut to the style's width. ``mark`` sets ``>`` before it.

    The time is in target seconds since the run began; the number before it is the event's, by which findings cite it.
    """
    who, what = tell(event)
    head = f"{'>' if mark else ' '} {event.seq:>4} {f'{event.at:.3f}s':>{TIME}}  {who:<{WHO}} "
    text = style.cut(printable(head + what), style.width)
    return style.paint(text, "bold", "red") if mark else style.paint(text, *_colours(event))


def lines(events: Iterable[e.Event], style: Style) -> list[str]:
    """A whole timeline."""
    return [line(event, style) for event in events]


def tell(event: e.Event) -> Told:
    """Who did it, and what, in words."""
    return TELLERS[type(event)](event) if type(event) in TELLERS else ("harness", event.name)


def _colours(event: e.Event) -> tuple[Colour, ...]:
    if isinstance(event, e.ControlAnswered) and event.decision is not None:
        return ("green",) if event.decision == "allow" else ("red",)
    if isinstance(event, e.ControlFailed | e.FaultDelivered | e.Operator):
        return ("yellow",)
    if isinstance(event, e.EffectStarted):
        return ("cyan",)
    if isinstance(event, e.ConnectionOpened | e.ConnectionClosed | e.RequestHead):
        return ("dim",)
    return ()


def _target(event: Any) -> str:
    return "target" if event.instance == 1 else f"target #{event.instance}"


def _device(device: str | None) -> str:
    return device if device is not None else "no device"


def _fault(event: Any) -> str:
    return f"{event.fault} ({event.variant})" if event.variant not in (None, event.fault) else str(event.fault)


def _run_started(event: e.RunStarted) -> Told:
    pinned = (
        None if event.subject is None else f"at {event.subject} {event.n}" if event.n is not None else event.subject
    )
    environment = " ".join(f"{name}={value}" for name, value in event.environment.items()) or None
    return "harness", "run " + one_line([event.run, pinned, event.variant, event.isolation, environment])


def _run_ended(event: e.RunEnded) -> Told:
    written = f"; files written: {' '.join(event.files_written)}" if event.files_written else ""
    return "harness", f"end of the run: {event.reason}{written}"


def _spawned(event: e.Spawned) -> Told:
    again = "" if event.start == 1 else f" again (start {event.start})"
    return "harness", f"started {_target(event)}{again}: {shlex.join(event.command)}"


def _output(event: e.Output) -> Told:
    return _target(event), f"{event.stream}: {event.text}{' [goes on]' if event.continues else ''}"


def _exited(event: e.Exited) -> Told:
    how = f"signal {event.signal}" if event.signal is not None else f"exit code {event.code}"
    left = f"; it left behind: {', '.join(event.left)}" if event.left else ""
    return _target(event), f"main process ended, {how}{' (by the harness)' if event.by == 'harness' else ''}{left}"


def _gone(event: e.Gone) -> Told:
    killed = f"; killed by the harness: {', '.join(event.killed)}" if event.killed else ""
    return _target(event), f"nothing of it is left{killed}"


def _closed(event: e.ConnectionClosed) -> Told:
    return event.by, f"closed connection {event.connection} ({event.how})"


def _request(event: e.ControlRequest) -> Told:
    key = "" if event.key == "current" else f", {event.key} org key"
    secrets = f", secret in {' and '.join(event.secrets)}" if event.secrets else ""
    retry = ", sent again" if event.retry else ""
    return _target(event), f"{event.operation} {event.n} for {_device(event.device)}{key}{secrets}{retry}"


def _answered(event: e.ControlAnswered) -> Told:
    # An allow and a deny are 2xx by definition; of a failure the status is what there is to say.
    decision = None if event.decision is None else event.decision.upper()
    status = f"HTTP {event.status}" if decision in (None, "FAILURE") else None
    request_id = None if event.request_id is None else f"request_id {event.request_id}"
    return "control plane", f"{event.operation}: " + one_line([decision, status, event.code, request_id])


def _failed(event: e.ControlFailed) -> Told:
    waited = "" if event.waited is None else f" after {event.waited:.3f}s"
    return "control plane", f"{event.operation} got no whole answer: {event.how}{waited}"


def _effect(event: e.EffectStarted) -> Told:
    joins = f", part of effect {event.joins}" if event.joins is not None else ""
    return _target(event), f"effect {event.effect}: {event.label} [{event.role}, {event.transport}{joins}]"


def _effect_answered(event: e.EffectAnswered) -> Told:
    status = "no status" if event.status is None else f"{event.status}"
    return "world", f"answered effect {event.effect}: {status}{', a unit of work' if event.holds_unit else ''}"


def _stimulus_answered(event: e.StimulusAnswered) -> Told:
    return "target", f"answered stimulus {event.stimulus}: {event.status if event.status is not None else event.error}"


def _operator(event: e.Operator) -> Told:
    held = f" while effect {event.held} is in flight" if event.held is not None else ""
    why = "" if event.why == "scenario" else f" (for the harness: {event.why})"
    return "operator", " ".join(part for part in (event.action, event.device, event.argument) if part) + held + why


TELLERS: dict[type[e.Event], Callable[[Any], Told]] = {
    e.RunStarted: _run_started,
    e.RunEnded: _run_ended,
    e.Spawned: _spawned,
    e.Output: _output,
    e.Exited: _exited,
    e.Gone: _gone,
    e.Signalled: lambda event: ("harness", f"sent {event.signal} to instance {event.instance} ({event.why})"),
    e.ConnectionOpened: lambda event: (_target(event), f"connected to {event.host}:{event.port} ({event.connection})"),
    e.ConnectionClosed: _closed,
    e.Datagram: lambda event: (_target(event), f"UDP to {event.host}:{event.port}, {event.size} bytes, not answered"),
    e.ControlRequest: _request,
    e.ControlAnswered: _answered,
    e.ControlFailed: _failed,
    e.FaultDelivered: lambda event: ("control plane", f"fault {_fault(event)} delivered: {event.evidence}"),
    e.RedirectFollowed: lambda event: (_target(event), f"followed the redirect: {event.method} to {event.host}"),
    e.FaultWithheld: lambda event: ("harness", f"fault {_fault(event)} could not be delivered: {event.why}"),
    e.FaultArmed: lambda event: ("harness", f"fault {_fault(event)} is in force"),
    e.FaultCleared: lambda event: ("harness", f"fault {_fault(event)} is over"),
    e.Operator: _operator,
    e.RequestHead: lambda event: (_target(event), f"request head: {event.method} {event.host}{event.path}"),
    e.EffectStarted: _effect,
    e.EffectAnswered: _effect_answered,
    e.EffectAborted: lambda event: (event.by, f"broke off effect {event.effect}"),
    e.StimulusSent: lambda event: ("harness", f"stimulus {event.stimulus}: {event.method} {event.path}"),
    e.StimulusAnswered: _stimulus_answered,
    e.Diagnosed: lambda event: ("harness", f"{event.problem}: {event.detail}"),
    e.Watched: lambda event: ("harness", f"watched {event.what} for {event.seconds:.1f}s, until {event.until}"),
}
