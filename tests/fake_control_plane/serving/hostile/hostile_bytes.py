"""Bytes that nobody should send to a control plane: seeded, so that what went wrong goes wrong again."""

from __future__ import annotations

import json
from random import Random

SPLICES = (
    b"\r\n\r\n", b"\r\n", b"\n", b"\r", b"\0", b"\xff\xfe", b":", b" ", b"\t", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
    b"Content-Length: 0\r\n", b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999\r\n", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n", b"HTTP/1.0", b"HTTP/9.9", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"HEAD / HTTP/1.1\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"%00", b"../", b"\\ud800", b'{"deviceId":', b"[" * 2000, b"9" * 5000,
)  # fmt: skip


def validate(key: str, body: bytes = b'{"deviceId": "fuzzed"}', *, target: str = "/api/v1/devices/validate") -> bytes:
    """A request that is good."""
    head = (
        f"POST {target} HTTP/1.1\r\nHost: localhost\r\nx-org-key: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def chunked(key: str, *pieces: bytes) -> bytes:
    """A good request whose body comes in chunks; without its last chunk."""
    head = f"POST /api/v1/devices/validate HTTP/1.1\r\nHost: localhost\r\nx-org-key: {key}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def fuzzed(chance: Random, key: str) -> bytes:
    """One of: good requests with some bytes changed, cut, doubled or spliced in; random bytes; TLS records, good and bad."""
    kind = chance.random()
    if kind < 0.7:
        good = [
            validate(key),
            chunked(key, b'{"deviceId":', b' "fuzzed"}') + b"0\r\n\r\n",
            validate(key, target="/api/v1/devices/register"),
            f"GET /api/v1/devices/list HTTP/1.1\r\nHost: x\r\nx-org-key: {key}\r\n\r\n".encode(),
        ]
        return mutated(chance, b"".join(chance.choices(good, k=chance.randint(1, 5))))
    if kind < 0.85:
        return chance.randbytes(chance.randint(1, 3000))
    return mutated(chance, client_hello(chance)) if kind < 0.95 else tls_record(chance, chance.randbytes(200))


def mutated(chance: Random, data: bytes) -> bytes:
    """The bytes with one to eight changes."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            changed[at : at + 1] = chance.randbytes(1)
        elif kind == 1:
            changed[at:at] = chance.choice(SPLICES)
        elif kind == 2:
            del changed[at : at + chance.randint(1, 40)]
        else:
            changed[at:at] = changed[at : at + chance.randint(1, 200)]
    return bytes(changed)


def tls_record(chance: Random, payload: bytes) -> bytes:
    """A TLS record (RFC 8446, 5.1) of any type."""
    return (
        bytes([chance.choice((20, 21, 22, 23, 24, 99)), 3, chance.randrange(5)])
        + len(payload).to_bytes(2, "big")
        + payload
    )


def client_hello(chance: Random) -> bytes:
    """A ClientHello (RFC 8446, 4.1.2) without extensions."""
    body = b"\x03\x03" + chance.randbytes(32) + b"\x00" + b"\x00\x04\x13\x01\xc0\x2b" + b"\x01\x00"
    return b"\x16\x03\x01" + (len(body) + 4).to_bytes(2, "big") + b"\x01" + len(body).to_bytes(3, "big") + body


def heads(key: str) -> tuple[bytes, ...]:
    """Heads of 100 kB: one long header, many short ones, a long target, one that never ends."""
    start = f"POST /api/v1/devices/validate HTTP/1.1\r\nHost: localhost\r\nx-org-key: {key}\r\n".encode()
    long = b"x-long: " + b"a" * 100_000 + b"\r\n"
    many = b"".join(b"x-%d: a\r\n" % number for number in range(9_000))
    target = b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return start + long + b"\r\n", start + many + b"\r\n", target, start + long


def costly(key: str) -> tuple[bytes, ...]:
    """Good requests that are as much work as they can be within the limits: wide, deep, of long numbers, of many fields, headers."""
    wide = json.dumps({"deviceId": "a", "more": {str(number): number for number in range(1_000)}}).encode()
    deep = b'{"deviceId": ' + b"[" * 15_000
    digits = b'{"deviceId": "a", "more": [' + b",".join([b"9" * 4_000] * 4) + b"]}"
    query = "/api/v1/devices/validate?" + "&".join(f"a{number}=%41" for number in range(1_400)) + "&a=org_a"
    headers = b"".join(b"x-%d:\r\n" % number for number in range(1_600))
    many = validate(key).replace(b"\r\n\r\n", b"\r\n" + headers + b"\r\n", 1)
    return validate(key, wide), validate(key, deep), validate(key, digits), validate(key, target=query), many
