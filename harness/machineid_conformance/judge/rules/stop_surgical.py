"""stop/surgical: one device is stopped, and the others work on."""

from __future__ import annotations

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Baseline, Case, Finding, Observation, Rule
from machineid_conformance.judge.support import change_words, charges_of, finding, judged, uncounted
from machineid_conformance.judge.view import Process, Validate
from machineid_conformance.trace.events import Operator


class Surgical(Rule):
    """Judged on a run with several processes, each with a device of its own; the other targets of a group count too."""

    id = "stop/surgical"
    shown_by_runs = True
    by_time = True
    level = "SHOULD"
    statement = "Revoking one device leaves the work of other devices in other processes alone."
    applies_when = "more than one device and process"
    source = "GUIDE Identity model; PYTHON three-device model"
    remedy = "Give each process a device id of its own, and let no process end others when its own device is denied."

    def not_applicable(self, target: Target, baseline: Baseline) -> str | None:
        """One process has nobody beside it, unless a group brings others into its run."""
        del baseline
        if target.instances > 1 and len(target.devices) != 1:
            return None
        return (
            "the target is one process with one device; it would apply with instances = 2 and {n} in device, or in a group "
            "of targets"
        )

    def check(self, case: Case) -> Observation:
        """Fails on a process of another device that worked, and does nothing after the deny and its own next validate."""
        change = next((c for c in case.view.changes if c.device is not None), None)
        if change is None:
            return uncounted("no single device was changed in this run")
        refusal = next(
            (v for v in case.view.refusals if (v.ended or 0) > change.seq and v.device == change.device), None
        )
        if refusal is None or refusal.ended is None:
            return uncounted(f"no deny followed the change ({change_words(change)})")
        others = [p for p in case.view.processes if p.device is not None and p.device != change.device]
        verdicts = [
            _other(case, process, change, refusal) for process in others if process.instance != refusal.instance
        ]
        counted = [verdict for verdict in verdicts if not isinstance(verdict, str)]
        if not counted:
            reasons = [verdict for verdict in verdicts if isinstance(verdict, str)]
            return uncounted(reasons[0] if reasons else "no other process with another device was part of this run")
        return judged([verdict for verdict in counted if isinstance(verdict, Finding)])


def _other(case: Case, process: Process, change: Operator, refusal: Validate) -> Finding | str | None:
    """None: it worked on. A finding: it did not. Words: why it cannot be told.

    What it does under an allow of before the change shows nothing: the unit in which the change finds it may be its last. So it is
    asked what it does once it has validated again, if it has.
    """
    refused = refusal.ended or refusal.asked
    again = next(
        (
            v.asked
            for v in case.view.validates
            if (v.instance, v.start) == (process.instance, process.start) and v.asked > change.seq
        ),
        change.seq,
    )
    mine = [
        item
        for item in charges_of(case.view, case.target, case.profile)
        if item.effect.instance == process.instance and item.effect.start == process.start and item.effect.is_work
    ]
    if any(item.effect.began > max(refused, again) for item in mine):
        return None
    if not any(item.effect.began < again for item in mine):
        return f"{process.device} did no work before it could know of the change, so none could be missed"
    if any(v.refused for v in case.view.validates if v.instance == process.instance):
        return f"{process.device} was refused itself"
    exited = process.exited
    if exited is not None and exited.by == "target" and (exited.seq < refused or exited.code == 0):
        return f"{process.device} had ended its work by itself"
    events = (change.seq, refused, exited.seq if exited is not None else case.view.events[-1].seq)
    got = "it ended" if exited is not None and exited.by == "target" else "it did nothing more"
    message = f"{change_words(change)} also stopped {process.device} in another process"
    return finding(case, message, events, f"{process.device} works on", got)


RULES: tuple[Rule, ...] = (Surgical(),)
