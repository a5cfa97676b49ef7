"""A certificate that must be refused (RFC 5280, 6.1; RFC 9525, 6, for the name).

requirements.md: ``fail-closed/tls``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from fake_control_plane.faults.api import ListenerFault
from fake_control_plane.faults.parameters import check_choice


@dataclass(frozen=True, kw_only=True)
class Certificate(ListenerFault):
    """Whoever ends TLS shows it. A client that shakes hands all the same finds an allow there, which is no permit."""

    name = "certificate"
    summary = "the control plane shows a certificate that must be refused"
    receipt = "a TLS alert, a close in the handshake, or a request in spite of it"
    example = "certificate=expired"
    parameters: ClassVar[Mapping[str, str]] = {
        "kind": "untrusted (of another authority), expired, or wrong-name (of another host)"
    }
    layer = "tls"

    kind: Literal["untrusted", "expired", "wrong-name"]

    def __post_init__(self) -> None:
        check_choice(self, "kind", ("untrusted", "expired", "wrong-name"))

    @property
    def certificate(self) -> Literal["untrusted", "expired", "wrong-name"]:
        """Which one is shown."""
        return self.kind
