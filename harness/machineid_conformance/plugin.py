"""The pytest plugin as every pytest run of its users loads it: options and a marker, and nothing else.

All that works is in ``plugin_session`` and is imported only with ``--machineid-conformance``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import pytest

MODES = ("only", "with-tests")
MARKER = "machineid_conformance: one scenario, or the verdict, of a target that is judged for MachineID conformance"


class _Mode(argparse.Action):
    """``--machineid-conformance`` with or without ``=MODE``.

    A path that follows it is not its value but a test to select.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option: str | None = None,
    ) -> None:
        value = "only" if values is None else str(values)
        if value not in MODES:
            if not any(sign in value for sign in ("/", "::", ".")):
                parser.error(f"argument {option}: found {value!r}; expected one of {', '.join(MODES)}")
            namespace.machineid_paths = [value]
            value = "only"
        setattr(namespace, self.dest, value)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of design.md, Command line."""
    group = parser.getgroup("machineid-conformance", "MachineID conformance")
    group.addoption(
        "--machineid-conformance",
        action=_Mode,
        nargs="?",
        default=None,
        metavar="only|with-tests",
        help="judge the configured targets; only (the default): and collect no other test",
    )
    group.addoption(
        "--machineid-config",
        metavar="FILE",
        help="default: machineid-conformance.toml, or pyproject.toml, in the rootdir",
    )
    group.addoption("--machineid-command", metavar="COMMAND", help="judge this command, without a configuration")
    group.addoption(
        "--machineid-device", metavar="ID", help="the command's device; default: the first that it registers"
    )
    group.addoption(
        "--machineid-target", action="append", default=[], metavar="NAME", help="only this target; may be repeated"
    )
    group.addoption(
        "--machineid-rule", action="append", default=[], metavar="GLOB", help="only what exercises these rules"
    )
    group.addoption("--machineid-scenario", action="append", default=[], metavar="GLOB", help="only these scenarios")
    group.addoption(
        "--machineid-boundary", type=int, metavar="N", help="only the runs pinned to the N-th boundary or effect"
    )
    group.addoption("--machineid-variant", metavar="ID", help="only this variant of each scenario's fault")
    group.addoption(
        "--machineid-environment",
        type=int,
        metavar="N",
        help="only the runs under the N-th environment of bypass_env or variants",
    )
    group.addoption("--machineid-profile", metavar="PROFILE", help="low, medium or high: override the targets' profile")
    group.addoption("--machineid-jobs", type=int, metavar="N", help="runs at a time; default: from the cores")
    group.addoption("--machineid-speed", metavar="N", help="1, a factor, or auto")
    group.addoption(
        "--machineid-isolation", metavar="MODE", help="auto, namespace or proxy: override the targets' isolation"
    )
    group.addoption(
        "--machineid-faults",
        choices=("built-in", "toxiproxy"),
        help="who delivers the network faults: the harness itself (default), or a Toxiproxy server",
    )
    group.addoption("--machineid-strict", action="store_true", default=False, help="a SHOULD that fails is a failure")
    group.addoption(
        "--machineid-report", metavar="DIR", help="where results and traces go; default: .machineid-conformance"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and what works if it was asked for."""
    config.addinivalue_line("markers", MARKER)
    if config.getoption("machineid_conformance") is not None:
        from machineid_conformance.plugin_session import ConformancePlugin  # noqa: PLC0415  (see the module's docstring)

        config.pluginmanager.register(ConformancePlugin(config), "machineid-conformance-session")
