from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct

import pytest

from machineid_conformance.config.model import EffectRule, Match, ScriptedAnswer
from machineid_conformance.isolation.api import Destination
from machineid_conformance.trace.events import (
    ConnectionClosed,
    ConnectionOpened,
    Diagnosed,
    EffectAborted,
    EffectAnswered,
    EffectStarted,
    Output,
    RequestHead,
)
from tests.gateway._support import (
    KEY,
    Scene,
    connected,
    http,
    read_all,
    request,
    run,
    target,
    trusting,
)

WEB = {
    "http": Destination(host="198.18.0.9", port=80),
    "https": Destination(host="198.18.0.9", port=443),
    "odd": Destination(host="198.18.0.9", port=9000),
}


def test_a_plain_request_is_one_effect_and_gets_the_default_answer() -> None:
    async def script(scene: Scene) -> None:
        answer = await scene.client(request, scene.port("http"), http("GET", "api.example", "/a?b=1"))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\n\r\n{}")
        await scene.director.seen(ConnectionClosed)

    events = run(script, places=WEB).events
    assert [type(event) for event in events] == [ConnectionOpened, EffectStarted, EffectAnswered, ConnectionClosed]
    started = events[1]
    assert isinstance(started, EffectStarted)
    assert (started.role, started.label, started.host, started.path) == (
        "read",
        "GET api.example/a",
        "api.example",
        "/a?b=1",
    )
    assert (started.device, started.transport, started.since, started.port) == ("worker:01", "http", None, 80)


def test_over_tls_the_name_is_the_one_of_the_handshake() -> None:
    async def script(scene: Scene) -> None:
        data = http("POST", "made-up.example", "/charge", body=b"{}")
        answer = await scene.client(lambda: request(scene.port("https"), data, server_name="api.example"))
        assert answer.endswith(b"{}")

    director = run(script, places=WEB)
    (effect,) = director.of(EffectStarted)
    assert (effect.host, effect.port, effect.role) == ("api.example", 443, "side-effect")


def test_an_effect_with_a_body_begins_with_its_head() -> None:
    async def script(scene: Scene) -> None:
        with socket.create_connection(("127.0.0.1", scene.port("http"))) as sock:
            data = http("POST", "api.example", "/x", body=b"12345")
            sock.sendall(data[:-2])
            await scene.director.seen(RequestHead)
            assert scene.director.of(EffectStarted) == []
            sock.sendall(data[-2:])
            await scene.director.seen(EffectAnswered)

    director = run(script, places=WEB)
    (head,) = director.of(RequestHead)
    (effect,) = director.of(EffectStarted)
    assert effect.since == effect.began == head.seq


def test_the_first_rule_that_matches_gives_role_label_device_and_answers() -> None:
    rule = EffectRule(
        match=Match(method="get", host="queue.example", path="/next"),
        role="task-source",
        label="dequeue",
        device="worker:02",
        answers=(ScriptedAnswer(json={"id": 1}), ScriptedAnswer(status=204)),
    )

    async def script(scene: Scene) -> None:
        data = http("GET", "queue.example", "/next")
        first = await scene.client(request, scene.port("http"), data)
        assert json.loads(first.partition(b"\r\n\r\n")[2]) == {"id": 1}
        for _ in range(2):
            again = await scene.client(request, scene.port("http"), data)
            assert again.startswith(b"HTTP/1.1 204 No Content\r\n")
            assert b"Content-Length" not in again
        scene.gateway.restarted()
        assert b'{"id": 1}' in await scene.client(request, scene.port("http"), data)

    director = run(script, places=WEB, runtime=target(rule))
    assert [event.holds_unit for event in director.of(EffectAnswered)] == [True, False, False, True]
    effect = director.of(EffectStarted)[0]
    assert (effect.role, effect.label, effect.device, effect.rule) == ("task-source", "dequeue", "worker:02", 0)


def test_the_body_decides_the_role_when_a_rule_asks_for_it() -> None:
    rule = EffectRule(match=Match(method="POST", body="tool_call"), role="tool-call")

    async def script(scene: Scene) -> None:
        await scene.client(request, scene.port("http"), http("POST", "api.example", body=b'{"kind": "tool_call"}'))
        await scene.client(request, scene.port("http"), http("POST", "api.example", body=b'{"kind": "other"}'))

    director = run(script, places=WEB, runtime=target(rule))
    assert [(event.role, event.rule) for event in director.of(EffectStarted)] == [
        ("tool-call", 0),
        ("side-effect", None),
    ]


def test_llm_hosts_are_known() -> None:
    async def script(scene: Scene) -> None:
        data = http("POST", "api.openai.com", "/v1/chat/completions", body=b"{}")
        await scene.client(lambda: request(scene.port("https"), data, server_name="api.openai.com"))

    assert run(script, places=WEB).of(EffectStarted)[0].role == "llm-call"


def test_the_key_is_found_wherever_it_stands() -> None:
    async def script(scene: Scene) -> None:
        body = b"x" * 3_000_000 + KEY.encode()
        data = http("POST", "api.example", f"/?k={KEY}", body=body[-9000:], headers=f"X-Api-Thing: a {KEY}\r\n")
        await scene.client(request, scene.port("http"), data)

    assert run(script, places=WEB).of(EffectStarted)[0].secrets == ("header x-api-thing", "url", "body")


def test_requests_of_a_group_in_a_row_are_one_effect() -> None:
    upload = EffectRule(match=Match(path="/part*"), group="upload")

    async def script(scene: Scene) -> None:
        for path in ("/part1", "/part2", "/other", "/part3"):
            await scene.client(request, scene.port("http"), http("PUT", "api.example", path))

    effects = run(script, places=WEB, runtime=target(upload)).of(EffectStarted)
    assert [(event.group, event.joins) for event in effects] == [
        ("upload", None),
        ("upload", 1),
        (None, None),
        ("upload", None),
    ]


def test_a_log_effect_is_output() -> None:
    rule = EffectRule(match=Match(path="/log"), role="log")

    async def script(scene: Scene) -> None:
        body = gzip.compress(b"one request_id=r-2\ntwo")
        data = http("POST", "logs.example", "/log", body=body, headers="Content-Encoding: gzip\r\n")
        await scene.client(request, scene.port("http"), data)

    director = run(script, places=WEB, runtime=target(rule))
    outputs = [(event.stream, event.text, event.start) for event in director.of(Output)]
    assert outputs == [("effect:1", "one request_id=r-2", 1), ("effect:1", "two", 1)]
    kinds = [type(event) for event in director.events]
    assert kinds.index(Output) < kinds.index(EffectAnswered)


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_read_while_the_answer_is_held(chunked: bool) -> None:
    size = 10_000_000

    async def script(scene: Scene) -> None:
        scene.director.held = asyncio.Event()

        def upload() -> bytes:
            with connected(scene.port("https"), server_name="api.example") as sock:
                if chunked:
                    head = b"POST /up HTTP/1.1\r\nHost: api.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                    sock.sendall(head)
                    for _ in range(10):
                        sock.sendall(b"%x\r\n" % (size // 10) + b"x" * (size // 10) + b"\r\n")
                    sock.sendall(b"0\r\n\r\n")
                else:
                    sock.sendall(http("POST", "api.example", "/up", body=b"x" * size))
                loop.call_soon_threadsafe(uploaded.set)
                return read_all(sock)

        loop, uploaded = asyncio.get_running_loop(), asyncio.Event()
        uploading = asyncio.create_task(scene.client(upload))
        await uploaded.wait()  # all bytes were taken, although the effect is held
        assert scene.director.of(EffectAnswered) == []
        scene.director.held.set()
        assert (await uploading).endswith(b"{}")

    director = run(script, places=WEB)
    assert len(director.of(EffectStarted)) == len(director.of(EffectAnswered)) == 1


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    async def script(scene: Scene) -> None:
        def upload() -> bytes:
            with connected(scene.port("http")) as sock:
                head, _, body = http("POST", "api.example", body=b"abc", headers="Expect: 100-continue\r\n").partition(
                    b"\r\n\r\n"
                )
                sock.sendall(head + b"\r\n\r\n")
                interim = sock.recv(1000)
                assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
                sock.sendall(body)
                return read_all(sock)

        assert (await scene.client(upload)).startswith(b"HTTP/1.1 200 OK")

    run(script, places=WEB)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def script(scene: Scene) -> None:
        data = b"".join(http("GET", "api.example", f"/{n}", close=n == 3) for n in (1, 2, 3))
        answer = await scene.client(request, scene.port("http"), data)
        assert answer.count(b"HTTP/1.1 200 OK") == 3

    director = run(script, places=WEB)
    assert [event.path for event in director.of(EffectStarted)] == ["/1", "/2", "/3"]
    assert [type(event) for event in director.events[1:5]] == [EffectStarted, EffectAnswered] * 2


def test_a_client_that_leaves_while_it_is_held_aborts_the_effect() -> None:
    async def script(scene: Scene) -> None:
        scene.director.held = asyncio.Event()
        with socket.create_connection(("127.0.0.1", scene.port("http"))) as sock:
            sock.sendall(http("POST", "api.example", "/x", body=b"1"))
            await scene.director.seen(EffectStarted)
        await scene.director.seen(EffectAborted)
        assert scene.director.effects_ended == []
        scene.director.held.set()
        await scene.director.until(lambda: scene.director.effects_ended)

    director = run(script, places=WEB)
    assert director.of(EffectAnswered) == []
    assert [(event.by, event.how) for event in director.of(ConnectionClosed)] == [("target", "fin")]


def test_a_client_that_leaves_in_the_middle_of_its_body_has_had_its_effect() -> None:
    async def script(scene: Scene) -> None:
        with socket.create_connection(("127.0.0.1", scene.port("http"))) as sock:
            sock.sendall(http("POST", "api.example", "/x", body=b"12345")[:-2])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await scene.director.seen(RequestHead)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=WEB)
    assert len(director.of(EffectStarted)) == len(director.of(EffectAborted)) == 1
    assert [(event.by, event.how) for event in director.of(ConnectionClosed)] == [("target", "reset")]


def test_raw_bytes_are_an_effect_from_the_connect_on() -> None:
    async def script(scene: Scene) -> None:
        with socket.create_connection(("127.0.0.1", scene.port("odd"))) as sock:
            sock.sendall(b"\x00\x01hello")
            await scene.director.seen(EffectStarted)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=WEB)
    (opened,) = director.of(ConnectionOpened)
    (effect,) = director.of(EffectStarted)
    assert (effect.transport, effect.since, effect.label) == ("tcp", opened.seq, "tcp 198.18.0.9:9000")


def test_a_connect_without_a_word_is_an_effect_on_odd_ports_only() -> None:
    async def script(scene: Scene) -> None:
        for name in ("http", "https", "odd"):
            with socket.create_connection(("127.0.0.1", scene.port(name))):
                pass
        await scene.director.seen(ConnectionClosed, 3)

    director = run(script, places=WEB)
    assert [effect.port for effect in director.of(EffectStarted)] == [9000]


def test_a_client_that_waits_to_be_greeted_is_an_effect_while_it_waits() -> None:
    async def script(scene: Scene) -> None:
        with socket.create_connection(("127.0.0.1", scene.port("odd"))):
            await scene.director.seen(EffectStarted)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=WEB)
    assert [type(event) for event in director.events] == [
        ConnectionOpened,
        EffectStarted,
        EffectAnswered,
        ConnectionClosed,
    ]


def test_http_on_an_odd_port_is_not_misjudged() -> None:
    async def script(scene: Scene) -> None:
        with socket.create_connection(("127.0.0.1", scene.port("odd"))) as sock:
            await scene.director.seen(ConnectionOpened)
            scene.gateway.settle()
            sock.sendall(http("GET", "api.example:9000"))
            await scene.director.seen(EffectAnswered)
        with socket.create_connection(("127.0.0.1", scene.port("odd"))):
            await scene.director.seen(ConnectionOpened, 2)
        await scene.director.seen(ConnectionClosed, 2)

    director = run(script, places=WEB)
    assert [(effect.transport, effect.port) for effect in director.of(EffectStarted)] == [("http", 9000)]


@pytest.mark.parametrize("name", ["http", "odd"])
def test_what_is_not_http_is_recorded_all_the_same(name: str) -> None:
    async def script(scene: Scene) -> None:
        with socket.create_connection(("127.0.0.1", scene.port(name))) as sock:
            sock.sendall(b"GET \x01\x02 nonsense\r\n\r\n")
            await scene.director.seen(EffectStarted)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=WEB)
    assert [effect.transport for effect in director.of(EffectStarted)] == ["tcp"]
    assert [event.problem for event in director.of(Diagnosed)] == (["bad-http"] if name == "http" else [])


def test_a_head_without_end_is_refused() -> None:
    async def script(scene: Scene) -> None:
        data = b"GET / HTTP/1.1\r\nHost: api.example\r\nX: " + b"x" * 70_000
        answer = await scene.client(request, scene.port("http"), data)
        assert answer.startswith(b"HTTP/1.1 431 ")

    assert run(script, places=WEB).of(EffectStarted) == []


def test_an_http2_only_client_is_diagnosed() -> None:
    async def script(scene: Scene) -> None:
        def shake() -> None:
            context = trusting()
            context.set_alpn_protocols(["h2"])
            with pytest.raises(OSError, match=r"(?i)no.application.protocol"):
                request(scene.port("https"), b"", server_name="api.example", context=context)

        await scene.client(shake)
        with socket.create_connection(("127.0.0.1", scene.port("odd"))) as sock:
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            await scene.director.seen(EffectStarted)

    director = run(script, places=WEB)
    assert [event.problem for event in director.of(Diagnosed)] == ["http2-only", "http2-only"]
    assert "HTTP/1.1" in director.of(Diagnosed)[0].detail
    assert [effect.transport for effect in director.of(EffectStarted)] == ["tcp"]


def test_a_client_that_rejects_the_authority_is_diagnosed_and_has_no_effect() -> None:
    async def script(scene: Scene) -> None:
        def shake() -> None:
            with pytest.raises(ssl.SSLCertVerificationError):
                request(scene.port("https"), b"", server_name="api.example", context=ssl.create_default_context())

        await scene.client(shake)
        await scene.director.seen(ConnectionClosed)

    director = run(script, places=WEB)
    assert [event.problem for event in director.of(Diagnosed)] == ["ca-rejected"]
    assert [(event.by, event.how) for event in director.of(ConnectionClosed)] == [("target", "tls-alert")]
    assert director.of(EffectStarted) == []


def test_closing_while_much_is_going_on_leaves_nothing_behind() -> None:
    async def script(scene: Scene) -> None:
        scene.director.held = asyncio.Event()
        socks = [socket.create_connection(("127.0.0.1", scene.port("http"))) for _ in range(20)]
        try:
            for sock in socks[:15]:
                sock.sendall(http("POST", "api.example", body=b"x"))
            await scene.director.seen(EffectStarted, 15)
            await scene.gateway.close()
        finally:
            for sock in socks:
                sock.close()

    director = run(script, places=WEB)
    assert director.of(EffectAborted) == []


def test_an_upload_that_stalls_is_an_effect() -> None:
    async def script(scene: Scene) -> None:
        with connected(scene.port("http")) as sock:
            data = http("POST", "api.example", "/x", body=b"12345")
            sock.sendall(data[:-2])
            await scene.director.seen(EffectStarted)
            sock.sendall(data[-2:])
            await scene.director.seen(EffectAnswered)

    director = run(script, places=WEB)
    assert director.of(EffectStarted)[0].since == director.of(RequestHead)[0].seq


def test_the_key_in_raw_bytes_is_found() -> None:
    async def script(scene: Scene) -> None:
        with connected(scene.port("odd")) as sock:
            sock.sendall(b"\x00\x01" + KEY.encode())
            await scene.director.seen(EffectStarted)

    assert run(script, places=WEB).of(EffectStarted)[0].secrets == ("body",)


def test_a_forward_proxy_of_the_targets_own_is_one_too() -> None:
    async def script(scene: Scene) -> None:
        data = http("GET", "ignored.example", "http://api.example/a")
        await scene.client(request, scene.port("odd"), data)

        def ask() -> bytes:
            with connected(scene.port("odd")) as sock:
                sock.sendall(b"CONNECT machineid.io:443 HTTP/1.1\r\n\r\n")
                assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
                with trusting().wrap_socket(sock, server_hostname="machineid.io") as secure:
                    secure.sendall(http("GET", "machineid.io", "/api/v1/usage"))
                    return read_all(secure)

        assert b"allowed" in await scene.client(ask)

    director = run(script, places=WEB)
    assert [effect.label for effect in director.of(EffectStarted)] == ["GET api.example/a"]
    assert [call.operation for call in director.calls] == ["usage"]


def test_quiet_waits_for_what_a_target_left_behind() -> None:
    async def script(scene: Scene) -> None:
        for _ in range(5):
            with connected(scene.port("http")) as sock:
                sock.sendall(http("POST", "api.example", "/last", body=b"words"))
        assert await scene.gateway.quiet(10)
        assert len(scene.director.of(EffectStarted)) == 5

    run(script, places=WEB)


def test_a_gateway_that_was_closed_does_not_serve() -> None:
    async def script(scene: Scene) -> None:
        await scene.gateway.close()
        await scene.gateway.serve()

    run(script, places=WEB)
