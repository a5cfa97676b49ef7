"""Effect rules that matched nothing: each is a mistake in the configuration until shown otherwise."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from machineid_conformance.config.model import Match, Target
from machineid_conformance.trace.events import EffectStarted

SELDOM = ("log", "release", "ignore")
"""Roles of effects that a target may have only after a refusal: a session that left runs out need not have seen them."""


def unmatched_rules(target: Target, effects: Sequence[EffectStarted], *, complete: bool) -> list[str]:
    """A sentence for each effect rule of the target that matched none of ``effects``, with the nearest request that was seen.

    ``complete``: no run was left out.
    """
    matched = {effect.rule for effect in effects}
    seen = sorted({effect.label for effect in effects} | {_request(effect) for effect in effects if effect.method})
    problems = []
    for number, rule in enumerate(target.effects):
        if number in matched or (rule.role in SELDOM and not complete):
            continue
        wanted = _words(rule.match)
        near = difflib.get_close_matches(wanted, seen, n=1, cutoff=0.0)
        problems.append(
            f"effects[{number}] of target {target.name!r} ({wanted}) matched nothing in any run; "
            + (f"the nearest request seen is {near[0]}" if near else "no effect was seen at all")
        )
    return problems


def _words(match: Match) -> str:
    """What a match looks for, as a request or connection would be written."""
    other = match.tcp or match.file or match.stdout or ("smtp" if match.smtp else None)
    if other is not None:
        return other
    body = f" with {match.body!r} in its body" if match.body else ""
    return f"{match.method or '*'} {match.host or '*'}{match.path or ''}{body}"


def _request(effect: EffectStarted) -> str:
    return f"{effect.method} {effect.host}{(effect.path or '').split('?')[0]}"
