"""The summary that a person reads last: target by area with counts, stop latency, isolation, completeness, verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from machineid_conformance.report.style import Colour, Style, one_line, printable

COLUMNS: Sequence[tuple[str, Sequence[str], Colour]] = (
    ("pass", ("pass",), "green"),
    ("fail", ("fail",), "red"),
    ("xfail", ("xfail",), "yellow"),
    ("warn", ("warn",), "yellow"),
    ("inconclusive", ("inconclusive",), "yellow"),
    ("n/a", ("not-applicable",), "dim"),
    ("info", ("info",), "dim"),
)
"""Heading, the statuses of results.json that it counts, and its colour where it is not zero."""

GAP = 2  # columns between two columns of the table

OPTIONAL = ("xfail", "info")  # columns that stand only where they hold something

VERDICT_COLOURS: Mapping[str, Colour] = {"conforming": "green", "non-conforming": "red", "inconclusive": "yellow"}

TOLD: Sequence[tuple[str, str, Colour]] = (
    ("fail", "failed", "red"),
    ("xfail", "expected", "yellow"),
    ("warn", "warning", "yellow"),
    ("inconclusive", "inconclusive", "yellow"),
)
"""Statuses whose rules are listed one by one below the table, each with its word."""

ISOLATION = {
    "namespace": "namespace: every address and name led to the harness",
    "proxy": "proxy isolation: HTTP clients that honour proxy variables only",
}

LATENCIES = (
    ("change_to_deny", "change to deny"),
    ("deny_to_end", "deny to end"),
    ("change_to_last_effect", "change to last effect"),
)


def target_summary(target: Mapping[str, Any], style: Style) -> list[str]:
    """One target of results.json."""
    name, profile = target.get("name", "?"), target.get("profile")
    runs = len(target.get("runs") or ())
    word = f"{runs} runs" if runs != 1 else "1 run"
    title = one_line(
        [
            f"profile {profile}" if profile else None,
            f"sweep {sweep}" if (sweep := target.get("sweep", "kinds")) != "kinds" else None,
            how_far(target) if target.get("interrupted") else word,
        ]
    )
    rows = list(target.get("rules") or ())
    return [
        f"{style.paint(name, 'bold')}  {style.paint(title, 'dim')}",
        *table(rows, style),
        *_told(rows, style, complete=bool(target.get("complete", True)), interrupted=bool(target.get("interrupted"))),
        *_latency(target.get("stop_latency") or {}, style),
        *_isolation(target, style),
        *_time(target, style),
        *_faults(target.get("fault_delivery") or {}, style),
        *_remarks(target, style),
        *_verdict(target, style),
    ]


def how_far(target: Mapping[str, Any]) -> str:
    """How much of an interrupted target was judged."""
    runs, planned = len(target.get("runs") or ()), target.get("planned_runs")
    if planned is None:
        return "interrupted before its fault-free runs were over"
    return f"interrupted after {runs} of {planned} runs"


def table(rows: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """Area by area, how many rules ended how."""
    areas: dict[str, dict[str, int]] = {}
    for row in rows:
        counts = areas.setdefault(row["id"].partition("/")[0], {})
        counts[row["status"]] = counts.get(row["status"], 0) + 1
    columns = [
        (heading, statuses, colour)
        for heading, statuses, colour in COLUMNS
        if heading not in OPTIONAL or any(counts.get(status) for counts in areas.values() for status in statuses)
    ]
    first = max([len(area) for area in areas] + [len("rules")]) + 2
    lines = [
        style.paint(
            "  " + " " * first + "".join(f"{heading:>{len(heading) + GAP}}" for heading, _, _ in columns), "dim"
        )
    ]
    for area, counts in areas.items():
        cells = ""
        for heading, statuses, colour in columns:
            number = sum(counts.get(status, 0) for status in statuses)
            width = len(heading) + GAP
            cells += (
                style.paint(f"{number:>{width}}", colour)
                if number
                else style.paint(f"{style.symbol('none'):>{width}}", "dim")
            )
        lines.append(f"  {area:<{first}}{cells}")
    return lines


def _told(rows: Iterable[Mapping[str, Any]], style: Style, *, complete: bool, interrupted: bool) -> list[str]:
    lines: list[str] = []
    listed = [(word, colour, row) for status, word, colour in TOLD for row in rows if row["status"] == status]
    if not complete:
        # What was left out on purpose is not worth a line for each rule.
        untouched = [row for _, _, row in listed if _is_untouched(row)]
        listed = [entry for entry in listed if entry[2] not in untouched]
        if untouched:
            left = "that no run had exercised by then" if interrupted else "that this selection does not exercise"
            text = f"{len(untouched)} rules {left}"
            lines += style.labelled("not run", text, column=16)
    for word, colour, row in listed:
        reason = row.get("reason") or _first_finding(row)
        text = f"{row['id']} ({row['level']})" + (f": {printable(reason)}" if reason else "")
        labelled = style.labelled(word, text, column=16)
        labelled[0] = labelled[0].replace(word, style.paint(word, colour), 1)
        lines += labelled
    return lines


def _is_untouched(row: Mapping[str, Any]) -> bool:
    return row["status"] == "inconclusive" and not row.get("runs") and not row.get("uncounted")


def _first_finding(row: Mapping[str, Any]) -> str | None:
    findings = row.get("findings") or ()
    if not findings:
        return None
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{findings[0]['message']}{more}"


def _latency(latency: Mapping[str, Any], style: Style) -> list[str]:
    if not latency.get("runs"):
        return []
    parts = []
    for key, words in LATENCIES:
        figures = latency.get(key) or {}
        if figures:
            parts.append(
                f"{words} {'/'.join(_seconds(figures.get(name)) for name in ('min', 'median', 'p95', 'max'))} s"
            )
    text = f"{'; '.join(parts)} (min/median/p95/max of {latency['runs']} runs)" if parts else f"{latency['runs']} runs"
    effects = one_line(
        [
            None
            if latency.get("effects_between_change_and_deny") is None
            else f"{latency['effects_between_change_and_deny']} between change and deny",
            None if latency.get("effects_after_deny") is None else f"{latency['effects_after_deny']} after a deny",
        ]
    )
    return style.labelled("stop latency", f"{text}; effects: {effects}" if effects else text, column=16)


def _seconds(figure: float | None) -> str:
    return "?" if figure is None else f"{figure:.2f}"


def _isolation(target: Mapping[str, Any], style: Style) -> list[str]:
    mode = target.get("isolation")
    if not mode:
        return []
    text = ISOLATION.get(mode, mode)
    if let_through := target.get("let_through"):
        text += f"; let through: {', '.join(map(printable, let_through))}"
    return style.labelled("isolation", text, column=16)


def _time(target: Mapping[str, Any], style: Style) -> list[str]:
    """At what speed the target was judged."""
    found = target.get("target_time") or {}
    if (because := found.get("real_because")) is not None:
        return style.labelled("time", f"real: {printable(because)}", column=16)
    fast = [run["speed"] for run in target.get("runs") or () if run.get("speed", 1) > 1]
    if not fast:
        return []
    text = f"up to {max(fast):.0f} times as fast as real time while the target waits"
    return style.labelled("time", text, column=16)


def _faults(delivery: Mapping[str, Any], style: Style) -> list[str]:
    """By whom each fault was delivered, where Toxiproxy was asked to."""
    if not delivery.get("server"):
        return []
    by = (("toxiproxy", printable(delivery["server"])), ("built-in", "the fake control plane itself"))
    told = [f"by {who}: {', '.join(delivery.get(key) or ()) or 'none'}" for key, who in by]
    return style.labelled("faults", "; ".join(told), column=16)


REMARKS = (("problems", "problem"), ("xfail_problems", "problem"), ("at_high", "note"))
"""Lists of sentences in a target's object, each with the word that stands before one."""

REMARKS_SHOWN = 4


def _remarks(target: Mapping[str, Any], style: Style) -> list[str]:
    lines: list[str] = []
    for key, word in REMARKS:
        texts = [printable(str(text)) for text in target.get(key) or ()]
        for text in texts[:REMARKS_SHOWN]:
            lines += style.labelled(word, text, column=16)
        if len(texts) > REMARKS_SHOWN:
            more = f"{style.symbol('dots')} and {len(texts) - REMARKS_SHOWN} more like it: all are in results.json"
            lines += style.labelled("", more, column=16)
    deadline = _deadline(target)
    return lines + (style.labelled("deadline", deadline, column=16) if deadline is not None else [])


def _deadline(target: Mapping[str, Any]) -> str | None:
    """After how long an answer that does not begin is given up, and what is likely to be set."""
    reads = [row for row in target.get("deadlines") or () if row["phase"] == "read"]
    validates = [row for row in reads if row["boundary"] != "register"]
    parts = [f"validate: {_each(validates)}"] if validates else []
    parts += [f"register: {_waits(row)}" for row in reads if row["boundary"] == "register"]
    if setting := target.get("deadline_setting"):
        parts.append(f"likely setting: {printable(setting)}")
    return "; ".join(parts) or None


def _each(rows: Sequence[Mapping[str, Any]]) -> str:
    """One figure where the boundaries do not differ by more than they do from run to run."""
    where = " and ".join(row["boundary"] for row in rows)
    measured = [row["seconds"] for row in rows if row["seconds"] is not None]
    if len(measured) == len(rows) and max(measured) - min(measured) <= max(row["error"] for row in rows):
        return f"{sum(measured) / len(measured):.1f} s without an answer at {where}"
    return "without an answer " + ", ".join(f"{_waits(row)} at {row['boundary']}" for row in rows)


def _waits(row: Mapping[str, Any]) -> str:
    return f"{row['seconds']:.1f} s" if row["seconds"] is not None else f"more than {row['at_least']:.0f} s"


def _verdict(target: Mapping[str, Any], style: Style) -> list[str]:
    verdict = target.get("verdict", "inconclusive")
    line = f"  {'verdict':<14}{style.paint(str(verdict).upper(), 'bold', VERDICT_COLOURS.get(verdict, 'yellow'))}"
    watched = (target.get("target_time") or {}).get("outages_watched")
    reservations = one_line(
        [
            ISOLATION["proxy"] if target.get("isolation") == "proxy" else None,
            None if watched is None else f"outages were watched for {watched:.0f} s",
        ]
    )
    return [f"{line} ({reservations})" if reservations else line]


def overall(finished: Mapping[str, Any] | None, targets: Sequence[Mapping[str, Any]], style: Style) -> list[str]:
    """The last lines.

    Completeness, verdict over all targets, where results.json is. ``finished`` is None when it never came.
    """
    if finished is None:
        return [style.paint("no verdict: the session did not finish", "bold", "yellow")]
    verdict = str(finished.get("verdict", "inconclusive"))
    complete = bool(finished.get("complete"))
    if complete:
        said = "complete"
    elif finished.get("interrupted"):
        far = [f"{target['name']} {how_far(target)}" for target in targets if target.get("interrupted")]
        said = f"incomplete: {', '.join(far)}; what was not run may hold a violation, so it cannot be conforming"
    else:
        said = "incomplete: not everything that the configuration asks for was run, so it cannot be conforming"
    each = one_line(f"{target['name']} {target['verdict']}" for target in targets) if len(targets) > 1 else ""
    lines = style.labelled("completeness", said, indent=0, column=14)
    if finished.get("results"):
        lines += style.labelled("results", str(finished["results"]), indent=0, column=14)
    painted = style.paint(verdict.upper(), "bold", VERDICT_COLOURS.get(verdict, "yellow"))
    return [*lines, f"{'verdict':<14}{painted}{f' ({each})' if each else ''}"]


def summary(targets: Sequence[Mapping[str, Any]], finished: Mapping[str, Any] | None, style: Style) -> list[str]:
    """The whole summary."""
    lines: list[str] = []
    for target in targets:
        lines += [*target_summary(target, style), ""]
    return [*lines, *overall(finished, targets, style)]
