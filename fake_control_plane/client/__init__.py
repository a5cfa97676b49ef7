"""A client of the admin port of ``fake-control-plane serve``: everything that the console can do, every fault, the live journal.

    with Client("http://127.0.0.1:8081") as client:
        made = client.create_org(plan="pro")
        client.add_fault("status=503 operation=validate first=2")
        client.revoke(made.org.id, ["worker:dev:queue-consumer:01"])

It knows the wire format only (docs/admin-api.md), and needs httpx: ``pip install 'machineid-conformance[serve]'``.
"""

from __future__ import annotations

from fake_control_plane.client.clients import AsyncClient, Client
from fake_control_plane.client.errors import (
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Refused,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from fake_control_plane.client.results import (
    Began,
    Clock,
    Code,
    Device,
    Devices,
    Dialect,
    Entry,
    FaultKind,
    FaultRule,
    Health,
    Journal,
    Missed,
    Org,
    OrgWithKey,
    Registered,
)

__all__ = [
    "AsyncClient", "Began", "Client", "ClientError", "Clock", "Code", "Conflict", "Device", "Devices", "Dialect", "Entry",
    "FaultKind", "FaultRule", "Forbidden", "Health", "Invalid", "Journal", "Missed", "NotFound", "Org", "OrgWithKey", "Refused",
    "Registered", "Unauthorized", "Unavailable", "UnexpectedAnswer", "Unreachable",
]  # fmt: skip
