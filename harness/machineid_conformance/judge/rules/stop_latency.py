"""stop/latency: how long it takes from the deny until the target is stopped."""

from __future__ import annotations

from collections.abc import Sequence

from machineid_conformance.config.model import Target
from machineid_conformance.judge.api import Case, Level, Observation, Rule
from machineid_conformance.judge.latency import Stop, figures, stop_of
from machineid_conformance.judge.support import charges, finding, judged, uncounted


class Latency(Rule):
    """A report, and a MUST where ``stop_within`` sets a limit."""

    id = "stop/latency"
    by_time = True
    level = "report"
    statement = (
        "From the deny to stopped within `stop_within`. Reported as minimum, median, p95, maximum: `change_to_deny`, "
        "`deny_to_end`, `change_to_last_effect`."
    )
    applies_when = "always; a MUST where stop_within is set"
    source = "The product's card: how long a stop takes is stated, not assumed"
    remedy = (
        "Do not finish queues, sleep or drain after a deny: end at once, and let release or nack give the unit back."
    )

    def level_for(self, target: Target) -> Level:
        """MUST with a limit, else report."""
        return "report" if target.stop_within is None else "MUST"

    def check(self, case: Case) -> Observation:
        """The figures of one stop; fails when it took longer than the limit."""
        stop = stop_of(case)
        if stop is None:
            return uncounted("no deny followed a change in this run, so there was no stop to time")
        limit, took = case.target.stop_within, _took(stop)
        notes = (f"deny to stopped: {took:.3f} s" + (" (by its exit)" if stop.deny_to_end is not None else ""),)
        if limit is None or took <= limit:
            return judged((), notes=notes if case.target.stop_within is not None else ())
        return judged(
            (
                finding(
                    case,
                    f"the target was stopped {took:.3f} s after the deny",
                    (stop.change.seq, stop.refusal.ended or stop.refusal.asked, _end(case, stop)),
                    f"stopped within {limit:g} s of the deny (stop_within)",
                    f"{took:.3f} s",
                ),
            ),
            notes=notes,
        )

    def conclude(self, cases: Sequence[Case], observed: Sequence[tuple[Case, Observation]]) -> tuple[Observation, ...]:
        """The figures of all runs, as notes."""
        del cases
        stops = [stop for stop in (stop_of(case) for case, _ in observed) if stop is not None]
        if not stops:
            return ()
        rows = {
            "change_to_deny": [stop.change_to_deny for stop in stops],
            "deny_to_end": [stop.deny_to_end for stop in stops if stop.deny_to_end is not None],
            "change_to_last_effect": [s.change_to_last_effect for s in stops if s.change_to_last_effect is not None],
        }
        notes = tuple(
            f"{name}: "
            + ", ".join(f"{word} {seconds:.3f} s" for word, seconds in figures(values).items())
            + f" ({len(values)} runs)"
            for name, values in rows.items()
            if values
        )
        return (Observation(outcome="pass", notes=notes),)


def _took(stop: Stop) -> float:
    """Seconds from the deny until nothing was started any more, and the process had ended if it ended by itself."""
    return max(stop.last_work or 0.0, stop.deny_to_end or 0.0)


def _end(case: Case, stop: Stop) -> int:
    """The position of what came last: the exit, or the last work."""
    exits = [p.exited.seq for p in case.view.processes if p.instance == stop.refusal.instance and p.exited is not None]
    if stop.deny_to_end is not None and stop.deny_to_end >= (stop.last_work or 0.0):
        return max(exits)
    return max(item.effect.began for item in charges(case) if item.effect.is_work)


RULES: tuple[Rule, ...] = (Latency(),)
