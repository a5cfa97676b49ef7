from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
import struct
from email.message import EmailMessage

import pytest

from fake_control_plane import faults
from fake_control_plane.faults.api import ListenerFault
from machineid_conformance.config.model import EffectRule, Match
from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import (
    ConnectionClosed,
    ConnectionOpened,
    Diagnosed,
    EffectAborted,
    EffectAnswered,
    EffectStarted,
)
from tests.gateway._support import AUTHORITY, Scene, StubWorld, connected, http, request, run, target, trusting

# -- names ---------------------------------------------------------------------------------------------------------------


def name_server(world: StubWorld) -> None:
    world.dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    world.dns.bind(("127.0.0.1", 0))


def look_up(scene: Scene, name: str, kind: int = 1) -> tuple[int, list[str]]:
    assert scene.world.dns is not None
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.sendto(b"junk", scene.world.dns.getsockname())
        sock.sendto(query, scene.world.dns.getsockname())
        reply = sock.recv(1000)
    number, flags, questions, answers, _, _ = struct.unpack_from("!6H", reply)
    assert (number, flags & 0x8000, questions) == (7, 0x8000, 1)
    assert reply[12 : len(query)] == query[12:]
    return flags & 15, [socket.inet_ntoa(reply[-4:])] if answers else []


def test_every_name_has_an_address_of_its_own_and_the_address_its_name() -> None:
    async def script(scene: Scene) -> None:
        assert await scene.client(look_up, scene, "machineid.io") == (0, ["198.18.0.1"])
        code, first = await scene.client(look_up, scene, "Api.Example")
        assert (code, first) == (0, ["198.18.0.2"])
        assert await scene.client(look_up, scene, "api.example") == (0, first)
        assert await scene.client(look_up, scene, "db_1.internal") == (0, ["198.18.0.3"])
        assert await scene.client(look_up, scene, "api.example", 28) == (0, [])
        assert await scene.client(look_up, scene, "2.0.18.198.in-addr.arpa", 12) == (0, [])
        with connected(scene.port("db")) as sock:
            sock.sendall(b"\0hello")
            await scene.director.seen(EffectStarted)

    director = run(script, prepare=name_server, places={"db": Destination(host="198.18.0.3", port=5432)})
    assert [event.label for event in director.of(EffectStarted)] == ["tcp db_1.internal:5432"]
    assert [event.host for event in director.of(ConnectionOpened)] == ["db_1.internal"]


def test_a_name_that_does_not_resolve_is_receipted_once_a_look_up() -> None:
    async def script(scene: Scene) -> None:
        made = faults.make("no-name", {})
        assert isinstance(made, ListenerFault)
        scene.director.refusal = made
        for kind in (1, 28):
            assert (await scene.client(look_up, scene, "machineid.io", kind))[0] == 3
        assert (await scene.client(look_up, scene, "api.example"))[0] == 0
        await scene.director.until(lambda: scene.director.receipts)

    director = run(script, prepare=name_server, places={"db": Destination(host="198.18.0.3", port=5432)})
    assert [(connection, evidence) for _, connection, evidence in director.receipts] == [
        (None, "the question for machineid.io was answered NXDOMAIN")
    ]


# -- mail ----------------------------------------------------------------------------------------------------------------

MAIL = {
    "smtp": Destination(host="198.18.0.4", port=587),
    "smtps": Destination(host="198.18.0.4", port=465),
}
MAIL_RULE = EffectRule(match=Match(smtp=True), label="mail")


def message(subject: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", subject
    mail.set_content("Dear B,\n.\n..\nA\n")
    return mail


def mail_context() -> ssl.SSLContext:
    context = trusting()
    context.check_hostname = False
    return context


@pytest.mark.parametrize("how", ["plain", "starttls", "smtps"])
def test_a_mail_is_taken(how: str) -> None:
    async def script(scene: Scene) -> None:
        def send() -> None:
            if how == "smtps":
                client: smtplib.SMTP = smtplib.SMTP_SSL(
                    "127.0.0.1", scene.port("smtps"), context=mail_context(), timeout=10
                )
            else:
                client = smtplib.SMTP("127.0.0.1", scene.port("smtp"), timeout=10)
            with client:
                if how == "starttls":
                    client.starttls(context=mail_context())
                client.login("user", "word")
                client.send_message(message("one"))
                client.send_message(message("two"))

        await scene.client(send)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=MAIL, runtime=target(MAIL_RULE))
    first, second = director.of(EffectStarted)
    assert (first.transport, first.label, first.since) == ("smtp", "mail", director.of(ConnectionOpened)[0].seq)
    assert second.since is None
    assert [event.status for event in director.of(EffectAnswered)] == [250, 250]
    assert director.of(EffectAborted) == []


def test_a_mail_that_is_given_up_while_held_is_aborted() -> None:
    async def script(scene: Scene) -> None:
        scene.director.held = asyncio.Event()
        with connected(scene.port("smtp")):
            await scene.director.seen(EffectStarted)
        scene.director.held.set()
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=MAIL, runtime=target(MAIL_RULE))
    assert len(director.of(EffectAborted)) == 1
    assert director.effects_ended == [1]


# -- real services -------------------------------------------------------------------------------------------------------


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello ")
    writer.write(await reader.read())  # to the client's FIN
    writer.close()
    await writer.wait_closed()


def test_passthrough_relays_and_records() -> None:
    async def script(scene: Scene) -> None:
        def talk() -> bytes:
            with connected(scene.port("db")) as sock:
                assert sock.recv(6) == b"hello "
                sock.sendall(b"ping")
                sock.shutdown(socket.SHUT_WR)
                return bytes(sock.recv(100))

        assert await scene.client(talk) == b"ping"
        await scene.director.seen(ConnectionClosed)

    rule = EffectRule(match=Match(tcp="localhost:*"), role="read", label="database")

    async def play() -> None:
        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.to_thread(lambda: results.append(_relayed(port)))
        server.close()
        await server.wait_closed()

    def _relayed(port: int) -> object:
        return run(
            script,
            places={"db": Destination(host="127.0.0.1", port=port)},
            runtime=target(rule, passthrough=(f"localhost:{port}",)),
        )

    results: list[object] = []
    asyncio.run(play())
    (director,) = results
    events = director.events  # type: ignore[attr-defined]
    assert [type(event) for event in events] == [ConnectionOpened, EffectStarted, EffectAnswered, ConnectionClosed]
    assert (events[1].role, events[1].label, events[1].transport) == ("read", "database", "tcp")


def test_passthrough_of_one_request_to_a_proxy() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + head.splitlines()[0] + b" " + body)
        writer.close()
        await writer.wait_closed()

    async def script(scene: Scene) -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", port)
        async with server:
            data = http("PUT", f"localhost:{port}", f"http://localhost:{port}/k?v", body=b"value")
            reply = await scene.client(request, scene.port(), data)
        assert reply.endswith(b"PUT /k?v HTTP/1.1 value")

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    director = run(script, runtime=target(passthrough=(f"localhost:{port}",)))
    assert [effect.label for effect in director.of(EffectStarted)] == [f"tcp localhost:{port}"]
    assert len(director.of(EffectAnswered)) == 1


def test_a_service_that_is_not_there_is_diagnosed() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

        async def script(scene: Scene) -> None:
            def talk() -> None:
                with pytest.raises(ConnectionResetError), connected(scene.port("db")) as sock:
                    sock.recv(1)

            await scene.client(talk)
            await scene.director.seen(ConnectionClosed)

        director = run(
            script,
            places={"db": Destination(host="127.0.0.1", port=port)},
            runtime=target(passthrough=(f"127.0.0.1:{port}",)),
        )
    assert [event.problem for event in director.of(Diagnosed)] == ["passthrough"]
    assert [event.by for event in director.of(EffectAborted)] == ["harness"]


def test_the_certificate_authority_is_the_sessions() -> None:
    assert b"BEGIN CERTIFICATE" in AUTHORITY.pem
