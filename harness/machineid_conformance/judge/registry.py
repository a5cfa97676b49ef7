"""Finds the rules: every module of ``judge/rules`` exposes ``RULES``; a new rule is a new file and nothing else."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType, ModuleType

from machineid_conformance.judge import rules as package
from machineid_conformance.judge.api import Rule

AREAS = ("identity", "startup", "placement", "stop", "fail-closed", "degraded", "restore", "logging")
"""In the order of docs/rules.md. Rules of another area, a user's own say, come after these, by name."""

_ID = re.compile(r"[a-z]+(?:-[a-z]+)*/[a-z0-9]+(?:-[a-z0-9]+)*")
_ROW = ("level", "statement", "applies_when", "source", "remedy")
_LEVELS = ("MUST", "SHOULD", "report")


class RegistryError(Exception):
    """A rule file that cannot be used: says which, what is wrong with it and what was expected."""


def rules() -> Mapping[str, Rule]:
    """Every rule by its id, in the order of the areas, and within an area as its modules and ``RULES`` have them.

    Raises:
        RegistryError: a module has no ``RULES``, an id is no ``area/name``, a row is incomplete, or an id is taken twice.
    """
    return collect(
        importlib.import_module(f"{package.__name__}.{found.name}")
        for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda module: module.name)
        if not found.name.startswith("_")
    )


def collect(modules: Iterable[ModuleType]) -> Mapping[str, Rule]:
    """The rules of some modules; see ``rules``."""
    found: dict[str, Rule] = {}
    homes: dict[str, str] = {}
    for module in modules:
        for rule in _rules_of(module):
            _check(rule, module.__name__)
            if rule.id in found:
                raise RegistryError(f"{module.__name__}: rule {rule.id} stands in {homes[rule.id]} already")
            found[rule.id], homes[rule.id] = rule, module.__name__
    return MappingProxyType(dict(sorted(found.items(), key=lambda item: _place(item[0]))))


def _rules_of(module: ModuleType) -> tuple[Rule, ...]:
    rules_here = getattr(module, "RULES", None)
    if not isinstance(rules_here, tuple) or not all(isinstance(rule, Rule) for rule in rules_here):
        raise RegistryError(f"{module.__name__}: expected RULES, a tuple of Rule instances, found {rules_here!r}")
    return rules_here


def _check(rule: Rule, module: str) -> None:
    name = getattr(rule, "id", None)
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise RegistryError(f"{module}: expected an id like area/name, found {name!r}")
    missing = [field for field in _ROW if not getattr(rule, field, None)]
    if missing:
        raise RegistryError(f"{module}: rule {name} lacks {', '.join(missing)}")
    if rule.level not in _LEVELS:
        raise RegistryError(f"{module}: rule {name}: expected a level of {', '.join(_LEVELS)}, found {rule.level!r}")


def _place(rule: str) -> tuple[int, str, int]:
    area, name = rule.split("/")
    if area not in AREAS:
        return len(AREAS), area, 0
    return AREAS.index(area), "", _ORDER.get(name, len(_ORDER))


# The order of the rows within an area; a rule that stands in no table comes last, by its module's name.
_ORDER = {
    name: place
    for place, name in enumerate(
        (
            *("register-first", "declared-device", "per-replica", "readable", "no-secrets", "self-authorization"),
            *("gate", "denied", "cap", "unreachable"),
            *("in-run", "task", "side-effect", "tool-call", "llm-call", "handoff", "awaited", "resume", "coverage"),
            *("next-boundary", "exposure", "latency", "exits", "exit-status", "no-orphans", "surgical"),
            *("refused", "dns", "reset", "hang", "late-allow", "slow-body", "tls", "server-error", "client-error"),
            *("not-json", "truncated", "no-decision", "contradiction", "redirect", "not-boolean", "short-timeout"),
            *("one-policy", "no-work", "no-grace", "no-flags", "fresh-allow", "flapping", "no-hammering"),
            *("resumes", "register-is-not-restore", "org-disable-keeps-devices"),
            *("request-id", "code", "failure", "failure-reason", "device-id", "boundary", "structured"),
        )
    )
}
