from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct

import pytest

from fake_control_plane import faults
from fake_control_plane.answers import Answer
from fake_control_plane.faults.api import AnswerFault, ListenerFault
from fake_control_plane.faults.redirect import REDIRECT_HOST
from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import (
    ConnectionClosed,
    ConnectionOpened,
    Diagnosed,
    EffectStarted,
    RedirectFollowed,
)
from tests.gateway._support import DENY, KEY, Scene, connected, http, read_all, request, run, target, trusting, validate

CONTROL = {
    "https": Destination(host="198.18.0.1", port=443),
    "http": Destination(host="198.18.0.1", port=80),
    "other": Destination(host="198.18.0.7", port=443),
}


def fault(name: str, **parameters: object) -> AnswerFault:
    made = faults.make(name, parameters)
    assert isinstance(made, AnswerFault)
    return made


def refusal(name: str, **parameters: object) -> ListenerFault:
    made = faults.make(name, parameters)
    assert isinstance(made, ListenerFault)
    return made


def ask(scene: Scene, data: bytes | None = None) -> bytes:
    return request(scene.port("https"), data or validate(), server_name="machineid.io")


def body_of(answer: bytes) -> dict[str, object]:
    body: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


def test_a_validate_is_ruled_on_and_receipted() -> None:
    async def script(scene: Scene) -> None:
        scene.director.answers = [DENY]
        answer = await scene.client(ask, scene)
        assert body_of(answer)["allowed"] is False
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=CONTROL)
    (call,) = director.calls
    assert (call.operation, call.device, call.key) == ("validate", "worker:01", KEY)
    ((_, receipt),) = director.ended
    assert (receipt.delivered, receipt.ending, receipt.answer) == (True, "answered", DENY)
    assert [type(event) for event in director.events] == [ConnectionOpened, ConnectionClosed]
    opened = director.of(ConnectionOpened)[0]
    assert (opened.host, opened.port) == ("machineid.io", 443)


def test_calls_share_a_connection_unless_the_ruling_says_close() -> None:
    async def script(scene: Scene) -> None:
        data = validate(close=False) + validate(device="worker:02")
        answer = await scene.client(ask, scene, data)
        assert answer.count(b'"allowed": true') == 2
        scene.director.close = True
        answer = await scene.client(ask, scene, validate(close=False))
        assert b"Connection: close\r\n" in answer

    director = run(script, places=CONTROL)
    assert [call.device for call in director.calls] == ["worker:01", "worker:02", "worker:01"]
    assert len(director.of(ConnectionOpened)) == 2


def test_a_body_in_chunks_and_after_100_continue() -> None:
    async def script(scene: Scene) -> None:
        head = (
            f"POST /api/v1/devices/register HTTP/1.1\r\nHost: machineid.io\r\nx-org-key: {KEY}\r\nConnection: close\r\n"
            "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
        ).encode()

        def ask_slowly() -> bytes:
            with connected(scene.port("https"), server_name="machineid.io") as sock:
                sock.sendall(head)
                assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
                sock.sendall(b'c\r\n{"deviceId":\r\n7\r\n "d:1"}\r\n0\r\n\r\n')
                return read_all(sock)

        await scene.client(ask_slowly)

    (call,) = run(script, places=CONTROL).calls
    assert (call.operation, call.device) == ("register", "d:1")


def test_a_client_that_gives_up_while_it_is_held_is_told_of_with_the_time() -> None:
    async def script(scene: Scene) -> None:
        scene.director.ruling_held = asyncio.Event()
        with socket.create_connection(("127.0.0.1", scene.port("http"))) as sock:
            sock.sendall(validate())
            await scene.director.until(lambda: scene.director.calls)
        await scene.director.pause(5)
        scene.director.ruling_held.set()
        await scene.director.until(lambda: scene.director.ended)

    ((_, receipt),) = run(script, places=CONTROL).ended
    assert (receipt.delivered, receipt.ending, receipt.answer) == (False, "gave-up", None)
    assert receipt.waited < 4


@pytest.mark.parametrize(
    ("made", "ending"),
    [
        (fault("reset", when="before"), "reset"),
        (fault("reset", when="middle"), "reset"),
        (fault("truncated", how="length"), "cut-off"),
    ],
)
def test_broken_answers_reach_the_client(made: AnswerFault, ending: str) -> None:
    async def script(scene: Scene) -> None:
        scene.director.fault = made
        if ending == "reset":
            with pytest.raises(ConnectionResetError):  # without TLS: Python's ssl module makes an end of file of it
                await scene.client(request, scene.port("http"), validate())
        else:
            answer = await scene.client(ask, scene)
            length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            assert len(answer.partition(b"\r\n\r\n")[2]) < length
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=CONTROL)
    ((_, receipt),) = director.ended
    assert (receipt.delivered, receipt.ending) == (True, ending)
    (closed,) = director.of(ConnectionClosed)
    assert (closed.by, closed.how) == ("harness", "reset" if ending == "reset" else "fin")


def test_a_hang_ends_when_the_client_gives_up() -> None:
    async def script(scene: Scene) -> None:
        scene.director.fault = fault("hang")
        with connected(scene.port("http")) as sock:
            sock.sendall(validate())
            await scene.director.until(lambda: scene.director.calls)
        await scene.director.until(lambda: scene.director.ended)

    ((_, receipt),) = run(script, places=CONTROL).ended
    assert (receipt.delivered, receipt.ending) == (True, "gave-up")


def test_a_slow_body_falls_silent_before_its_end() -> None:
    async def script(scene: Scene) -> None:
        scene.director.fault = fault("slow-body", interval=0.05, total=10)
        answer = await scene.client(ask, scene)
        assert b'"allowed": true' in answer
        assert not answer.endswith(b"}")

    ((_, receipt),) = run(script, places=CONTROL).ended
    assert (receipt.delivered, receipt.ending) == (True, "cut-off")


@pytest.mark.parametrize("to", ["other-host", "itself"])
def test_a_followed_redirect_finds_an_allow_and_is_neither_call_nor_effect(to: str) -> None:
    async def script(scene: Scene) -> None:
        scene.director.fault = fault("redirect", status=307, to=to)
        answer = await scene.client(ask, scene)
        location = answer.partition(b"Location: ")[2].partition(b"\r\n")[0].decode()
        path = "/" + location.split("/", 3)[3]
        host = location.split("/")[2]
        data = http("GET", host, path, headers=f"x-org-key: {KEY}\r\n")
        port = scene.port("https" if to == "itself" else "other")
        followed = await scene.client(lambda: request(port, data, server_name=host))
        assert body_of(followed)["allowed"] is True

    director = run(script, places=CONTROL)
    assert len(director.calls) == 1
    assert director.of(EffectStarted) == []
    (followed,) = director.of(RedirectFollowed)
    assert (followed.method, followed.secrets) == ("GET", ("header x-org-key",))
    assert followed.host == ("machineid.io" if to == "itself" else REDIRECT_HOST)


@pytest.mark.parametrize("kind", ["untrusted", "expired", "wrong-name"])
def test_a_bad_certificate_is_delivered_when_the_client_refuses_it(kind: str) -> None:
    async def script(scene: Scene) -> None:
        scene.director.refusal = refusal("certificate", kind=kind)
        with pytest.raises(ssl.SSLCertVerificationError):
            await scene.client(ask, scene)
        await scene.director.seen(ConnectionClosed)
        # Another host is not concerned.
        other = http("GET", "api.example")
        await scene.client(lambda: request(scene.port("other"), other, server_name="api.example"))

    director = run(script, places=CONTROL)
    ((_, connection, evidence),) = director.receipts
    assert connection == 1
    assert evidence.startswith("alert received: ")
    assert director.calls == []
    assert director.of(Diagnosed) == []
    assert director.of(ConnectionClosed)[0].how == "tls-alert"


def test_a_bad_certificate_that_is_accepted_leads_to_an_allow_that_is_no_permit() -> None:
    async def script(scene: Scene) -> None:
        scene.director.refusal = refusal("certificate", kind="untrusted")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        answer = await scene.client(
            lambda: request(scene.port("https"), validate(), server_name="machineid.io", context=context)
        )
        assert body_of(answer)["allowed"] is True

    director = run(script, places=CONTROL)
    assert director.calls == []
    ((_, _, evidence),) = director.receipts
    assert evidence == "the client finished the handshake with the untrusted certificate and sent its request"
    (followed,) = director.of(RedirectFollowed)
    assert (followed.host, followed.secrets) == ("machineid.io", ("header x-org-key",))


@pytest.mark.parametrize("leave", ["fin", "reset"])
def test_a_client_that_closes_after_the_bad_handshake_has_refused_it(leave: str) -> None:
    async def script(scene: Scene) -> None:
        scene.director.refusal = refusal("certificate", kind="wrong-name")
        context = trusting()
        context.check_hostname = False

        def shake() -> None:
            with connected(scene.port("https"), server_name="machineid.io", context=context) as sock:
                if leave == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        await scene.client(shake)
        await scene.director.seen(ConnectionClosed)

    ((_, _, evidence),) = run(script, places=CONTROL).receipts
    assert "without a request" in evidence


@pytest.mark.parametrize("ending", ["gave-up", "cut-off"])
def test_a_handshake_that_never_goes_on(ending: str) -> None:
    async def script(scene: Scene) -> None:
        scene.director.refusal = refusal("handshake-hang", seconds=10 if ending == "gave-up" else 2)

        def shake() -> None:
            with (
                pytest.raises(TimeoutError if ending == "gave-up" else ssl.SSLError),
                connected(scene.port("https"), server_name="machineid.io", timeout=0.1 if ending == "gave-up" else 10),
            ):
                pass

        await scene.client(shake)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=CONTROL)
    ((_, _, evidence),) = director.receipts
    assert evidence.startswith("the ClientHello arrived; ")
    ((how, waited),) = director.endings
    assert how == ending
    assert waited is not None
    assert waited > (4 if ending == "gave-up" else 1.9)  # 0.1 real seconds are 5 target seconds here
    assert director.withheld == 0
    assert director.calls == []
    (closed,) = director.of(ConnectionClosed)
    assert closed.by == ("target" if ending == "gave-up" else "harness")


def test_a_handshake_is_cut_after_the_client_hello() -> None:
    async def script(scene: Scene) -> None:
        scene.director.refusal = refusal("handshake-cut")
        with pytest.raises(ssl.SSLError):
            await scene.client(ask, scene)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=CONTROL)
    assert [evidence for _, _, evidence in director.receipts] == [
        "the ClientHello arrived; the connection was closed before the ServerHello"
    ]
    assert [(event.by, event.how) for event in director.of(ConnectionClosed)] == [("harness", "fin")]


def test_the_api_on_loopback_is_the_control_plane_with_base_url() -> None:
    async def script(scene: Scene) -> None:
        port = scene.port()
        await scene.client(request, port, validate(f"127.0.0.1:{port}"))
        await scene.client(request, port, http("GET", f"127.0.0.1:{port}", "/health"))

    director = run(script, runtime=target(base_url=True))
    assert [call.operation for call in director.calls] == ["validate"]
    assert [effect.path for effect in director.of(EffectStarted)] == ["/health"]


def test_head_gets_no_body() -> None:
    async def script(scene: Scene) -> None:
        scene.director.answers = [Answer(status=405, body={"error": "x"})]
        answer = await scene.client(ask, scene, http("HEAD", "machineid.io", "/api/v1/usage"))
        assert answer.startswith(b"HTTP/1.1 405 ")
        assert answer.endswith(b"\r\n\r\n")

    run(script, places=CONTROL)


def test_what_is_no_http_is_diagnosed_and_answered_400() -> None:
    async def script(scene: Scene) -> None:
        answer = await scene.client(ask, scene, b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")

    director = run(script, places=CONTROL)
    assert [event.problem for event in director.of(Diagnosed)] == ["bad-http"]
    assert director.of(EffectStarted) == []
