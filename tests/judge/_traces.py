"""Literal traces for the tests of the judge: one call a line of the trace, in the order in which it happened.

    trace = Trace()
    trace.spawn().register().allow().effect()      # POST api.example/charge, started and answered
    trace.operator("revoke", device=DEVICE).deny().exit(1).end()
    observation = rule.check(trace.case(target(profile="high")))

Load it with ``importlib`` or as ``from tests.judge._traces import …``: the repository's root is on pytest's path.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from machineid_conformance.config.model import Stimulus, StimulusRequest, Target
from machineid_conformance.judge.api import Baseline, Boundary, Case
from machineid_conformance.judge.view import RunView
from machineid_conformance.trace import events as e

DEVICE = "worker:dev:queue-consumer:01"
OTHER = "worker:dev:queue-consumer:02"


class Trace:
    """A trace in the making. Every method appends and returns the trace itself; ``at`` grows by 0.1 s an event."""

    def __init__(self, *rules: str, run: str = "worker/literal", **started: Any) -> None:
        self._events: list[e.Event] = []
        self._late = 0.0
        self.calls = 0
        self.validates = 0
        self.effects = 0
        self.stimuli = 0
        self.connections = 0
        self.starts: dict[int, int] = {}
        self._open: dict[int, tuple[str, str | None, int]] = {}  # call -> operation, device, instance
        started.setdefault("target", "worker")
        started.setdefault("scenario", "literal")
        self.add(e.RunStarted(run=run, rules=rules, **started))

    # -- raw ----------------------------------------------------------------------------------------------------------

    def add(self, event: e.Event) -> Trace:
        """Append any event, stamped."""
        seq = len(self._events) + 1
        at = round(0.1 * seq + self._late, 6)
        self._events.append(dataclasses.replace(event, seq=seq, at=at))
        return self

    def wait(self, seconds: float) -> Trace:
        """Let so many target seconds pass before the next event."""
        self._late += seconds
        return self

    @property
    def seq(self) -> int:
        """The sequence number of the last event."""
        return len(self._events)

    # -- processes ----------------------------------------------------------------------------------------------------

    def spawn(self, *, instance: int = 1, device: str | None = DEVICE) -> Trace:
        """The next start of an instance."""
        self.starts[instance] = self.starts.get(instance, 0) + 1
        return self.add(e.Spawned(instance=instance, start=self.starts[instance], command=("worker",), device=device))

    def exit(
        self,
        code: int | None = 0,
        *,
        instance: int = 1,
        by: e.By = "target",
        signal: str | None = None,
        left: tuple[str, ...] = (),
        gone: bool = True,
        killed: tuple[str, ...] = (),
    ) -> Trace:
        """The main process ends, and (``gone``) nothing of it is left."""
        start = self.starts.get(instance, 1)
        self.add(e.Exited(instance=instance, start=start, code=code, signal=signal, by=by, left=left))
        return self.gone(instance=instance, killed=killed, by="harness" if killed else by) if gone else self

    def gone(self, *, instance: int = 1, killed: tuple[str, ...] = (), by: e.By = "target") -> Trace:
        """Nothing of this start is left."""
        return self.add(e.Gone(instance=instance, start=self.starts.get(instance, 1), by=by, killed=killed))

    def output(self, text: str, *, stream: str = "stdout", instance: int = 1) -> Trace:
        """One line of output."""
        start = self.starts.get(instance, 1)
        return self.add(e.Output(instance=instance, start=start, stream=stream, text=text))

    def signal(self, signal: str, *, instance: int = 1, why: str = "scenario") -> Trace:
        """A signal of the harness."""
        return self.add(e.Signalled(instance=instance, signal=signal, why=why))

    # -- control plane ------------------------------------------------------------------------------------------------

    def ask(
        self,
        operation: e.Operation = "validate",
        *,
        device: str | None = DEVICE,
        instance: int = 1,
        retry: bool = False,
        **request: Any,
    ) -> Trace:
        """A complete request arrives; ``answer`` or ``fail`` ends it."""
        self.calls += 1
        if operation == "validate":
            self.validates += 1
        n = self.validates if operation == "validate" else 1
        self._open[self.calls] = (operation, device, instance)
        fields: dict[str, Any] = {
            "connection": self.calls,
            "method": "POST",
            "path": f"/api/v1/devices/{operation}",
            "key": "current",
            **request,
        }
        return self.add(
            e.ControlRequest(
                call=self.calls, instance=instance, operation=operation, n=n, device=device, retry=retry, **fields
            )
        )

    def answer(
        self,
        decision: e.Decision | None = "allow",
        *,
        call: int | None = None,
        status: int = 200,
        code: str | None = None,
        request_id: str | None = None,
    ) -> Trace:
        """The last byte of an answer goes out; of the last call, unless ``call`` names another."""
        number = self.calls if call is None else call
        operation, device, _ = self._open.pop(number)
        if operation == "validate" and code is None:
            code = {"allow": "ALLOW", "deny": "DEVICE_REVOKED"}.get(decision or "")
        if operation == "validate" and request_id is None and decision in ("allow", "deny"):
            request_id = f"00000000-0000-4000-8000-{number:012d}"
        return self.add(
            e.ControlAnswered(
                call=number,
                operation=operation,  # type: ignore[arg-type]
                device=device,
                status=status,
                decision=decision,
                code=code,
                request_id=request_id,
            )
        )

    def lose(self, how: str = "reset", *, call: int | None = None, waited: float | None = 0.1) -> Trace:
        """A call that was asked gets no whole answer."""
        number = self.calls if call is None else call
        operation, device, instance = self._open.pop(number)
        return self.add(
            e.ControlFailed(
                call=number,
                connection=number,
                instance=instance,
                operation=operation,  # type: ignore[arg-type]
                device=device,
                how=how,
                waited=waited,
            )
        )

    def register(self, *, device: str | None = DEVICE, instance: int = 1, status: int = 200) -> Trace:
        """A register call, answered."""
        return self.ask("register", device=device, instance=instance).answer(None, status=status)

    def allow(self, *, device: str | None = DEVICE, instance: int = 1) -> Trace:
        """A validate, allowed."""
        return self.ask(device=device, instance=instance).answer("allow")

    def deny(
        self,
        *,
        device: str | None = DEVICE,
        instance: int = 1,
        code: str = "DEVICE_REVOKED",
        request_id: str | None = None,
    ) -> Trace:
        """A validate, denied."""
        return self.ask(device=device, instance=instance).answer("deny", code=code, request_id=request_id)

    def fail(
        self,
        how: str = "reset",
        *,
        device: str | None = DEVICE,
        instance: int = 1,
        fault: str | None = "reset",
        variant: str | None = None,
        waited: float | None = 0.1,
    ) -> Trace:
        """A validate that gets no whole answer, with the receipt of ``fault`` (None: no receipt)."""
        self.ask(device=device, instance=instance).lose(how, waited=waited)
        return self.receipt(fault, variant=variant, device=device) if fault is not None else self

    def error(
        self,
        status: int = 500,
        *,
        device: str | None = DEVICE,
        instance: int = 1,
        fault: str | None = "server-error",
        variant: str | None = None,
    ) -> Trace:
        """A validate whose answer is no decision, with the receipt of ``fault``."""
        self.ask(device=device, instance=instance).answer("failure", status=status)
        return self.receipt(fault, variant=variant, device=device) if fault is not None else self

    def receipt(
        self, fault: str, *, variant: str | None = None, device: str | None = DEVICE, call: int | None = -1
    ) -> Trace:
        """The receipt of a fault, for the last call unless ``call`` is given."""
        number = self.calls if call == -1 else call
        return self.add(
            e.FaultDelivered(
                fault=fault,
                variant=variant,
                call=number,
                connection=number,
                operation="validate" if number is not None else "unknown",
                device=device if number is not None else None,
                evidence="seen",
            )
        )

    def unreachable(
        self,
        how: str = "refused",
        *,
        instance: int = 1,
        fault: str | None = "refused",
        operation: e.Operation = "unknown",
    ) -> Trace:
        """A connection to the control plane that fails before a request arrives, with the receipt of ``fault``."""
        self.connections += 1
        if fault is not None:
            self.receipt(fault, call=None)
        return self.add(
            e.ControlFailed(
                call=None, connection=None, instance=instance, operation=operation, device=None, how=how, waited=0.0
            )
        )

    def operator(
        self, action: str = "revoke", device: str | None = None, *, why: Any = "scenario", **more: Any
    ) -> Trace:
        """The operator changes the control plane."""
        return self.add(e.Operator(action=action, device=device, why=why, **more))

    # -- effects ------------------------------------------------------------------------------------------------------

    def begin(
        self,
        role: e.Role = "side-effect",
        *,
        label: str | None = None,
        device: str = DEVICE,
        instance: int = 1,
        method: str = "POST",
        host: str = "api.example",
        path: str = "/charge",
        **more: Any,
    ) -> Trace:
        """An effect starts; ``finish`` answers it."""
        self.effects += 1
        return self.add(
            e.EffectStarted(
                effect=self.effects,
                instance=instance,
                role=role,
                label=label or f"{method} {host}{path}",
                transport=more.pop("transport", "http"),
                device=device,
                method=method,
                host=host,
                port=443,
                path=path,
                **more,
            )
        )

    def finish(self, effect: int | None = None, *, status: int | None = 200, holds: bool = False) -> Trace:
        """An effect is answered: the last one, unless another is named."""
        number = self.effects if effect is None else effect
        return self.add(e.EffectAnswered(effect=number, status=status, holds_unit=holds))

    def abort(self, effect: int | None = None, *, by: e.By = "target") -> Trace:
        """An effect is aborted."""
        return self.add(e.EffectAborted(effect=self.effects if effect is None else effect, by=by))

    def effect(self, role: e.Role = "side-effect", **fields: Any) -> Trace:
        """An effect, started and answered."""
        return self.begin(role, **fields).finish()

    def read(self, **fields: Any) -> Trace:
        """A GET, started and answered."""
        return self.effect("read", **{"method": "GET", "path": "/item", **fields})

    def dequeue(self, *, holds: bool = True, **fields: Any) -> Trace:
        """A dequeue, started and answered with something (``holds``) or with nothing."""
        where = {"method": "GET", "host": "queue.example", "path": "/next", "label": "dequeue", **fields}
        return self.begin("task-source", **where).finish(status=200 if holds else 204, holds=holds)

    # -- stimuli ------------------------------------------------------------------------------------------------------

    def stimulus(self, *, instance: int = 1) -> Trace:
        """A stimulus is sent; ``replied`` answers it."""
        self.stimuli += 1
        return self.add(e.StimulusSent(stimulus=self.stimuli, instance=instance, method="POST", path="/hook"))

    def replied(self, status: int | None = 200, *, error: str | None = None) -> Trace:
        """The last stimulus is answered."""
        return self.add(e.StimulusAnswered(stimulus=self.stimuli, status=status, error=error))

    # -- the end ------------------------------------------------------------------------------------------------------

    def end(self, reason: str = "gone", **more: Any) -> Trace:
        """The last line."""
        return self.add(e.RunEnded(reason=reason, **more))

    @property
    def events(self) -> tuple[e.Event, ...]:
        """What has happened so far."""
        return tuple(self._events)

    @property
    def view(self) -> RunView:
        """The view of what has happened so far."""
        return RunView.of(self._events)

    def case(self, of: Target | None = None, fault_free: Baseline | None = None, *, profile: Any = None) -> Case:
        """This run as a checker sees it."""
        judged = of or target()
        return Case(view=self.view, target=judged, baseline=fault_free or baseline(), profile=profile or judged.profile)


def target(**changes: Any) -> Target:
    """A worker with one device, at ``high``; anything can be changed."""
    fields: dict[str, Any] = {
        "name": "worker",
        "command": ("worker",),
        "cwd": Path(),
        "devices": (DEVICE,),
        "profile": "high",
        **changes,
    }
    return Target(**fields)


def webhook(**changes: Any) -> Target:
    """A target that is pushed to, with 403 as its denied status."""
    stimulus = Stimulus(listen="http://127.0.0.1:{port}", requests=(StimulusRequest(path="/hook"),))
    return target(stimulus=stimulus, **changes)


def boundary(n: int, kind: str = "side-effect", *, device: str = DEVICE, work_after: bool = True) -> Boundary:
    """One boundary of a baseline, covering one charge."""
    return Boundary(n=n, kind=kind, device=device, covers=("POST api.example/charge",), work_after=work_after)


def baseline(**changes: Any) -> Baseline:
    """Four boundaries, the first at startup, each followed by work."""
    fields: dict[str, Any] = {
        "boundaries": (boundary(1, "startup"), *(boundary(n) for n in range(2, 5))),
        "effect_labels": ("POST api.example/charge",) * 4,
        "effects_after": (True, True, True, False),
        "deterministic": True,
        "registers": True,
        "reaches_horizon": True,
        **changes,
    }
    return Baseline(**fields)


def idle_baseline(**changes: Any) -> Baseline:
    """A baseline that did no work at all: a fault starves on it."""
    return baseline(
        boundaries=(boundary(1, "startup", work_after=False),),
        effect_labels=(),
        effects_after=(),
        reaches_horizon=False,
        **changes,
    )
