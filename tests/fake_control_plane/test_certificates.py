from __future__ import annotations

import ssl

import pytest

from fake_control_plane.certificates import Authority, Flaw

AUTHORITY = Authority()


def shake(name: str, flaw: Flaw | None = None, *, asks_for: str | None = None) -> ssl.SSLObject:
    """A whole handshake in memory: the client's side of it."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=AUTHORITY.pem.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(down, up, server_hostname=asks_for or name)
    server = AUTHORITY.context_for(name, flaw).wrap_bio(up, down, server_side=True)
    done: set[ssl.SSLObject] = set()
    while len(done) < 2:
        for side in (client, server):
            try:
                side.do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    return client


@pytest.mark.parametrize(
    "name",
    [
        "machineid.io",
        "my_service",
        "under_score.example",
        "127.0.0.1",
        "::1",
        "bücher.example",
        "a." + "b" * 60 + ".example",
    ],
)
def test_a_leaf_is_good_for_its_name_and_speaks_http_1_only(name: str) -> None:
    assert shake(name).selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ("untrusted", "unable to get local issuer|self.signed"),
        ("expired", "expired"),
        ("wrong-name", "[Hh]ostname mismatch"),
    ],
)
def test_each_flaw_is_the_one_that_a_client_sees(flaw: Flaw, says: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=says):
        shake("machineid.io", flaw)


def test_contexts_are_kept() -> None:
    assert AUTHORITY.context_for("a.example") is AUTHORITY.context_for("a.example")
    assert AUTHORITY.context_for("a.example") is not AUTHORITY.context_for("b.example")
    assert AUTHORITY.context_for("a.example", "expired") is not AUTHORITY.context_for("a.example")


def test_two_authorities_do_not_trust_each_other() -> None:
    assert Authority().pem != AUTHORITY.pem
    with pytest.raises(ssl.SSLCertVerificationError):
        shake("a.example", asks_for="b.example")
