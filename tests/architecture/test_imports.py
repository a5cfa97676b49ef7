"""Who may know whom (ARCHITECTURE.md, Packages), read from the sources."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

import fake_control_plane
import machineid_conformance

HARNESS = Path(machineid_conformance.__file__).parent
FAKE = Path(fake_control_plane.__file__).parent
OURS = "machineid_conformance"


def modules(folder: Path) -> list[Path]:
    """The source files below a folder, without what is only data."""
    found = sorted(path for path in folder.rglob("*.py") if "examples" not in path.relative_to(folder).parts)
    assert found, folder
    return found


def name_of(path: Path) -> str:
    """A file's module name."""
    package = HARNESS if path.is_relative_to(HARNESS) else FAKE
    parts = (package.name, *path.relative_to(package).with_suffix("").parts)
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, wherever in it, and the line; ``from a import b`` may mean the module ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            yield node.lineno, node.module
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def within(name: str, packages: Collection[str]) -> bool:
    """Whether a module is one of these, or inside one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def forbidden(folder: Path, *, of: Collection[str]) -> list[str]:
    """The imports in a folder of these packages, each with its place."""
    return [
        f"{name_of(path)}:{line} imports {name}"
        for path in modules(folder)
        for line, name in imports(path)
        if within(name, of)
    ]


def test_the_fake_imports_nothing_of_the_harness() -> None:
    assert forbidden(FAKE, of=[OURS]) == []


def test_checkers_know_the_trace_and_the_target_alone() -> None:
    known = [f"{OURS}.judge", f"{OURS}.trace", f"{OURS}.config.model"]
    allowed = {*sys.stdlib_module_names}
    strangers = [
        f"{name_of(path)}:{line} imports {name}"
        for path in modules(HARNESS / "judge")
        for line, name in imports(path)
        if not within(name, known) and not within(name, allowed)
    ]
    assert strangers == []


def test_checkers_do_no_input_or_output() -> None:
    """Pure: no clock, no file, no socket, no process, no randomness."""
    impure = [
        "asyncio",
        "os",
        "random",
        "secrets",
        "select",
        "signal",
        "socket",
        "subprocess",
        "threading",
        "time",
        "uuid",
    ]
    assert forbidden(HARNESS / "judge", of=impure) == []


@pytest.mark.parametrize(
    ("package", "strangers"),
    [
        ("gateway", ["scenario", "engine", "judge", "report", "plugin", "cli", "session"]),
        ("isolation", ["gateway", "scenario", "engine", "judge", "report", "plugin", "cli", "session"]),
        (
            "toxics",
            ["gateway", "isolation", "trace", "scenario", "engine", "judge", "report", "plugin", "cli", "session"],
        ),
        ("trace", ["config", "gateway", "isolation", "scenario", "engine", "judge", "report"]),
        ("config", ["gateway", "isolation", "engine", "judge", "report"]),
        ("scenario", ["gateway", "isolation", "engine", "report", "trace"]),
        ("engine", ["report", "cli", "session", "replay", "plugin"]),
        ("report", ["gateway", "isolation", "cli", "plugin"]),
    ],
)
def test_a_package_does_not_know(package: str, strangers: list[str]) -> None:
    assert forbidden(HARNESS / package, of=[f"{OURS}.{stranger}" for stranger in strangers]) == []


def test_only_the_plugin_knows_pytest() -> None:
    knowing = {
        path.relative_to(HARNESS).as_posix()
        for path in modules(HARNESS)
        if any(within(name, ["pytest", "_pytest", "xdist"]) for _, name in imports(path))
    }
    assert all(path.startswith("plugin") for path in knowing), knowing
    of_the_fake = {
        path for path in modules(FAKE) if any(within(name, ["pytest", "_pytest"]) for _, name in imports(path))
    }
    assert of_the_fake == {FAKE / "pytest_plugin.py"}


def test_the_stub_of_the_plugin_imports_no_other_module_of_ours_by_itself() -> None:
    """What every pytest run of its users loads. (Inside functions it may: they are called with the flag.)"""
    tree = ast.parse((HARNESS / "plugin.py").read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in top if isinstance(node, ast.ImportFrom)}
    assert not any(within(name, [OURS, "fake_control_plane"]) for name in names), names


def test_only_the_declared_dependencies_are_imported() -> None:
    declared = {"httptools", "trustme", "cryptography", "idna", "yaml"}
    serving = "fake_control_plane.serving"
    # The module, or the package, and what an extra of pyproject.toml installs for it. Nothing else may need one.
    extras = {
        f"{OURS}.toxics.server": {"requests", "toxiproxy"},
        f"{serving}.admin": {"starlette", "prometheus_client"},
        f"{serving}.metrics": {"prometheus_client"},
        f"{serving}.server": {"uvicorn"},
        "fake_control_plane.cli.serve": {"uvloop"},
        "fake_control_plane.cli.completion": {"shtab"},
        "fake_control_plane.client.clients": {"httpx"},
        "fake_control_plane.verify.command": {"httpx"},
        "fake_control_plane.in_process.over_httpx": {"httpx", "httpcore", "respx"},
        "fake_control_plane.in_process.over_requests": {"requests", "urllib3", "responses"},
        "fake_control_plane.pytest_plugin": {"pytest", "respx", "responses"},
    }
    allowed = {*sys.stdlib_module_names, OURS, "fake_control_plane", *declared}
    strangers = [
        f"{name_of(path)}:{line} imports {name}"
        for folder in (HARNESS, FAKE)
        for path in modules(folder)
        if not (folder == HARNESS and path.name.startswith("plugin"))
        for line, name in imports(path)
        if name.partition(".")[0] not in allowed.union(*(extras[of] for of in extras if within(name_of(path), [of])))
    ]
    assert strangers == []
