"""The one nf_tables rule set of a world, loaded by netlink: no nft binary is needed.

As nft writes it::

    table inet machineid {
        chain output {
            type nat hook output priority -100
            meta mark MARK accept
            ip daddr CONTROL_ADDRESS tcp redirect to :CONTROL
            meta l4proto tcp redirect to :GATEWAY
            udp dport 53 redirect to :DNS
        }
    }

Source: linux/netfilter/nf_tables.h, nfnetlink.h.
"""

from __future__ import annotations

import socket
import struct

from machineid_conformance.isolation.netlink import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    attribute,
    exchange,
    message,
)

NESTED = 0x8000
NFPROTO_UNSPEC, NFPROTO_INET, NFPROTO_IPV4 = 0, 1, 2
SUBSYSTEM = 10 << 8
NEW_TABLE, NEW_CHAIN, NEW_RULE = SUBSYSTEM | 0, SUBSYSTEM | 3, SUBSYSTEM | 6
BATCH_BEGIN, BATCH_END = 0x10, 0x11
LOCAL_OUT, PRIORITY_DNAT = 3, -100
VERDICT_REGISTER, REGISTER_1 = 0, 1
META_MARK, META_NFPROTO, META_L4PROTO = 3, 15, 16
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
ACCEPT = 1
NLM_F_APPEND = 0x800

TABLE, CHAIN = b"machineid\0", b"output\0"


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value))


def _nest(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | NESTED, b"".join(parts))


def _expression(name: str, *parts: bytes) -> bytes:
    return _nest(1, attribute(1, name.encode() + b"\0"), _nest(2, *parts))


def _meta(key: int) -> bytes:
    return _expression("meta", _number(1, REGISTER_1), _number(2, key))


def _payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, REGISTER_1), _number(2, base), _number(3, offset), _number(4, length))


def _equals(value: bytes) -> bytes:
    return _expression("cmp", _number(1, REGISTER_1), _number(2, 0), _nest(3, attribute(1, value)))


def _accept() -> bytes:
    return _expression("immediate", _number(1, VERDICT_REGISTER), _nest(2, _nest(2, _number(1, ACCEPT))))


def _redirect(port: int) -> bytes:
    load = _expression("immediate", _number(1, REGISTER_1), _nest(2, attribute(1, struct.pack("!H", port))))
    return load + _expression("redir", _number(1, REGISTER_1))


def _message(kind: int, sequence: int, family: int, resource: int, *parts: bytes, flags: int = 0) -> bytes:
    return message(kind, flags, sequence, struct.pack("!BBH", family, 0, resource) + b"".join(parts))


def redirect_everything(*, mark: int, control_address: str, control: int, gateway: int, dns: int) -> None:
    """Load the rule set into this network namespace. Ports are those of the world's listeners.

    Raises:
        OSError: the kernel has no nf_tables, or a module of it is missing, or it refused.
    """
    is_tcp = _meta(META_L4PROTO) + _equals(bytes([socket.IPPROTO_TCP]))
    is_udp = _meta(META_L4PROTO) + _equals(bytes([socket.IPPROTO_UDP]))
    is_ipv4 = _meta(META_NFPROTO) + _equals(bytes([NFPROTO_IPV4]))
    to_control = _payload(NETWORK_HEADER, 16, 4) + _equals(socket.inet_aton(control_address))
    to_dns = _payload(TRANSPORT_HEADER, 2, 2) + _equals(struct.pack("!H", 53))
    rules = (
        _meta(META_MARK) + _equals(struct.pack("=I", mark)) + _accept(),
        is_ipv4 + to_control + is_tcp + _redirect(control),
        is_tcp + _redirect(gateway),
        is_udp + to_dns + _redirect(dns),
    )
    hook = _nest(4, _number(1, LOCAL_OUT), attribute(2, struct.pack("!i", PRIORITY_DNAT)))
    flags = NLM_F_ACK | NLM_F_CREATE
    batch = [
        _message(BATCH_BEGIN, 0, NFPROTO_UNSPEC, 10),
        _message(NEW_TABLE, 1, NFPROTO_INET, 0, attribute(1, TABLE), _number(2, 0), flags=flags),
        _message(
            NEW_CHAIN,
            2,
            NFPROTO_INET,
            0,
            attribute(1, TABLE),
            attribute(3, CHAIN),
            hook,
            attribute(7, b"nat\0"),
            flags=flags,
        ),
    ]
    batch += [
        _message(
            NEW_RULE,
            3 + number,
            NFPROTO_INET,
            0,
            attribute(1, TABLE),
            attribute(2, CHAIN),
            _nest(4, rule),
            flags=flags | NLM_F_APPEND,
        )
        for number, rule in enumerate(rules)
    ]
    batch.append(_message(BATCH_END, 99, NFPROTO_UNSPEC, 10))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER) as sock:
        sock.settimeout(10)  # an acknowledgement that never comes would hang the world's birth
        exchange(sock, b"".join(batch), 2 + len(rules), "nf_tables")
