"""Just enough rtnetlink to make every address local: ``ip link set lo up``, ``ip route add local default dev lo``.

Source: rtnetlink(7), linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

NLMSG_ERROR = 2
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
RTM_NEWLINK, RTM_NEWROUTE = 16, 24
RTA_OIF, RTA_PREFSRC = 4, 7
RT_TABLE_LOCAL, RTPROT_BOOT, RTN_LOCAL = 255, 3, 2
RT_SCOPE_UNIVERSE, RT_SCOPE_HOST = 0, 254
IFF_UP = 0x1
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12


def attribute(kind: int, payload: bytes) -> bytes:
    """One netlink attribute, padded to four bytes."""
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + bytes(-length % 4)


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """One netlink message with its header."""
    return struct.pack("=IHHII", 16 + len(payload), kind, flags | NLM_F_REQUEST, sequence, 0) + payload


def exchange(sock: socket.socket, messages: bytes, acknowledgements: int, what: str) -> None:
    """Send messages and read their acknowledgements.

    Raises:
        OSError: the first error that the kernel answered with.
    """
    sock.sendto(messages, (0, 0))
    while acknowledgements > 0:
        data = sock.recv(65536)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind == NLMSG_ERROR:
                (code,) = struct.unpack_from("=i", data, 16)
                if code:
                    raise OSError(-code, os.strerror(-code), what)
                acknowledgements -= 1
            data = data[(length + 3) & ~3 :]


def every_address_is_local() -> bool:
    """Bring the loopback up and route all of IPv4 and IPv6 to it; returns whether there is IPv6.

    Raises:
        OSError: the kernel refused (no CAP_NET_ADMIN in this network namespace).
    """
    index = socket.if_nametoindex("lo")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_ROUTE) as sock:
        link = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP)
        exchange(sock, message(RTM_NEWLINK, NLM_F_ACK, 1, link), 1, "loopback up")
        for family, scope in ((socket.AF_INET, RT_SCOPE_HOST), (socket.AF_INET6, RT_SCOPE_UNIVERSE)):
            route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, scope, RTN_LOCAL, 0)
            route += attribute(RTA_OIF, struct.pack("=I", index))
            if family == socket.AF_INET:
                # Without it the source would be the destination itself, and answers from a wildcard socket would not
                # match what conntrack expects back from 127.0.0.1.
                route += attribute(RTA_PREFSRC, socket.inet_aton("127.0.0.1"))
            try:
                exchange(
                    sock, message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 2, route), 1, "default route"
                )
            except OSError as error:
                if family == socket.AF_INET6 and error.errno in {
                    errno.EAFNOSUPPORT,
                    errno.EOPNOTSUPP,
                    errno.EACCES,
                    errno.EINVAL,
                    errno.ENODEV,
                }:
                    return False  # a kernel without IPv6 has no IPv6 to escape by
                raise
    return True
