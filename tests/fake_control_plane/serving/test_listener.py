"""Listener faults on a data port: connects that are refused, certificates that must be."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from fake_control_plane.serving.service import Service
from fake_control_plane.serving.tls import Certificates
from tests.fake_control_plane.serving.ports import Loop, Running, on_both_loops, refused, run, serving


def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificates.pem.decode())


@on_both_loops
def test_refuse_closes_the_socket_that_listens_and_removing_the_rule_opens_it_at_once(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            kept = await running.connect()
            assert (await kept.ask(kept.post("validate", "allowed"))).status == 200
            for _ in range(3):
                rule = running.service.add_fault("refuse")
                assert refused(running.port.address)
                if kept is not None:
                    assert await kept.rest() == b""  # a pool would not see the fault
                running.service.remove_fault(rule.id)
                assert not refused(running.port.address)
                kept = await running.connect()
                assert (await kept.ask(kept.post("validate", "allowed"))).status == 200

    run(loop, test())


@on_both_loops
def test_rules_that_come_and_go_in_one_turn_of_the_loop(loop: Loop) -> None:
    async def test() -> None:
        async with serving() as running:
            running.service.add_fault("refuse")
            running.service.clear_faults()
            running.service.add_fault("refuse")
            assert refused(running.port.address)
            running.service.clear_faults()
            client = await running.connect()
            assert (await client.ask(client.post("validate", "allowed"))).status == 200

    run(loop, test())


def test_a_rule_that_was_in_force_before_the_port_opened() -> None:
    async def test() -> None:
        service = Service()
        service.add_fault("refuse")
        async with serving(service=service) as running:
            assert refused(running.port.address)
            service.clear_faults()
            client = await running.connect()
            assert (await client.ask(client.post("validate", "allowed"))).status == 200

    run(asyncio.new_event_loop, test())


@pytest.mark.parametrize(("line", "says"), [("no-name", "answers no DNS"), ("certificate=expired", "--tls")])
def test_a_fault_of_a_layer_that_nobody_delivers_is_an_error_that_says_so(line: str, says: str) -> None:
    service = Service()
    with pytest.raises(ValueError, match=says):
        service.add_fault(line)
    assert service.faults() == ()


@on_both_loops
def test_tls(loop: Loop) -> None:
    certificates = Certificates()

    async def test() -> None:
        async with serving(tls=certificates) as running:
            for name in ("machineid.io", "localhost", "127.0.0.1"):
                client = await running.connect(tls=trusting(certificates), name=name)
                client.send(client.post("validate", "allowed"), client.post("validate", "revoked"))
                answers = [await client.response(), await client.response()]
                assert [answer.json["allowed"] for answer in answers] == [True, False]
                assert answers[0].headers["x-machineid-fake"] == "1"
            plain = await running.connect()
            answer = await plain.ask(plain.post("validate", "allowed"))
            assert (answer.status, answer.json["error"]) == (400, "bad_request")
            assert "https://" in answer.json["message"]

    run(loop, test())


@on_both_loops
@pytest.mark.parametrize(
    ("flaw", "says"),
    [
        ("untrusted", "unable to get local issuer|self.signed"),
        ("expired", "expired"),
        ("wrong-name", "Hostname mismatch"),
    ],
)
def test_a_certificate_that_must_be_refused_has_the_one_flaw(loop: Loop, flaw: str, says: str) -> None:
    certificates = Certificates()

    async def test() -> None:
        async with serving(tls=certificates) as running:
            rule = running.service.add_fault(f"certificate={flaw} nth=2")
            await shake_hands(running, certificates)
            with pytest.raises(ssl.SSLCertVerificationError, match=says):
                await shake_hands(running, certificates)
            await shake_hands(running, certificates)
            (entry,) = [entry for entry in await running.journaled(1) if entry.operation == "connect"]
            assert (entry.rule, entry.ending) == (rule.id, "gave-up")
            careless = ssl.create_default_context()
            careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
            running.service.clear_faults()
            running.service.add_fault(f"certificate={flaw}")
            client = await running.connect(tls=careless)
            assert (await client.ask(client.post("validate", "revoked"))).json["allowed"] is False
            met = [entry for entry in running.calls() if entry.operation == "connect"]
            assert met[-1].ending == "answered"
            assert met[-1].detail == "the client finished the handshake with that certificate and sent a request"

    run(loop, test())


async def shake_hands(running: Running, certificates: Certificates) -> None:
    client = await running.connect(tls=trusting(certificates))
    client.close()


@on_both_loops
def test_a_handshake_that_is_cut(loop: Loop) -> None:
    certificates = Certificates()

    async def test() -> None:
        async with serving(tls=certificates) as running:
            running.service.add_fault("handshake-cut")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shake_hands(running, certificates)
            (entry,) = await running.journaled(1)
            assert (entry.operation, entry.ending) == ("connect", "cut-off")

    run(loop, test())


@on_both_loops
@pytest.mark.parametrize("ending", ["gave-up", "cut-off"])
def test_a_handshake_that_never_goes_on(loop: Loop, ending: str) -> None:
    """Neither the client's patience nor the harness's is the limit on a head that is slow to come."""
    certificates = Certificates()

    async def test() -> None:
        async with serving(tls=certificates) as running:
            running.service.add_fault(f"handshake-hang={30 if ending == 'gave-up' else 0.05}")
            with pytest.raises((ssl.SSLError, ConnectionError, TimeoutError)):
                async with asyncio.timeout(0.2 if ending == "gave-up" else 30):
                    await shake_hands(running, certificates)
            (entry,) = await running.journaled(1)
            assert (entry.operation, entry.ending) == ("connect", ending)
            assert entry.detail is not None
            assert entry.detail.startswith("the ClientHello arrived; ")

    run(loop, test())
