"""Which name stands behind an address: every name that a target looks up gets an address of its own."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable

POOL = ipaddress.IPv4Network("198.18.0.0/15")
"""RFC 2544: set aside for benchmarks, so no target means a real host by it."""

DEFAULT_PORTS = frozenset({80, 443})


class AddressBook:
    """Names and their addresses, both ways. The control plane's names share ``control_address``."""

    def __init__(self, control_plane: Iterable[str], control_address: str) -> None:
        self._control = tuple(normal(name) for name in control_plane)
        self._control_address = control_address
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}
        if self._control:
            self._names[control_address] = self._control[0]
        self._pool = (str(address) for address in POOL.hosts())

    def is_control_plane(self, name: str) -> bool:
        """Whether a host name is the control plane."""
        return normal(name) in self._control

    def address_of(self, name: str) -> str | None:
        """The IPv4 address of a name, given out at the first question; None when there are no more."""
        name = normal(name)
        if name in self._control:
            self._names[self._control_address] = name
            return self._control_address
        if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
            return "127.0.0.1"
        found = self._addresses.get(name)
        if found is None:
            found = next((address for address in self._pool if address != self._control_address), None)
            if found is not None:
                self._addresses[name] = found
                self._names[found] = name
        return found

    def name_of(self, address: str) -> str:
        """The name that was looked up to get an address, or the address itself."""
        address = plain(address)
        return self._names.get(address, address)


def normal(name: str) -> str:
    """A host name as names are compared: lower case, without the root's dot, an IPv6 address without its brackets."""
    return name.lower().rstrip(".").removeprefix("[").removesuffix("]")


def plain(address: str) -> str:
    """An address without an IPv4-in-IPv6 mapping or a zone."""
    return address.removeprefix("::ffff:").partition("%")[0] if "." in address or "%" in address else address


@functools.lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether a host is this machine's loopback, by name or by address."""
    host = normal(host)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(plain(host)).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=1024)
def is_address(host: str) -> bool:
    """Whether a host is an IP address and not a name."""
    try:
        ipaddress.ip_address(normal(host))
    except ValueError:
        return False
    return True


def split_authority(authority: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[v6]`` or ``[v6]:port``; a port that is no number counts as absent."""
    authority = authority.rpartition("@")[2]
    host, port = authority, ""
    if authority.startswith("["):
        host, _, port = authority.partition("]")
        port = port.removeprefix(":")
    elif authority.count(":") == 1:
        host, _, port = authority.partition(":")
    return normal(host), int(port) if port.isascii() and port.isdigit() else default_port
