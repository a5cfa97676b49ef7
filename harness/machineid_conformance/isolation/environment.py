"""The environment that a target starts with: what it needs and what is declared, and nothing else of the harness's own.

design.md, *Environment of the target*: an allowlist, so that no proxy, key or test runner's variable is inherited by accident.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from machineid_conformance.config.model import Target

ALLOWED = (
    "LANG", "LANGUAGE", "LC_*", "TZ", "TERM", "USER", "LOGNAME", "SHELL",
    "VIRTUAL_ENV", "CONDA_PREFIX", "PYENV_ROOT", "PYENV_VERSION", "PYTHONUSERBASE",
    "JAVA_HOME", "JDK_HOME", "SDKMAN_DIR",
    "NODE_PATH", "NVM_DIR", "NVM_BIN", "VOLTA_HOME", "FNM_DIR", "FNM_MULTISHELL_PATH", "COREPACK_HOME",
    "GOROOT", "GOPATH", "GOTOOLCHAIN", "RUSTUP_HOME", "CARGO_HOME", "GEM_HOME", "GEM_PATH", "DOTNET_ROOT",
    "ASDF_DIR", "ASDF_DATA_DIR", "MISE_DATA_DIR", "NIX_PROFILES", "NIX_SSL_CERT_FILE", "LD_LIBRARY_PATH",
    "SYSTEMROOT",
)  # fmt: skip
NEVER = ("*_PROXY", "*_proxy", "MACHINEID_*", "PYTEST_*", "COV_*", "COVERAGE_*")
"""Not even by a glob of ``pass_env`` that happens to match: ``env`` sets one on purpose."""
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PLACE = re.compile(r"\{(org_key|device|port|n)(?::(0?\d+))?\}")


def target_environment(
    target: Target,
    world_env: Mapping[str, str],
    *,
    org_key: str,
    device: str | None,
    port: int | None,
    n: int,
    inherited: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of one instance of ``target``.

    Later wins: the allowlist and ``pass_env``, what the world adds (``World.environment``), what the harness sets, ``env`` with
    ``{org_key}``, ``{device}``, ``{port}``, ``{n}`` (and ``{n:02}``) filled in. ``inherited`` is this process's own by default.
    """
    own = os.environ if inherited is None else inherited
    environment = {
        name: value
        for name, value in own.items()
        if _matches(name, (*ALLOWED, *target.pass_env)) and not (_matches(name, NEVER) and name not in target.pass_env)
    }
    environment["PATH"] = _path(own.get("PATH") or DEFAULT_PATH)
    environment.update(world_env)
    environment["MACHINEID_ORG_KEY"] = org_key
    environment["PYTHONUNBUFFERED"] = "1"
    if device is not None:
        environment["MACHINEID_DEVICE_ID"] = device
    if port is not None:
        environment["PORT"] = str(port)
    if target.base_url:
        host = target.control_plane[0] if target.control_plane else "machineid.io"
        environment["MACHINEID_BASE_URL"] = f"https://{host}"
    values: dict[str, str | int] = {
        "org_key": org_key,
        "device": device or "",
        "port": "" if port is None else str(port),
        "n": n,
    }
    environment.update({name: _fill(value, values) for name, value in target.env.items()})
    return environment


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return _any_of(globs).match(name) is not None


@functools.lru_cache(maxsize=64)
def _any_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    """One pattern in place of many: each run asks for some fifty globs of every variable that this process has."""
    return re.compile("|".join(map(fnmatch.translate, globs)))


def _path(inherited: str) -> str:
    """``python`` must be the interpreter that the harness is installed beside, whatever else is on the path."""
    first = str(Path(sys.executable).parent)
    return os.pathsep.join((first, *(part for part in inherited.split(os.pathsep) if part and part != first)))


def _fill(text: str, values: Mapping[str, str | int]) -> str:
    return PLACE.sub(
        lambda found: format(values[found[1]], found[2] or "") if found[1] == "n" else str(values[found[1]]), text
    )
