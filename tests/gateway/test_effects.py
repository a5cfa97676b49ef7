from __future__ import annotations

import json

import pytest

from fake_control_plane.answers import Answer
from machineid_conformance.config.model import EffectRule, Match, ScriptedAnswer
from machineid_conformance.gateway.effects import (
    Outbound,
    Script,
    endpoint_matches,
    holds_unit,
    infer_role,
    match_http,
    match_smtp,
    match_tcp,
)
from machineid_conformance.gateway.log_lines import LINE_LIMIT, lines_of
from machineid_conformance.gateway.names import AddressBook, is_loopback, normal, plain, split_authority


def request(method: str = "GET", host: str = "api.example", port: int = 443, target: str = "/a/b?c=d") -> Outbound:
    return Outbound(method=method, host=host, port=port, target=target)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (Match(method="GET"), True),
        (Match(method="get"), True),
        (Match(method="POST"), False),
        (Match(host="*.example"), True),
        (Match(host="API.example:443"), True),
        (Match(host="api.example:80"), False),
        (Match(path="/a/*"), True),
        (Match(path="/a/b"), True),
        (Match(path="*c=d"), True),
        (Match(path="/b"), False),
        (Match(stdout="x"), False),
        (Match(file="x"), False),
        (Match(tcp="*:*"), False),
        (Match(smtp=True), False),
    ],
)
def test_http_matches(match: Match, matches: bool) -> None:
    assert match_http([EffectRule(match=match)], request(), None) == (0 if matches else None)


def test_the_first_match_wins_and_the_body_is_asked_for_only_where_it_decides() -> None:
    rules = [
        EffectRule(match=Match(method="POST", body="x")),
        EffectRule(match=Match(host="api.example")),
        EffectRule(match=Match(host="api.example", body="never asked")),
    ]
    assert match_http(rules, request("GET"), None) == 1
    assert match_http(rules, request("POST"), None) == "body"
    assert match_http(rules, request("POST"), lambda text: text == "x") == 0
    assert match_http(rules, request("POST"), lambda _text: False) == 1


def test_loopback_is_one_host() -> None:
    rules = [EffectRule(match=Match(host="localhost:9000"))]
    assert match_http(rules, request(host="127.0.0.1", port=9000), None) == 0
    assert match_http(rules, request(host="127.0.0.1", port=9001), None) is None
    assert endpoint_matches("127.0.0.1:5432", "localhost", 5432)
    assert endpoint_matches("[::1]:5432", "127.0.0.1", 5432)
    assert not endpoint_matches("localhost:5432", "db.example", 5432)


def test_tcp_and_smtp_matches() -> None:
    rules = [
        EffectRule(match=Match(tcp="db.*:543?")),
        EffectRule(match=Match(smtp=True, host="mail.example")),
        EffectRule(match=Match(smtp=True, tcp="*:2526")),
    ]
    assert match_tcp(rules, "db.internal", 5432) == 0
    assert match_tcp(rules, "db.internal", 6379) is None
    assert match_smtp(rules, "mail.example", 587) == 1
    assert match_smtp(rules, "mail.example", 80) is None
    assert match_smtp(rules, "other.example", 2526) == 2


@pytest.mark.parametrize(
    ("method", "host", "role"),
    [
        ("GET", "api.openai.com", "read"),
        ("POST", "api.openai.com", "llm-call"),
        ("POST", "mine.openai.azure.com", "llm-call"),
        ("POST", "api.example", "side-effect"),
        ("TRACE", "api.example", "read"),
        ("QUERY", "api.example", "side-effect"),
    ],
)
def test_roles(method: str, host: str, role: str) -> None:
    assert infer_role(method, host) == role


@pytest.mark.parametrize(
    ("answer", "holds"),
    [
        (Answer(body={"id": 1}), True),
        (Answer(raw=b"a job"), True),
        (Answer(body=0), True),
        (Answer(body={}), False),
        (Answer(body=[]), False),
        (Answer(body=None), False),
        (Answer(raw=b" \n"), False),
        (Answer(status=204, raw=b"x"), False),
        (Answer(status=404, body={"id": 1}), False),
    ],
)
def test_what_holds_a_unit(answer: Answer, holds: bool) -> None:
    assert holds_unit(answer) is holds


def test_scripted_answers() -> None:
    rules = [
        EffectRule(
            match=Match(),
            answers=(
                ScriptedAnswer(
                    status=201, json=[1], headers={"X-A": "b", "content-type": "application/x", "Content-Length": "9"}
                ),
                ScriptedAnswer(text="hé"),
            ),
        ),
        EffectRule(match=Match()),
    ]
    script = Script(rules)
    first, second, third = (script.next(0) for _ in range(3))
    assert (first.status, first.payload(), first.content_type, dict(first.headers)) == (
        201,
        b"[1]",
        "application/x",
        {"X-A": "b"},
    )
    assert (second.payload(), second.content_type) == ("hé".encode(), "text/plain; charset=utf-8")
    assert third == second
    assert json.loads(script.next(1).payload()) == json.loads(script.next(None).payload()) == {}
    script.restart()
    assert script.next(0) == first


def test_log_lines() -> None:
    assert list(lines_of(b"a\r\n\nb\xff", None)) == [("a", False), ("", False), ("b\\xff", False)]
    long = b"x" * (LINE_LIMIT + 1)
    assert [(len(text), more) for text, more in lines_of(long, "gzip")] == [(LINE_LIMIT, True), (1, False)]


def test_names_and_addresses() -> None:
    book = AddressBook(["machineid.io", "eu.machineid.io"], "198.18.0.1")
    assert book.address_of("MachineID.io.") == "198.18.0.1"
    assert book.name_of("198.18.0.1") == "machineid.io"
    assert book.address_of("a.example") == "198.18.0.2"
    assert book.name_of("::ffff:198.18.0.2") == "a.example"
    assert book.address_of("x.localhost") == "127.0.0.1"
    assert book.name_of("203.0.113.1") == "203.0.113.1"
    assert book.is_control_plane("EU.machineid.io")
    assert not book.is_control_plane("notmachineid.io")


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("A.example", ("a.example", 80)),
        ("a.example:81", ("a.example", 81)),
        ("[::1]:81", ("::1", 81)),
        ("[::1]", ("::1", 80)),
        ("::1", ("::1", 80)),
        ("user:pw@a.example:x", ("a.example", 80)),
    ],
)
def test_authorities(authority: str, expected: tuple[str, int]) -> None:
    assert split_authority(authority, 80) == expected


def test_loopback_and_plain_addresses() -> None:
    assert [is_loopback(host) for host in ("127.9.9.9", "::1", "[::1]", "LOCALHOST", "::ffff:127.0.0.1", "10.0.0.1", "a")] == [
        True, True, True, True, True, False, False,
    ]  # fmt: skip
    assert (plain("fe80::1%lo"), plain("::ffff:10.0.0.1"), plain("::1"), normal("A.b.")) == (
        "fe80::1",
        "10.0.0.1",
        "::1",
        "a.b",
    )
