"""The authority of ``--tls`` is of no use for another name, and not for long: what OpenSSL and Python say of it."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fake_control_plane.certificates import make_leaf, server_context
from fake_control_plane.serving.tls import LIFE, Certificates

SINCE = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)


def shake(certificates: Certificates, context: ssl.SSLContext, name: str) -> None:
    """A whole handshake in memory, by a client that trusts this authority alone."""
    client_context = ssl.create_default_context(cadata=certificates.pem.decode())
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = {client_context.wrap_bio(down, up, server_hostname=name), context.wrap_bio(up, down, server_side=True)}
    while sides:
        for side in tuple(sides):
            try:
                side.do_handshake()
                sides.discard(side)
            except ssl.SSLWantReadError:
                pass


def signed(certificates: Certificates, name: str) -> bytes:
    """Key and chain of a certificate for any name, signed with this authority's key: what a thief of it could make."""
    key = ec.generate_private_key(ec.SECP256R1())
    return make_leaf(certificates._issuer, key, [name], since=SINCE, until=SINCE + dt.timedelta(hours=1))


@pytest.mark.parametrize("name", ["machineid.io", "localhost", "127.0.0.1", "::1", "fake.staging.example", "192.0.2.7"])
def test_it_is_good_for_the_names_of_the_control_plane(name: str) -> None:
    certificates = Certificates(["fake.staging.example", "192.0.2.7"])
    shake(certificates, certificates.context(), name)


@pytest.mark.parametrize(
    "name", ["example.com", "machineid.io.example.com", "192.0.2.8", "10.0.0.1", "2001:db8::1", "io"]
)
def test_python_refuses_its_certificates_for_any_other_name(name: str) -> None:
    certificates = Certificates()
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shake(certificates, server_context(signed(certificates, name)), name)


@pytest.mark.parametrize(("name", "says"), [("machineid.io", None), ("example.com", "permitted subtree violation")])
def test_openssl_says_the_same(tmp_path: Path, name: str, says: str | None) -> None:
    certificates = Certificates()
    chain = x509.load_pem_x509_certificates(signed(certificates, name))
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(chain[0].public_bytes(serialization.Encoding.PEM))
    authority = certificates.write(tmp_path / "made" / "here")
    checked = subprocess.run(
        ["openssl", "verify", "-purpose", "sslserver", "-verify_hostname", name, "-CAfile", authority, leaf],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode == 0) == (says is None)
    assert says is None or says in checked.stdout + checked.stderr


def test_it_lives_for_a_day_and_signs_no_other_authority() -> None:
    authority = x509.load_pem_x509_certificate(Certificates().pem)
    assert authority.not_valid_after_utc - authority.not_valid_before_utc == LIFE == dt.timedelta(hours=24)
    assert authority.not_valid_after_utc < dt.datetime.now(dt.UTC) + LIFE
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    # A kind of name of which nothing is permitted would be free.
    permitted = constraints.value.permitted_subtrees or []
    assert {type(name) for name in permitted} == {x509.DNSName, x509.IPAddress}


def test_no_private_key_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's goes through a file for OpenSSL: made with mode 600, and gone when it is read."""
    modes: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def seen(context: ssl.SSLContext, file: str) -> None:
        modes.append(Path(file).stat().st_mode & 0o777)
        load(context, file)

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", seen)
    certificates = Certificates()
    certificates.write(tmp_path)
    certificates.context()
    assert modes == [0o600]
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


@pytest.mark.parametrize("name", ["", "*.example.com", ".example.com", "a/24", "10.0.0.0/8", "http://a"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="expected a host name or an address"):
        Certificates([name])
