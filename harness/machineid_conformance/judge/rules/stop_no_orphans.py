"""stop/no-orphans: when the main process has ended, all of the target has."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.judge.api import Case, Finding, Observation, Rule
from machineid_conformance.judge.support import effect_words, exit_words, finding, judged, own_instances, uncounted
from machineid_conformance.judge.view import Process


class NoOrphans(Rule):
    """A daemon or a child that goes on after its parent has said goodbye is not stopped."""

    id = "stop/no-orphans"
    level = "MUST"
    statement = "Nothing of the target works on after its main process has ended, and nothing is left running."
    applies_when = "always"
    source = 'GUIDE "stop the worker loop"'
    remedy = "Stop and join every child before exiting; start none that outlives you (`start_new_session`, double fork, `&`)."

    def check(self, case: Case) -> Observation:
        """Fails on work after the exit, and on descendants that outlived an exit of the target's own and had to be killed."""
        own = own_instances(case.view, case.target)
        ended = [process for process in case.view.processes if process.exited is not None and process.instance in own]
        if not ended:
            return uncounted("the main process did not end in this run")
        return judged([found for process in ended for found in _left(case, process)])

    def not_shown(self, cases: Sequence[Case]) -> str | None:
        """It always applies: a run always ends."""
        del cases
        return None


def _left(case: Case, process: Process) -> list[Finding]:
    exited, gone = process.exited, process.gone
    assert exited is not None
    again = [p.spawned for p in case.view.processes if p.instance == process.instance and p.spawned > exited.seq]
    until = min(again, default=len(case.view.events) + 1)
    expected = "all descendants end with the main process"
    findings = [
        finding(
            case,
            f"{effect_words(effect)} started after the main process had ended ({exit_words(exited)})",
            (exited.seq, effect.began),
            expected,
            f"work by {', '.join(exited.left) or 'a descendant'}",
        )
        for effect in case.view.work
        if effect.instance == process.instance and exited.seq < effect.began < until
    ]
    if exited.by == "target" and gone is not None and gone.by == "harness" and gone.killed:
        left = ", ".join(gone.killed)
        message = f"the main process ended ({exit_words(exited)}) and left running: {left}"
        findings.append(finding(case, message, (exited.seq, gone.seq), expected, f"had to be killed: {left}"))
    return findings


RULES: tuple[Rule, ...] = (NoOrphans(),)
