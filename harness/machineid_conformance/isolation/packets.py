"""What the world's loopback carries that no listener sees: refused connects, and datagrams.

A packet on the loopback passes twice; only its way out is looked at. The filter runs in the kernel, so that a large upload
does not push out the few packets that matter. At this point the answers of the redirected control plane already bear the
address and port that the target meant (the nat hook of the way out has run), so the RST of a refused connect names them.

Source: packet(7), linux/filter.h, RFC 9293 section 3.10.7.1 (the RST that answers a SYN to a closed port has sequence number 0).
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SKF_AD_PKTTYPE = 0xFFFFF000 + 4
SNAP = 128

DNS = 53


def _filter(dns_port: int) -> tuple[tuple[int, int, int, int], ...]:
    """The world's own questions for names, and their answers, have a listener: every look-up would wake the engine four times.

    (code, jump if true, jump if false, k); jumps count from the next instruction. ACCEPT is 21, DROP is 22.
    """
    return (
        (0x20, 0, 0, SKF_AD_PKTTYPE),  # 0  load the packet's direction
        (0x15, 0, 20, PACKET_OUTGOING),  # 1  not going out: drop
        (0x30, 0, 0, 0),  # 2  the version
        (0x74, 0, 0, 4),  # 3
        (0x15, 4, 0, 4),  # 4  IPv4: 9
        (0x15, 0, 16, 6),  # 5  not IPv6: drop
        (0x01, 0, 0, 40),  # 6  its header's length
        (0x30, 0, 0, 6),  # 7  its next header
        (0x15, 6, 13, socket.IPPROTO_UDP),  # 8  UDP: 15, else drop
        (0xB1, 0, 0, 0),  # 9  the header's length
        (0x30, 0, 0, 9),  # 10 its protocol
        (0x15, 3, 0, socket.IPPROTO_UDP),  # 11 UDP: 15
        (0x15, 0, 9, socket.IPPROTO_TCP),  # 12 not TCP: drop
        (0x50, 0, 0, 13),  # 13 the flags
        (0x45, 6, 7, 0x04),  # 14 RST: accept, else drop
        (0x48, 0, 0, 0),  # 15 the port of a datagram's sender
        (0x15, 5, 0, DNS),  # 16
        (0x15, 4, 0, dns_port),  # 17
        (0x48, 0, 0, 2),  # 18 and of its receiver
        (0x15, 2, 0, DNS),  # 19
        (0x15, 1, 0, dns_port),  # 20 drop, else accept
        (0x06, 0, 0, SNAP),  # 21 accept
        (0x06, 0, 0, 0),  # 22 drop
    )


def open_tap(dns_port: int) -> socket.socket:
    """A packet socket on this network namespace's loopback; needs CAP_NET_RAW in it. DNS, which is led to ``dns_port``, is not seen.

    Raises:
        OSError: the kernel refused.
    """
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    instructions = _filter(dns_port)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    tap.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(instructions), ctypes.addressof(buffer)))
    try:
        tap.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)
    except OSError:
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    tap.bind(("lo", ETH_P_ALL))
    return tap


def parse(packet: bytes, *, control_address: str) -> tuple[str, str, int, int] | None:
    """What a packet of the tap says.

    Returns:
        ``("refused", address, port, 0)`` for the RST that answers a connect to the control plane, ``("datagram", address,
        port, size)`` for UDP (size in bytes of payload), or None.
    """
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        length, protocol = (packet[0] & 15) * 4, packet[9]
        source, destination = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    elif len(packet) >= 40:
        length, protocol = 40, packet[6]
        source, destination = "", socket.inet_ntop(socket.AF_INET6, packet[24:40])
    else:
        return None
    transport = packet[length:]
    if protocol == socket.IPPROTO_TCP and len(transport) >= 14:
        port, _, sequence = struct.unpack_from("!HHI", transport)
        answers_a_connect = transport[13] & 0x14 == 0x14 and sequence == 0
        return ("refused", source, port, 0) if answers_a_connect and source == control_address else None
    if protocol == socket.IPPROTO_UDP and len(transport) >= 8:
        _, port, size = struct.unpack_from("!HHH", transport)
        return ("datagram", destination, port, size - 8)
    return None
