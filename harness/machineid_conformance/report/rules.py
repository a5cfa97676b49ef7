"""What the rules say, for people: the table of ``rules``, the page of ``explain``, the text beside a failure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from machineid_conformance.judge.api import Rule
from machineid_conformance.report.failure import RuleText
from machineid_conformance.report.style import Style
from machineid_conformance.scenario.model import Scenario


def texts(rules: Mapping[str, Rule]) -> dict[str, RuleText]:
    """The words of every rule."""
    return {
        name: RuleText(id=name, level=rule.level, statement=rule.statement, source=rule.source, remedy=rule.remedy)
        for name, rule in rules.items()
    }


def table(rules: Mapping[str, Rule], style: Style) -> list[str]:
    """Every rule with its level and what it says, by area."""
    column = max((len(name) for name in rules), default=0) + 2
    lines: list[str] = []
    area = ""
    for name, rule in rules.items():
        if name.partition("/")[0] != area:
            area = name.partition("/")[0]
            lines += ["", style.paint(area, "bold")] if lines else [style.paint(area, "bold")]
        lines += style.labelled(f"{name:<{column}}{rule.level}", rule.statement, column=column + 9)
    return lines


def page(rule: Rule, scenarios: Iterable[Scenario], style: Style) -> list[str]:
    """One rule in full."""
    exercising = [scenario for scenario in scenarios if rule.id in scenario.rules]
    lines = [f"{style.paint(rule.id, 'bold')}  {rule.level}"]
    lines += style.labelled("says", rule.statement, column=16)
    lines += style.labelled("applies when", rule.applies_when or "always", column=16)
    lines += style.labelled("source", rule.source, column=16)
    lines += style.labelled("remedy", rule.remedy, column=16)
    lines.append("")
    if rule.always:
        lines += style.labelled("judged on", "every run", column=16)
    if exercising:
        lines.append("  exercised by")
        column = max(len(scenario.id) for scenario in exercising) + 6
        for scenario in exercising:
            lines += style.labelled(scenario.id, scenario.title, indent=4, column=column)
    elif not rule.always:
        lines += style.labelled("exercised by", "no scenario of this catalogue", column=16)
    return lines


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known: the nearest ones."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"; nearest: {', '.join(near)}" if near else ""
