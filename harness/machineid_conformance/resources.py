"""Where the data files are: ``scenarios`` and ``reports``, in a checkout and in a wheel.

In a wheel they stand inside the package; in a checkout (an editable install) beside ``harness``, at the top of the
repository. Nothing else in the package knows the difference.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


class ResourceError(RuntimeError):
    """A data folder of the installation is missing: says where it was looked for, and what to do."""


def scenarios() -> Path:
    """The folder of the catalogue: one YAML file a scenario."""
    return folder("scenarios")


def reports() -> Path:
    """The folder of the reports' templates and schemas."""
    return folder("reports")


def schema(name: str) -> Path:
    """The JSON Schema called ``name``: config, scenario, trace, results or stream."""
    return _existing(reports() / "schema" / f"{name}.schema.json")


def folder(name: str, *, package: Path = PACKAGE) -> Path:
    """The data folder ``name`` of the package at ``package``.

    Raises:
        ResourceError: it is neither inside the package nor at the top of the checkout.
    """
    candidates = [package / name]
    # A checkout keeps the package in ``harness``. Without this test a site-packages folder that happens to hold
    # somebody else's ``reports`` two levels up would be taken for ours.
    if package.parent.name == "harness":
        candidates.append(package.parent.parent / name)
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    places = " nor ".join(str(candidate) for candidate in candidates)
    raise ResourceError(
        f"the folder {name!r} of machineid-conformance is neither at {places}: install the package again"
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ResourceError(f"{path} is missing: install machineid-conformance again")
    return path
