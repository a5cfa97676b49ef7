"""The name does not resolve: NXDOMAIN (RFC 1035, 4.1.1, name error). requirements.md: ``fail-closed/dns``."""

from __future__ import annotations

from dataclasses import dataclass

from fake_control_plane.faults.api import ListenerFault


@dataclass(frozen=True, kw_only=True)
class NoName(ListenerFault):
    """Whoever answers DNS denies the control plane's names. Behind a proxy names are not looked up: it cannot occur."""

    name = "no-name"
    summary = "the control plane's name does not resolve"
    receipt = "the name was asked for and denied (where names are the fake's to answer: the harness's namespace)"
    example = "no-name"
    layer = "dns"
