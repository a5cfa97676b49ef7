"""Connection refused: a SYN is answered with RST (RFC 9293, 3.10.7.1). requirements.md: ``fail-closed/refused``."""

from __future__ import annotations

from dataclasses import dataclass

from fake_control_plane.faults.api import ListenerFault


@dataclass(frozen=True, kw_only=True)
class Refuse(ListenerFault):
    """Whoever owns the listener closes it. Behind a proxy it is a CONNECT that is answered 502."""

    name = "refuse"
    summary = "the connect is refused"
    receipt = "the kernel answered a SYN with RST (harness: seen on the wire; serve: the listening socket is closed)"
    example = "refuse"
    layer = "tcp"
