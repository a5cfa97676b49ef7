"""The certificates of ``--tls``: an authority that is of no use for anything else, and not for long.

Whoever trusts it trusts it for the control plane's names alone (name constraints: RFC 5280, 4.2.1.10) and for 24 hours. Its key
never leaves the memory; the server's goes to a temporary file of mode 600 for as long as OpenSSL takes to read it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fake_control_plane.certificates import Flaw, Issuer, general_name, make_leaf, server_context

NAMES = ("machineid.io", "localhost", "127.0.0.1", "::1")
"""What every server's certificate is for."""

LIFE = dt.timedelta(hours=24)
_WRONG = "another-host.machineid.io"  # within the constraints, so that the name is its only flaw
_SKEW = dt.timedelta(minutes=5)


class Certificates:
    """An authority and its server's certificates for ``NAMES`` and ``more`` names or addresses.

    Raises:
        ValueError: one is neither.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        self.names = tuple(dict.fromkeys((*NAMES, *more)))
        self._since = dt.datetime.now(dt.UTC) - _SKEW
        self._issuer = _authority(self.names, since=self._since)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[Flaw | None, ssl.SSLContext] = {}

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for a client's trust store."""
        return self._issuer.certificate.public_bytes(serialization.Encoding.PEM)

    def write(self, folder: Path) -> Path:
        """Write ``ca.pem`` into the folder, which is made if it is not there; returns its path. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "ca.pem"
        beside = folder / f".ca.pem.{os.getpid()}"
        beside.write_bytes(self.pem)
        beside.replace(path)  # a client never reads half of it
        return path

    def context(self, flaw: Flaw | None = None) -> ssl.SSLContext:
        """A server's context, with the one ``flaw`` if it is given."""
        found = self._contexts.get(flaw)
        if found is None:
            found = self._contexts[flaw] = self._make(flaw)
        return found

    def _make(self, flaw: Flaw | None) -> ssl.SSLContext:
        issuer = self._issuer
        if flaw == "untrusted":
            issuer = Issuer.of(trustme.CA(organization_name="another authority"))
        since, until = self._since, self._since + LIFE
        if flaw == "expired":
            since, until = since - LIFE, since
        names = [_WRONG] if flaw == "wrong-name" else self.names
        return server_context(make_leaf(issuer, self._key, names, since=since, until=until))


def _authority(names: Iterable[str], *, since: dt.datetime) -> Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "machineid-conformance fake control plane")])
    usage = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=False,
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        # Names and addresses are kinds of their own: a kind of which nothing is permitted would be free.
        .add_extension(
            x509.NameConstraints(permitted_subtrees=[_subtree(each) for each in names], excluded_subtrees=None),
            critical=True,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Issuer(certificate=certificate, key=key)


def _subtree(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_network(ipaddress.ip_address(name)))
    except ValueError:
        pass
    if not name or name.startswith(".") or any(character in name for character in "/:*@ "):
        raise ValueError(f"name for the certificate: got {name!r}; expected a host name or an address") from None
    return general_name(name)
