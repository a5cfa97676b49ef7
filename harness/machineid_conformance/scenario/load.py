"""From YAML files to scenarios: the catalogue, and the user's own beside it."""

from __future__ import annotations

import glob
import re
import typing
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal

from machineid_conformance import resources
from machineid_conformance.config.errors import did_you_mean
from machineid_conformance.scenario import needs, steps
from machineid_conformance.scenario.errors import ScenarioError
from machineid_conformance.scenario.model import Scenario, Step, Sweep, Variant
from machineid_conformance.scenario.nodes import Located, compose

KEYS = ("id", "title", "rules", "sweep", "steps", "variants", "needs", "watch", "waits")
VARIANT_KEYS = ("id", "fault")
REQUIRED = ("id", "title", "rules")

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def load_catalogue(*, known_rules: Collection[str] | None = None) -> tuple[Scenario, ...]:
    """Every scenario that comes with the harness, by id, ``baseline`` first.

    Raises:
        ScenarioError: a file cannot be used.
    """
    paths = sorted(resources.scenarios().glob("*.yaml"), key=lambda path: path.stem)
    found = load_files(paths, bundled=True, known_rules=known_rules)
    return tuple(sorted(found, key=lambda scenario: scenario.id != "baseline"))


def load_globs(
    patterns: Sequence[str],
    folder: Path,
    *,
    known_rules: Collection[str] | None = None,
    taken: Sequence[Scenario] = (),
) -> tuple[Scenario, ...]:
    """The user's scenarios: globs relative to ``folder``, ``**`` for any depth. The ids of ``taken`` are taken.

    Raises:
        ScenarioError: a file cannot be used, a glob matches nothing, or an id stands twice.
    """
    paths: list[Path] = []
    for pattern in patterns:
        # Not Path.glob: a user may write an absolute pattern, which it refuses.
        found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
        matching = sorted(folder / name for name in found if (folder / name).is_file())
        if not matching:
            raise ScenarioError(f"the glob {pattern!r} of scenarios matches no file", path=folder)
        paths += (path for path in matching if path not in paths)
    return load_files(paths, bundled=False, known_rules=known_rules, taken=taken)


def load_files(
    paths: Iterable[Path],
    *,
    bundled: bool,
    known_rules: Collection[str] | None = None,
    taken: Sequence[Scenario] = (),
) -> tuple[Scenario, ...]:
    """The scenarios of these files, in this order; an id that stands twice is an error."""
    ids = {scenario.id: scenario for scenario in taken}
    found = []
    for path in paths:
        scenario = load_file(path, bundled=bundled, known_rules=known_rules)
        if scenario.id in ids:
            raise ScenarioError(
                f"id: {scenario.id!r} is taken by {ids[scenario.id].path}; expected another id", path=path
            )
        ids[scenario.id] = scenario
        found.append(scenario)
    return tuple(found)


def load_file(path: Path, *, bundled: bool = False, known_rules: Collection[str] | None = None) -> Scenario:
    """The scenario in ``path``; ``known_rules`` are the rule ids that exist (None: not checked).

    Raises:
        ScenarioError: the file cannot be read, or something in it cannot be used; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"byte {error.object[error.start]:#04x} is not UTF-8", path=path) from None
    except OSError as error:
        raise ScenarioError(f"cannot be read: {error.strerror}", path=path) from None
    document = compose(text, path)
    entries = document.mapping(KEYS, expected="a mapping: id, title, rules, steps")
    for key in REQUIRED:
        if key not in entries:
            raise document.error(f"has no {key}; expected {', '.join(REQUIRED)}")
    scenario = Scenario(
        id=_identifier(entries["id"]),
        title=entries["title"].text(),
        rules=_rules(entries["rules"], known_rules),
        sweep=_sweep(entries.get("sweep")),
        steps=_steps(entries.get("steps")),
        variants=_variants(entries.get("variants")),
        needs=_needs(entries.get("needs")),
        watch=_watch(entries.get("watch")),
        waits=entries["waits"].flag() if "waits" in entries else False,
        path=path,
        bundled=bundled,
    )
    _agrees(scenario, document, entries)
    return scenario


def _identifier(located: Located) -> str:
    text = located.text()
    if not _ID.fullmatch(text):
        raise located.wrong("an id of small letters, digits and single hyphens: revoke-at-boundary")
    return text


def _rules(located: Located, known: Collection[str] | None) -> tuple[str, ...]:
    rules = []
    for item in located.items(expected="a list of rule ids: [stop/next-boundary]"):
        rule = item.text()
        if known is not None and rule not in known:
            raise item.error(f"unknown rule {rule!r}; {did_you_mean(rule, known)}")
        if rule in rules:
            raise item.error(f"the rule {rule!r} stands here twice")
        rules.append(rule)
    if not rules:
        raise located.error("found no rule; expected at least one, which this scenario is judged by")
    return tuple(rules)


def _sweep(located: Located | None) -> Sweep:
    return typing.cast("Sweep", located.word(typing.get_args(Sweep))) if located is not None else "once"


def _steps(located: Located | None) -> tuple[Step, ...]:
    return tuple(map(steps.step, located.items(expected="a list of steps"))) if located is not None else ()


def _variants(located: Located | None) -> tuple[Variant, ...]:
    if located is None:
        return ()
    variants: list[Variant] = []
    for item in located.items(expected="a list of variants, each with id and fault"):
        entries = item.mapping(VARIANT_KEYS, expected="a variant with id and fault")
        for key in VARIANT_KEYS:
            if key not in entries:
                raise item.error(f"has no {key}; expected id and fault")
        identifier = _identifier(entries["id"])
        if identifier in (variant.id for variant in variants):
            raise entries["id"].error(f"the variant {identifier!r} stands here twice")
        name, parameters = steps.fault(entries["fault"])
        variants.append(Variant(id=identifier, fault=name, parameters=parameters))
    if not variants:
        raise located.error("is an empty list; leave it out, or name a variant")
    return tuple(variants)


def _needs(located: Located | None) -> tuple[str, ...]:
    if located is None:
        return ()
    return tuple(item.word(needs.WORDS) for item in located.items(expected="a list of needs"))


def _watch(located: Located | None) -> Literal["idle", "grace"] | float:
    if located is None:
        return "idle"
    if isinstance(located.plain(), str):
        return typing.cast("Literal['idle', 'grace']", located.word(("idle", "grace")))
    return located.number(expected="idle, grace, or target seconds above 0")


def _agrees(scenario: Scenario, document: Located, entries: dict[str, Located]) -> None:
    """What no entry shows alone: variants that nobody uses, ``each`` without a sweep, a sweep that binds nothing."""
    uses_variant = any(step.do.argument == steps.VARIANT for step in scenario.steps)
    if uses_variant and not scenario.variants:
        raise document.error("a step uses $variant, but there are no variants; expected a list of them")
    if scenario.variants and not uses_variant:
        raise entries["variants"].error("no step uses $variant; expected a step with do: { fault: $variant }")
    bound = False
    for index, step in enumerate(scenario.steps):
        if step.at.n != "each":
            continue
        at = f"steps[{index}].at"
        if scenario.sweep == "once":
            raise entries["steps"].error(f"{at}: n: each needs a sweep; write sweep: {step.at.subject}")
        if step.at.subject != scenario.sweep:
            raise entries["steps"].error(
                f"{at}: n: each stands at {step.at.subject}, but the sweep is over {scenario.sweep}; expected the same"
            )
        bound = True
    if scenario.sweep != "once" and not bound:
        raise entries["sweep"].error(
            f"no step has n: each, so the sweep over {scenario.sweep} binds nothing; expected one"
        )
