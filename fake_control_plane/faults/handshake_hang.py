"""The TLS handshake never goes on after the ClientHello: what a client calls its connect timeout ends it, or nothing does.

requirements.md: ``fail-closed/hang``. Nothing was sent yet, so a timeout that begins with the request never fires on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fake_control_plane.faults.api import ListenerFault
from fake_control_plane.faults.parameters import SECONDS, check_seconds


@dataclass(frozen=True, kw_only=True)
class HandshakeHang(ListenerFault):
    """Whoever ends TLS takes the ClientHello and sends not a byte, until the client gives up or is cut off."""

    name = "handshake-hang"
    summary = "the connection is accepted, and the TLS handshake never goes on after the ClientHello"
    receipt = "the client closed while it waited for the ServerHello, or it was cut off"
    example = "handshake-hang=30"
    parameters: ClassVar[Mapping[str, str]] = {"seconds": "target seconds above 0 until it is cut off (default 60)"}
    bounds: ClassVar[Mapping[str, Mapping[str, Any]]] = {"seconds": SECONDS}
    layer = "tls"

    seconds: float = 60.0

    def __post_init__(self) -> None:
        check_seconds(self, "seconds")

    @property
    def certificate(self) -> Literal["none"]:
        """None is ever shown."""
        return "none"

    @property
    def lasts(self) -> float:
        """Until it is cut off."""
        return self.seconds


def evidence(how: str | None, waited: float) -> str:
    """The receipt's words. ``how`` the client closed, None: it did not; ``waited`` in target seconds since the ClientHello."""
    if how is None:
        return f"the ClientHello arrived; no byte sent, cut off {waited:.3f} s after it"
    return f"the ClientHello arrived; the client closed ({how}) {waited:.3f} s after it, before any ServerHello"
