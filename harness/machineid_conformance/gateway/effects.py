"""What a request to the world outside is: which effect rule matches it, which role it has, what is answered. No I/O."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from fake_control_plane.answers import Answer
from machineid_conformance.config.model import EffectRule, Match
from machineid_conformance.gateway.names import is_loopback, normal, split_authority
from machineid_conformance.trace.events import Role

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.1

LLM_HOSTS = (
    "api.openai.com",
    "*.openai.azure.com",
    "api.anthropic.com",
    "generativelanguage.googleapis.com",
    "*aiplatform.googleapis.com",
    "bedrock-runtime.*.amazonaws.com",
    "api.mistral.ai",
    "api.cohere.ai",
    "api.cohere.com",
    "api.groq.com",
    "api.together.xyz",
    "api.deepseek.com",
    "api.perplexity.ai",
    "api.fireworks.ai",
    "api.x.ai",
    "openrouter.ai",
)
"""Hosts whose unsafe requests are LLM calls unless an effect rule says otherwise."""

SMTP_PORTS = frozenset({25, 465, 587, 2525})
DEFAULT_ANSWER = Answer(status=200, body={})


@dataclass(frozen=True, kw_only=True)
class Outbound:
    """The head of an HTTP request to a host that is not the control plane. ``target`` is path and query."""

    method: str
    host: str
    port: int
    target: str

    @property
    def path(self) -> str:
        """The path without its query."""
        return self.target.partition("?")[0]


def match_http(
    rules: Sequence[EffectRule], request: Outbound, holds: Callable[[str], bool] | None
) -> int | Literal["body"] | None:
    """The index of the first rule that matches, or None. ``holds`` says whether the body holds a text; without it the result is
    ``body`` when only the body can decide.
    """  # fmt: skip
    for index, rule in enumerate(rules):
        match = rule.match
        if match.stdout or match.file or match.tcp or match.smtp or not _head_matches(match, request):
            continue
        if match.body is None:
            return index
        if holds is None:
            return "body"
        if holds(match.body):
            return index
    return None


def match_tcp(rules: Sequence[EffectRule], host: str, port: int) -> int | None:
    """The index of the first ``tcp`` rule for a connection."""
    return next(
        (n for n, rule in enumerate(rules) if rule.match.tcp and endpoint_matches(rule.match.tcp, host, port)), None
    )


def match_smtp(rules: Sequence[EffectRule], host: str, port: int) -> int | None:
    """The index of the first ``smtp`` rule for a connection: on the port that its ``tcp`` names, else on a mail port."""
    for index, rule in enumerate(rules):
        match = rule.match
        if not match.smtp or (match.host and not _host_matches(match.host, host, port)):
            continue
        if endpoint_matches(match.tcp, host, port) if match.tcp else port in SMTP_PORTS:
            return index
    return None


def endpoint_matches(pattern: str, host: str, port: int) -> bool:
    """Whether ``host:port``, with globs in both parts, is this endpoint. Loopback's names and addresses are one host."""
    wanted, _, wanted_port = pattern.rpartition(":")
    if not fnmatchcase(str(port), wanted_port):
        return False
    return (is_loopback(wanted) and is_loopback(host)) or fnmatchcase(normal(host), normal(wanted))


def infer_role(method: str, host: str) -> Role:
    """The role of an HTTP request that no rule gives one (requirements.md, Words)."""
    if method in SAFE_METHODS:
        return "read"
    if any(fnmatchcase(host, pattern) for pattern in LLM_HOSTS):
        return "llm-call"
    return "side-effect"


def holds_unit(answer: Answer) -> bool:
    """Whether a task source's answer holds a unit of work: 2xx, and not empty, ``null``, ``[]`` or ``{}``."""
    payload = answer.payload().strip()
    if not 200 <= answer.status < 300 or answer.status == 204 or not payload:
        return False
    try:
        return json.loads(payload) not in (None, [], {}, "")
    except ValueError:
        return True  # a text that is no JSON


class Script:
    """The scripted answers of a target's rules: each rule's in order, its last repeats. They start over with the target."""

    def __init__(self, rules: Sequence[EffectRule]) -> None:
        self._rules = rules
        self._given: Counter[int] = Counter()

    def restart(self) -> None:
        """Begin again with each rule's first answer."""
        self._given.clear()

    def next(self, index: int | None) -> Answer:
        """The next answer of a rule, and the default for what no rule answers."""
        if index is None or not (answers := self._rules[index].answers):
            return DEFAULT_ANSWER
        scripted = answers[min(self._given[index], len(answers) - 1)]
        self._given[index] += 1
        headers = {name: value for name, value in scripted.headers.items() if name.lower() not in _FRAMING}
        kind = next((headers.pop(name) for name in tuple(headers) if name.lower() == "content-type"), None)
        if any(name.lower() == "transfer-encoding" for name in scripted.headers):
            headers["Transfer-Encoding"] = "chunked"
        if scripted.text is not None:
            raw, default_kind = scripted.text.encode(), "text/plain; charset=utf-8"
        elif scripted.json is not None:
            raw, default_kind = json.dumps(scripted.json).encode(), "application/json"
        else:
            raw, default_kind = b"", "application/json"
        return Answer(status=scripted.status, raw=raw, content_type=kind or default_kind, headers=headers)


_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def _head_matches(match: Match, request: Outbound) -> bool:
    return (
        (match.method is None or fnmatchcase(request.method, match.method.upper()))
        and (match.host is None or _host_matches(match.host, request.host, request.port))
        and (match.path is None or fnmatchcase(request.path, match.path) or fnmatchcase(request.target, match.path))
    )


def _host_matches(pattern: str, host: str, port: int) -> bool:
    """A glob for the host, or for ``host:port``."""
    wanted = pattern.lower()
    if fnmatchcase(host, wanted) or fnmatchcase(f"{host}:{port}", wanted):
        return True
    name, wanted_port = split_authority(wanted, port)
    return is_loopback(name) and is_loopback(host) and wanted_port == port
