"""Makes a target trust the session's certificate authority: which files to write, and which to show in place of what.

Clients find their roots in four ways: a bundle of the system, a folder of certificates by subject hash (OpenSSL), a bundle that
a Python package brings along, a Java key store. All of them are given.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
)
FOLDER = "/etc/ssl/certs"
PACKAGED = (
    "certifi/cacert.pem",
    "pip/_vendor/certifi/cacert.pem",
    "botocore/cacert.pem",
    "httplib2/cacerts.txt",
    "stripe/data/ca-certificates.crt",
    "grpc/_cython/_credentials/roots.pem",
)
JAVA_STORES = ("/etc/ssl/certs/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts", "/etc/pki/java/cacerts")
JAVA_PASSWORD = "changeit"  # noqa: S105  (the one that every JVM tries)
PEM_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)


def subject_hash(certificate: x509.Certificate) -> str:
    """The name under which OpenSSL looks for a certificate in a folder (``openssl x509 -hash``).

    SHA-1 over the canonical encoding of the subject: the sequence of its relative names without the outer header, each value as
    a UTF8String in lower case with runs of spaces made one; the first four bytes, little-endian.
    Source: OpenSSL, crypto/x509/x_name.c (x509_name_canon), X509_NAME_hash_ex.
    """
    canonical = b""
    for relative in certificate.subject.rdns:
        members = []
        for attribute in relative:
            oid = _oid(attribute.oid.dotted_string)
            value = b" ".join(str(attribute.value).encode().split()).lower()  # of bytes: ASCII only, as OpenSSL does
            members.append(_der(0x30, oid + _der(0x0C, value)))
        canonical += _der(0x31, b"".join(sorted(members)))
    return f"{int.from_bytes(hashlib.sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"


def _der(tag: int, content: bytes) -> bytes:
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytearray()
    for number in (first * 40 + second, *rest):
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        content += bytes(reversed(septets))
    return _der(0x06, bytes(content))


@functools.lru_cache(maxsize=8)
def _rendered(pem: bytes) -> tuple[str, bytes, bytes]:
    certificate = x509.load_pem_x509_certificate(pem)
    entry = pkcs12.PKCS12Certificate(certificate, b"machineid-conformance")
    opened = BestAvailableEncryption(JAVA_PASSWORD.encode())
    # Its own store a JVM reads without a password: there the certificates must not be encrypted.
    named, own = (pkcs12.serialize_java_truststore([entry], how) for how in (opened, NoEncryption()))
    return subject_hash(certificate), named, own


def write_trust(authority: Path, folder: Path) -> None:
    """Fill ``folder``: ``ca.pem``; ``cacerts``, in place of a JVM's own; ``named.p12``, for a JVM's options; ``certs``, in place of
    /etc/ssl/certs.
    """
    pem = authority.read_bytes()
    name, named, own = _rendered(pem)
    certs = folder / "certs"
    (certs / "java").mkdir(parents=True)
    for path in (folder / "ca.pem", certs / "ca-certificates.crt", certs / "ca-bundle.crt", certs / f"{name}.0"):
        path.write_bytes(pem)
    (folder / "named.p12").write_bytes(named)
    for path in (folder / "cacerts", certs / "java" / "cacerts"):
        path.write_bytes(own)


def trust_binds(command: Sequence[str], cwd: Path) -> list[tuple[str, str]]:
    """(path below the trust folder, path inside the world) of everything that holds roots on this machine for this command."""
    binds = [("certs", FOLDER)] if Path(FOLDER).is_dir() else []
    binds += [("ca.pem", path) for path in BUNDLES if not path.startswith(f"{FOLDER}/") and Path(path).is_file()]
    binds += [("cacerts", path) for path in JAVA_STORES if not path.startswith(f"{FOLDER}/") and Path(path).is_file()]
    binds += [("cacerts", str(path)) for path in java_stores()]
    for interpreter in interpreters(command, cwd):
        binds += [("ca.pem", str(path)) for path in packaged_bundles(interpreter)]
    seen: dict[str, tuple[str, str]] = {}
    for source, target in binds:
        seen.setdefault(os.path.realpath(target), (source, target))
    return list(seen.values())


def java_stores() -> list[Path]:
    """The key stores of the Java that JAVA_HOME names and of the one on the path."""
    homes = [Path(home)] if (home := os.environ.get("JAVA_HOME")) else []
    if java := shutil.which("java"):
        homes.append(Path(os.path.realpath(java)).parent.parent)
    stores = [home / below for home in homes for below in ("lib/security/cacerts", "jre/lib/security/cacerts")]
    return [store for store in stores if store.is_file() and not os.path.realpath(store).startswith(f"{FOLDER}/")]


def interpreters(command: Sequence[str], cwd: Path, path: str | None = None) -> list[Path]:
    """The programs that may interpret the command: itself, what its first line names, and a Python that it passes on to."""
    found: list[Path] = []
    for word in command[:8]:
        if word.startswith("-"):
            continue
        program = _program(word, cwd, path)
        if program is None:
            continue
        found.append(program)
        found += [script for part in _shebang(program) if (script := _program(part, cwd, path)) is not None]
    return list(dict.fromkeys(found))


def _program(word: str, cwd: Path, path: str | None) -> Path | None:
    if "/" in word:
        program = Path(os.path.normpath(cwd / word))
        return program if program.is_file() else None
    located = shutil.which(word, path=path)
    return Path(located) if located else None


def _shebang(program: Path) -> list[str]:
    try:
        with program.open("rb") as file:
            first = file.readline(512)
    except OSError:
        return []
    if not first.startswith(b"#!"):
        return []
    return [
        word for word in first[2:].decode("utf-8", "replace").split() if not word.startswith("-") and "=" not in word
    ]


@functools.lru_cache(maxsize=64)
def packaged_bundles(interpreter: Path) -> tuple[Path, ...]:
    """The bundles that packages of this Python bring along: those of its virtualenv and of the installation behind it."""
    prefixes = {interpreter.parent.parent, Path(os.path.realpath(interpreter)).parent.parent}
    if virtual := os.environ.get("VIRTUAL_ENV"):
        prefixes.add(Path(virtual))
    packages: list[Path] = []
    for prefix in sorted(prefixes):
        for library in ("lib", "lib64", "local/lib"):
            for pattern in ("python3*/site-packages", "python3*/dist-packages", "python3/dist-packages"):
                packages += (prefix / library).glob(pattern)
    found = [folder / name for folder in packages for name in PACKAGED if (folder / name).is_file()]
    return tuple(dict.fromkeys(found))


def trust_environment(folder: str) -> Mapping[str, str]:
    """The variables by which clients find their roots; ``folder`` is the trust folder as the target sees it."""
    return dict.fromkeys(PEM_VARIABLES, f"{folder}/ca.pem")
