"""Effect rules and stimuli: what a target does to the world, and what the world does to it."""

from __future__ import annotations

import ipaddress
import re
import typing
from urllib.parse import urlsplit

from machineid_conformance.config import templates
from machineid_conformance.config.model import EffectRule, Match, ScriptedAnswer, Stimulus, StimulusRequest
from machineid_conformance.config.table import Table
from machineid_conformance.trace.events import Role

ROLES: tuple[Role, ...] = typing.get_args(Role)
PERSONAS = ("openai",)
"""Personas that the configuration format knows and this version cannot play."""

EFFECT_KEYS = ("match", "role", "label", "device", "answers", "group", "persona")
MATCH_KEYS = ("method", "host", "path", "body", "stdout", "file", "tcp", "smtp")
ANSWER_KEYS = ("status", "json", "text", "headers")
STIMULUS_KEYS = ("listen", "requests", "count", "denied_status")
REQUEST_KEYS = ("method", "path", "json", "text", "headers")

_HTTP_KEYS = ("method", "host", "path", "body")
_OTHER_KEYS = ("stdout", "file", "tcp", "smtp")


def effect(table: Table) -> EffectRule:
    """One ``[[targets.NAME.effects]]``."""
    match_table = table.table("match", MATCH_KEYS)
    if match_table is None:
        raise table.error(
            "has no match", expected='match = { method = "POST", host = "api.example" } or another kind of match'
        )
    match = _match(match_table)
    answered = any(match_table.has(key) for key in _HTTP_KEYS)
    for key in ("answers", "persona", "group"):
        if table.has(key) and not answered:
            raise table.error("goes with HTTP matches only", key, expected=f"a match with {', '.join(_HTTP_KEYS)}")
    if table.has("persona") and table.has("answers"):
        raise table.error(
            "stands beside answers", "persona", expected="one of persona and answers: either scripts the answers"
        )
    if table.has("persona"):
        persona = table.choice("persona", "", PERSONAS)
        raise table.error(
            f"the persona {persona!r} is not available in this version",
            "persona",
            expected="answers",
            hint="script what the API would say: answers = [ { json = { choices = [] } } ]",
        )
    return EffectRule(
        match=match,
        role=typing.cast("Role", table.choice("role", "", ROLES)) if table.has("role") else None,
        label=table.text("label"),
        device=table.text("device"),
        answers=tuple(_answer(item) for item in table.tables("answers", ANSWER_KEYS)),
        group=table.text("group"),
    )


def _match(table: Table) -> Match:
    named = [key for key in MATCH_KEYS if table.has(key)]
    others = [key for key in named if key in _OTHER_KEYS]
    if not named:
        raise table.error("is empty and would match everything", expected=f"at least one of {', '.join(MATCH_KEYS)}")
    if others and len(named) > 1:
        raise table.error(
            f"has {', '.join(named)} together",
            expected="one kind of match: method, host, path and body; or one of stdout, file, tcp, smtp",
        )
    stdout = table.text("stdout")
    if stdout is not None:
        try:
            re.compile(stdout)
        except re.error as error:
            raise table.wrong("stdout", "a regular expression", hint=str(error)) from None
    tcp = table.text("tcp")
    if tcp is not None and not re.fullmatch(r".+:(\d{1,5}|[\d*?\[\]]+)", tcp):
        raise table.wrong("tcp", '"host:port", with globs in both parts: "*:9092"')
    if table.has("smtp") and not table.flag("smtp"):
        raise table.wrong("smtp", "true", hint="leave it out otherwise")
    return Match(
        method=table.text("method"),
        host=table.text("host"),
        path=table.text("path"),
        body=table.text("body"),
        stdout=stdout,
        file=table.text("file"),
        tcp=tcp,
        smtp=table.has("smtp"),
    )


def _answer(table: Table) -> ScriptedAnswer:
    _one_body(table)
    return ScriptedAnswer(
        status=table.integer("status", 200, least=200, most=599),
        json=table.values.get("json"),
        text=_body_text(table),
        headers=table.strings("headers"),
    )


def stimulus(table: Table) -> Stimulus:
    """``[targets.NAME.stimulus]``."""
    listen = table.text("listen")
    if listen is None:
        raise table.error("has no listen", expected='listen = "http://127.0.0.1:{port}"')
    if not _loopback_http(listen):
        raise table.wrong(
            "listen", 'the loopback address that the target listens on: "http://127.0.0.1:{port}" or with a fixed port'
        )
    requests = tuple(_request(item) for item in table.tables("requests", REQUEST_KEYS))
    if not requests:
        raise table.error("has no requests", expected='requests = [ { method = "POST", path = "/hook", json = {} } ]')
    return Stimulus(
        listen=listen.rstrip("/"),
        requests=requests,
        count=table.integer("count", 4),
        denied_status=table.integer("denied_status", 403, least=200, most=599),
    )


def _request(table: Table) -> StimulusRequest:
    _one_body(table)
    method = table.text("method", "POST")
    path = table.text("path", "/")
    assert method is not None
    assert path is not None
    if not re.fullmatch(r"[A-Za-z]+", method):
        raise table.wrong("method", "an HTTP method")
    if not path.startswith("/") or re.search(r"\s", path):
        raise table.wrong("path", 'a path that begins with "/" and has no blanks')
    return StimulusRequest(
        method=method.upper(),
        path=path,
        json=table.values.get("json"),
        text=_body_text(table),
        headers=table.strings("headers"),
    )


def _one_body(table: Table) -> None:
    if table.has("json") and table.has("text"):
        raise table.error("has both json and text", expected="one body")


def _body_text(table: Table) -> str | None:
    value = table.values.get("text")
    if value is not None and not isinstance(value, str):
        raise table.wrong("text", "a string")
    return value


def _loopback_http(listen: str) -> bool:
    try:
        parts = urlsplit(templates.fill(listen, port=1))
        port = parts.port
    except ValueError:
        return False
    return parts.scheme == "http" and port is not None and is_loopback(parts.hostname or "") and parts.path in {"", "/"}


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
