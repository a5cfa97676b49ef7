"""One ``[targets.NAME]`` table."""

from __future__ import annotations

import math
import re
import shlex
import typing
from collections.abc import Collection, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

from machineid_conformance.config import templates
from machineid_conformance.config.effects import EFFECT_KEYS, STIMULUS_KEYS, effect, is_loopback, stimulus
from machineid_conformance.config.errors import did_you_mean, shown
from machineid_conformance.config.model import ExpectedFailure, Isolation, Profile, Sweep, Target, Workdir
from machineid_conformance.config.table import Table, join, quoted

LATER_KINDS = {
    "image": "container images",
    "callable": "Python callables",
    "remote": "remote targets",
}
"""Kinds of target that the configuration format knows and this version cannot run."""

TARGET_KEYS = (
    "command", "cwd", "env", "pass_env", "device", "devices", "instances", "preregistered", "profile", "concurrency",
    "sweep", "horizon", "max_gap", "stop_within", "grace_window", "grace_window_real", "start_within", "run_within", "idle_after",
    "speed", "isolation", "passthrough", "allow_remote", "expose", "workdir", "setup", "teardown", "serial", "control_plane",
    "base_url", "strict", "logs", "bypass_env", "variants", "xfail", "effects", "stimulus",
)  # fmt: skip
XFAIL_KEYS = ("reason", "until")


def target(name: str, table: Table, *, folder: Path, known_rules: Collection[str] | None) -> Target:
    """The target called ``name``. Relative paths are relative to ``folder``."""
    defaults = Target(name=name, command=(), cwd=folder)
    instances = table.integer("instances", 1)
    device_templates = _devices(table, instances)
    stimulus_table = table.table("stimulus", STIMULUS_KEYS)
    found = Target(
        name=name,
        command=_command(table),
        cwd=_cwd(table, folder),
        env=table.strings("env"),
        pass_env=table.texts("pass_env"),
        devices=_expanded(device_templates, instances),
        device_templates=device_templates,
        instances=instances,
        preregistered=table.flag("preregistered"),
        profile=typing.cast("Profile", table.choice("profile", defaults.profile, typing.get_args(Profile))),
        concurrency=table.integer("concurrency", defaults.concurrency),
        sweep=typing.cast("Sweep", table.choice("sweep", defaults.sweep, typing.get_args(Sweep))),
        horizon=table.integer("horizon", defaults.horizon),
        max_gap=table.integer("max_gap", defaults.max_gap),
        stop_within=table.duration("stop_within", 0.0) if table.has("stop_within") else None,
        grace_window=table.duration("grace_window", defaults.grace_window),
        grace_window_real=table.duration("grace_window_real", defaults.grace_window_real),
        start_within=table.duration("start_within", defaults.start_within),
        run_within=table.duration("run_within", defaults.run_within),
        idle_after=table.duration("idle_after", defaults.idle_after),
        speed=_speed(table),
        isolation=typing.cast("Isolation", table.choice("isolation", defaults.isolation, typing.get_args(Isolation))),
        passthrough=_passthrough(table),
        allow_remote=table.flag("allow_remote"),
        expose=_expose(table),
        workdir=typing.cast("Workdir", table.choice("workdir", defaults.workdir, typing.get_args(Workdir))),
        setup=table.text("setup"),
        teardown=table.text("teardown"),
        serial=table.flag("serial"),
        control_plane=_control_plane(table, defaults.control_plane),
        base_url=table.flag("base_url"),
        strict=table.flag("strict"),
        logs=_logs(table),
        bypass_env=table.tables_of_strings("bypass_env"),
        variants=table.tables_of_strings("variants"),
        xfail=_xfail(table, known_rules),
        effects=tuple(effect(item) for item in table.tables("effects", EFFECT_KEYS)),
        stimulus=stimulus(stimulus_table) if stimulus_table is not None else None,
    )
    _agrees(found, table)
    return found


def _command(table: Table) -> tuple[str, ...]:
    for key, what in LATER_KINDS.items():
        if table.has(key):
            raise table.error(
                f"{what} are not available in this version", key, expected="command", hint="use command instead"
            )
    if not table.has("command"):
        raise table.error("has no command", expected='command = ["python", "worker.py"]')
    value = table.values["command"]
    if isinstance(value, str):
        try:
            parts = tuple(shlex.split(value))
        except ValueError as error:
            raise table.wrong("command", "a command line", hint=f"its quotes do not match ({error})") from None
    else:
        if not isinstance(value, list):
            raise table.wrong("command", 'a list of strings, or one string: ["python", "worker.py"]')
        for index, item in enumerate(value):
            if not isinstance(item, str):
                raise table.error(
                    f"found {shown(item)}", f"command[{index}]", expected="a string", hint="put it in quotes"
                )
        parts = tuple(value)
    if not parts or not parts[0].strip():
        raise table.wrong("command", "a program and its arguments")
    return parts


def _cwd(table: Table, folder: Path) -> Path:
    cwd = folder / (table.text("cwd", ".") or ".")
    if not cwd.is_dir():
        raise table.error(f"found {cwd}", "cwd", expected="a folder that exists, relative to the configuration file")
    return cwd.resolve()


def _devices(table: Table, instances: int) -> tuple[str, ...]:
    if table.has("device") and table.has("devices"):
        raise table.error("has both device and devices", expected="one of them")
    single = table.text("device")
    devices = (single,) if single is not None else table.texts("devices")
    key = "device" if single is not None else "devices"
    if table.has("devices") and not devices:
        raise table.wrong(
            "devices", "at least one device id", hint="leave it out to take the first registered one as declared"
        )
    for device in devices:
        if (odd := templates.left_over(device)) is not None:
            raise table.error(
                f"found {odd!r} in {device!r}", key, expected="a device id; only {n} and {n:02} may stand in braces"
            )
        if "n" in templates.words(device) and instances == 1:
            raise table.error(
                f"found {{n}} in {device!r}",
                key,
                expected="instances = 2 or more",
                hint="with one instance write the id out",
            )
    if len(set(devices)) < len(devices):
        raise table.wrong(key, "device ids that differ")
    return devices


def _expanded(device_templates: tuple[str, ...], instances: int) -> tuple[str, ...]:
    """Every id that the target may use, without repetition, those of instance 1 first."""
    filled = (templates.fill(device, n=n) for n in range(1, instances + 1) for device in device_templates)
    return tuple(dict.fromkeys(filled))


def _speed(table: Table) -> float | Literal["auto"]:
    value = table.values.get("speed", "auto")
    if value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value >= 1):
        raise table.wrong("speed", '"auto", 1, or a factor above 1')
    return float(value)


def _passthrough(table: Table) -> tuple[str, ...]:
    services = table.texts("passthrough")
    for index, service in enumerate(services):
        host, _, port = service.rpartition(":")
        where = f"passthrough[{index}]"
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise table.error(f"found {shown(service)}", where, expected='"host:port", such as "localhost:5432"')
        if not is_loopback(host) and not table.flag("allow_remote"):
            raise table.error(
                f"found {shown(service)}",
                where,
                expected="a service on this machine (localhost, 127.0.0.1, [::1])",
                hint="with allow_remote = true the target reaches other machines for real",
            )
    return services


def _expose(table: Table) -> tuple[str, ...]:
    paths = table.texts("expose")
    for index, path in enumerate(paths):
        if not path.startswith("/"):
            raise table.error(
                f"found {shown(path)}", f"expose[{index}]", expected='an absolute path, such as "/run/postgresql"'
            )
    return paths


def _logs(table: Table) -> tuple[str, ...]:
    globs = table.texts("logs")
    for index, glob in enumerate(globs):
        if glob.startswith(("/", "~")) or ".." in Path(glob).parts:
            raise table.error(
                f"found {shown(glob)}",
                f"logs[{index}]",
                expected="a glob relative to the target's working folder, and below it",
            )
    return globs


def _control_plane(table: Table, default: tuple[str, ...]) -> tuple[str, ...]:
    hosts = table.texts("control_plane", default)
    if not hosts:
        raise table.wrong("control_plane", "at least one host name")
    for index, host in enumerate(hosts):
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host):
            raise table.error(
                f"found {shown(host)}",
                f"control_plane[{index}]",
                expected='a host name without scheme, port and path: "machineid.io"',
            )
    return tuple(host.lower() for host in hosts)


def _xfail(table: Table, known_rules: Collection[str] | None) -> Mapping[str, ExpectedFailure]:
    rules = table.table("xfail", None)
    if rules is None:
        return {}
    expected: dict[str, ExpectedFailure] = {}
    for rule in rules.values:
        if known_rules is not None and rule not in known_rules:
            raise rules.error("unknown rule", quoted(rule), hint=did_you_mean(rule, known_rules))
        entry = Table(rules.values[rule], file=table.file, key=join(rules.key, quoted(rule)), known=XFAIL_KEYS)
        reason = entry.text("reason")
        if reason is None:
            raise entry.error("has no reason", expected='reason = "why this is known to fail"')
        expected[rule] = ExpectedFailure(reason=reason, until=_date(entry))
    return expected


def _date(entry: Table) -> date | None:
    value: Any = entry.values.get("until")
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise entry.wrong("until", "a day, such as 2027-01-31")


def _agrees(found: Target, table: Table) -> None:
    """What no value shows alone: words without a meaning here, and devices that are named but not declared."""
    texts = {"command": list(found.command), "env": list(found.env.values())}
    for key, values in texts.items():
        for word in frozenset[str]().union(*map(templates.words, values)):
            if word == "port" and found.stimulus is None:
                raise table.error("found {port}", key, expected="a stimulus table, which gives the target its port")
            if word == "device" and not found.devices:
                raise table.error("found {device}", key, expected="device, or devices, which says what stands there")
    declared = {*found.devices, *found.device_templates}
    for index, rule in enumerate(found.effects):
        if rule.device is not None and rule.device not in declared:
            raise table.error(
                f"found {shown(rule.device)}",
                f"effects[{index}].device",
                expected="a declared device" if declared else "devices, which declares it",
                hint=did_you_mean(rule.device, declared) if declared else None,
            )
    if found.idle_after > found.run_within:
        raise table.error(
            f"found {found.idle_after:g} s",
            "idle_after",
            expected=f"no more than run_within ({found.run_within:g} s): else no run could ever be seen to idle",
        )
