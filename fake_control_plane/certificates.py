"""The session's certificate authority, and every certificate that a scenario needs: good, and wrong in one way each."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Flaw = Literal["untrusted", "expired", "wrong-name"]

WRONG_NAME = "another-host.invalid"
_DAY = dt.timedelta(days=1)


class Authority:
    """One certificate authority and its leaves, made when first asked for and kept.

    The leaves are made with ``cryptography``: ``trustme`` refuses host names with an underscore and cannot make a certificate
    that has expired. They share one key, which costs nothing here and saves most of the time.
    """

    def __init__(self) -> None:
        self._trusted = trustme.CA(organization_name="machineid-conformance session")
        self._stranger: trustme.CA | None = None
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._contexts: dict[tuple[str, Flaw | None], ssl.SSLContext] = {}

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for the trust stores of a target."""
        return self._trusted.cert_pem.bytes()

    def context_for(self, name: str, flaw: Flaw | None = None) -> ssl.SSLContext:
        """A server's context for a host name or an address, with the one ``flaw`` if it is given. ALPN: http/1.1 only."""
        found = self._contexts.get((name, flaw))
        if found is None:
            found = self._contexts[name, flaw] = self._make(name, flaw)
        return found

    def _make(self, name: str, flaw: Flaw | None) -> ssl.SSLContext:
        issuer = self._trusted
        if flaw == "untrusted":
            issuer = self._stranger = self._stranger or trustme.CA(organization_name="another authority")
        now = dt.datetime.now(dt.UTC)
        until = (
            now - _DAY if flaw == "expired" else now + 700 * _DAY
        )  # some platforms refuse leaves of more than 825 days
        names = [WRONG_NAME if flaw == "wrong-name" else name]
        return server_context(make_leaf(Issuer.of(issuer), self._key, names, since=now - 30 * _DAY, until=until))


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """A certificate authority's certificate and the key that signs in its name."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def of(cls, authority: trustme.CA) -> Self:
        """That of trustme."""
        key = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # what trustme makes by default
        return cls(certificate=x509.load_pem_x509_certificate(authority.cert_pem.bytes()), key=key)


def make_leaf(
    issuer: Issuer,
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    *,
    since: dt.datetime,
    until: dt.datetime,
) -> bytes:
    """Key, leaf and issuer as PEM. ``names``: host names and addresses."""
    authority = issuer.certificate
    authority_id = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "machineid-conformance gateway")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    return (
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
        + authority.public_bytes(serialization.Encoding.PEM)
    )


def server_context(chain: bytes) -> ssl.SSLContext:
    """A server's context of key and certificates as PEM. ALPN: http/1.1 only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 0  # a resumed session shows no certificate; and making two is a fifth of the handshake
    # load_cert_chain reads files only. A temporary one is made with mode 600, and is gone at once.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(chain)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def general_name(name: str) -> x509.GeneralName:
    """A host name or an address, as certificates write it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    return x509.DNSName(name)
