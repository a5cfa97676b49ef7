"""The TLS handshake is cut after the ClientHello (RFC 8446, 4.1.2). requirements.md: ``fail-closed/tls``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fake_control_plane.faults.api import ListenerFault


@dataclass(frozen=True, kw_only=True)
class HandshakeCut(ListenerFault):
    """Whoever ends TLS closes the connection instead of a ServerHello."""

    name = "handshake-cut"
    summary = "the TLS handshake is cut after the ClientHello"
    receipt = "the ClientHello arrived, and the connection closed before the ServerHello"
    example = "handshake-cut"
    layer = "tls"

    @property
    def certificate(self) -> Literal["cut"]:
        """None is shown."""
        return "cut"
