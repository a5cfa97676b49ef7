"""Finds out whether namespace isolation can be had here, by having one world and using it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import trustme

from machineid_conformance.isolation import namespace, remedies
from machineid_conformance.isolation.api import AllGone, Capability, IsolationError, MainExited, WorldSpec
from machineid_conformance.isolation.spawn import Spawner

ANYWHERE = ("203.0.113.7", 4443)  # RFC 5737: nobody's


async def probe(spawner: Spawner) -> Capability:
    """All of it once: namespaces, mounts, redirection, a process. Allowing ``unshare`` alone proves nothing (AppArmor, Docker)."""
    if sys.platform != "linux":
        return Capability(namespace=False, reasons=(remedies.NOT_LINUX,))
    with tempfile.TemporaryDirectory(prefix="machineid-probe-") as scratch:
        root = Path(scratch)
        for name in ("world", "cwd"):
            (root / name).mkdir()
        authority = root / "authority.pem"
        trustme.CA().cert_pem.write_to_path(str(authority))
        spec = WorldSpec(folder=root / "world", cwd=root / "cwd", command=("/bin/sh",), authority=authority)
        try:
            await _try(spec, spawner)
        except IsolationError as error:
            return Capability(namespace=False, reasons=(str(error),))
        except OSError as error:
            return Capability(namespace=False, reasons=(remedies.explain("the probe", error.errno or 0, str(error)),))
    return Capability(namespace=True, reasons=() if spawner.own_pids else (remedies.NO_OWN_PIDS,))


async def _try(spec: WorldSpec, spawner: Spawner) -> None:
    world = await namespace.open_world(spec, spawner=spawner)
    assert isinstance(world, namespace.NamespaceWorld)
    try:
        connected = await world.connect(*ANYWHERE, marked=False)
        if connected is None:
            raise IsolationError(remedies.explain("nf_tables", 0, f"a connect to {ANYWHERE[0]} was refused"))
        with connected, world.listeners[0].accept()[0] as accepted:
            destination = world.destination(accepted)
        if destination is None or (destination.host, destination.port) != ANYWHERE:
            raise IsolationError(remedies.explain("nf_tables", 0, f"the original destination is lost: {destination}"))
        await world.start(command=["/bin/sh", "-c", ": > written"], environment={})
        async with contextlib.aclosing(world.events()) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, MainExited) and event.code != 0:
                    raise IsolationError(
                        remedies.explain("the probe", 0, f"/bin/sh ended with {event.code or event.signal}")
                    )
                if isinstance(event, AllGone):
                    break
        if (spec.cwd / "written").exists():
            raise IsolationError(remedies.explain("the probe", 0, "a write inside reached the host"))
    finally:
        await world.close()
