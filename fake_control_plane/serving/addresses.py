"""Sockets that are bound before anything is promised: a port in use is found out first."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any


class AddressError(Exception):
    """Nothing can listen there: which address, why, and what to do."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on this host."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int, *, option: str) -> list[socket.socket]:
    """Sockets on all addresses of a host, all with the same port; 0 takes a free one. ``option`` is named by the errors.

    Raises:
        AddressError: the port is in use, is not allowed, or the host is not of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise AddressError(f"{host!r} does not resolve: {error.strerror}; expected a host name or an address") from None
    addresses = sorted({(family, address) for family, _, _, _, address in found}, key=lambda item: item[0])
    sockets: list[socket.socket] = []
    with contextlib.ExitStack() as stack:
        for family, address in addresses:
            try:
                sock = stack.enter_context(bound(family, (address[0], port, *address[2:])))
            except OSError as error:
                if sockets and family == socket.AF_INET6:
                    continue  # localhost is ::1 too, where there is IPv6
                raise AddressError(_why(host, port, option, error)) from None
            port = sock.getsockname()[1]
            sockets.append(sock)
        stack.pop_all()
    return sockets


def bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    """A socket bound to this address. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock


def url(scheme: str, address: tuple[str, int]) -> str:
    """The URL of an address: one that listens on all of them is shown as the loopback's."""
    host, port = address
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"{scheme}://{shown}:{port}"


def _why(host: str, port: int, option: str, error: OSError) -> str:
    return f"cannot listen on {host} port {port}: {error.strerror}; choose another with {option}, or 0 for a free one"
