"""The faults, found by scanning this folder: a new one is a new file with one subclass of ``Fault`` in it.

``make`` is the only door: it takes a name and parameters as a scenario writes them, and refuses what is not exact.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from fake_control_plane.faults.api import Fault
from fake_control_plane.faults.parameters import nearest

__all__ = ["kinds", "make", "names"]


def names() -> tuple[str, ...]:
    """The names of all faults, sorted."""
    return tuple(sorted(kinds()))


@cache
def kinds() -> Mapping[str, type[Fault]]:
    """Every fault's class by its name.

    Raises:
        ValueError: two files give the same name.
    """
    found: dict[str, type[Fault]] = {}
    for module in pkgutil.iter_modules(__path__):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        for kind in members:
            # A class of this very file, with a name: not one that the file imports, and not a base.
            if not (
                inspect.isclass(kind) and issubclass(kind, Fault) and kind.__module__ == f"{__name__}.{module.name}"
            ):
                continue
            name = getattr(kind, "name", None)
            if name is None:
                continue
            if name in found:
                raise ValueError(f"fault {name!r} is in two files: {found[name].__module__} and {kind.__module__}")
            found[name] = kind
    return found


def make(name: str, parameters: Mapping[str, Any]) -> Fault:
    """A fault with its parameters.

    Raises:
        ValueError: the fault or a parameter is unknown, one is missing, or a value is none of those expected. The
        message names the fault, the parameter, what came, what was expected, and the nearest known name.
    """
    known = kinds()
    if name not in known:
        raise ValueError(f"fault {name!r} is unknown{nearest(name, known)}; expected one of {', '.join(names())}")
    kind = known[name]
    for parameter in parameters:
        if parameter not in kind.parameters:
            expected = ", ".join(kind.parameters) or "none: this fault has no parameters"
            near = nearest(parameter, kind.parameters)
            raise ValueError(f"fault {name!r}: parameter {parameter!r} is unknown{near}; expected {expected}")
    for field in dataclasses.fields(cast("Any", kind)):
        if field.default is dataclasses.MISSING and field.name not in parameters:
            expected = kind.parameters[field.name]
            raise ValueError(f"fault {name!r}: parameter {field.name!r} is missing; expected {expected}")
    return cast("Callable[..., Fault]", kind)(**parameters)
