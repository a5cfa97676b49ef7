"""``docs/admin-api.md``, made from the tables that the admin API is made from.

``python -m fake_control_plane.serving.admin.manual`` prints it; a test keeps the two equal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fake_control_plane.serving.admin.api import ENDPOINTS, PREFIX
from fake_control_plane.serving.admin.endpoints import Endpoint
from fake_control_plane.serving.admin.fields import Field
from fake_control_plane.serving.admin.problems import PROBLEMS
from fake_control_plane.serving.admin.shapes import SCHEMAS

_INTRODUCTION = """\
# The admin API of `fake-control-plane serve`

Everything that the console can do, every fault, and a live journal, as REST with JSON. `/openapi.json` on the admin port describes it
in full (OpenAPI 3.1); `fake_control_plane.client` has a method for each operation, sync and async, and the command line a command for
most. `/openapi/control-plane.json` describes the data port.

This file is made from the code: `python -m fake_control_plane.serving.admin.manual > docs/admin-api.md`.

## Who may use it

The admin port listens on loopback, where it needs no token. It then answers only requests whose `Host` is a name of the loopback, so
that no web page can reach it under a name of its own (DNS rebinding). Beyond loopback it starts only with a token, which every request
has to carry: `Authorization: Bearer TOKEN`. Requests that may change something are refused if a page of another origin sent them (`Origin`,
`Sec-Fetch-Site`), and if their `Content-Type` is one that a form can send. Only `/healthz` and the dashboard's page need no token: they
hold no data.

An org key is a secret: it is in the answers of `create_org` and `rotate_key`, and nowhere else. Everything names orgs by id (`org-1`).
"""

_ERRORS = """\
## Errors

One shape: `{"error": word, "message": for people, "expected"?: what would have been right, "remedy"?: what to do}`. Words are stable,
messages may change. A request that got an error changed nothing, `not_stored` apart.
"""

_STREAM = f"""\
## The stream

`GET {PREFIX}/journal/stream` sends the journal as server-sent events, from now on, or behind `since=NUMBER` (0: all that the memory has).
It takes the filters of `journal`. Its events:

| event | data |
|---|---|
| `began` | `{{"journal": NAME, "after": NUMBER}}`, first of all: the stream goes on behind that entry |
| `entry` | an entry; its id is `NAME-NUMBER` |
| `missed` | `{{"missed": COUNT}}`: so many entries were dropped before they could be sent |
| (comment) | at least every 15 seconds |

Send the last id as `Last-Event-ID` to go on behind it. A journal's name is new with every server: an id of another one begins at the
oldest entry that this one has. The memory keeps the last 10,000 entries; `--journal FILE` keeps them all, one JSON object a line.
"""

_MORE = """\
## Beside the table

| path | what |
|---|---|
| `GET /healthz` | 200 `{"healthy": true, "problems": []}`, or 503 when state or journal cannot be written |
| `GET /metrics` | Prometheus text: calls by org, operation, decision and status; their latency; faults by rule and ending; actions; the \
journal's entries and what it dropped; devices by what a validate would say now |
| `GET /openapi.json`, `GET /openapi/control-plane.json` | the OpenAPI documents of the admin port and of the data port |
"""


def text() -> str:
    """The whole file."""
    return "\n".join([_INTRODUCTION, *_operations(), _STREAM, _MORE, _ERRORS, *_errors(), "", *_entry()]) + "\n"


def _operations() -> Iterator[str]:
    yield "## Operations"
    yield ""
    yield f"Paths stand behind `{PREFIX}`. Fields with `?` may be left out."
    yield ""
    yield "| operation | request | does | answers |"
    yield "|---|---|---|---|"
    for endpoint in ENDPOINTS:
        request = f"`{endpoint.method} {endpoint.path}`{_said(endpoint)}"
        yield f"| `{endpoint.name}` | {request} | {endpoint.summary} | {endpoint.status}: {endpoint.answered} |"
    yield ""


def _said(endpoint: Endpoint) -> str:
    parts = []
    if endpoint.query:
        parts.append(f"query {_fields(endpoint.query)}")
    if endpoint.body == "rule":
        parts.append('body `{"line": "status=503 operation=validate first=2"}`, or a rule as JSON (docs/faults.md)')
    elif endpoint.body:
        parts.append(f"body {_fields(endpoint.body)}")
    return "".join(f"; {part}" for part in parts)


def _fields(fields: Sequence[Field]) -> str:
    return ", ".join(f"`{field.name}{'' if field.required else '?'}` ({_meaning(field)})" for field in fields)


def _meaning(field: Field) -> str:
    return f"{field.meaning}: {', '.join(field.choices)}" if field.choices else field.meaning


def _errors() -> Iterator[str]:
    yield "| word | status | it comes when | remedy |"
    yield "|---|---|---|---|"
    for problem in PROBLEMS.values():
        yield f"| `{problem.word}` | {problem.status} | {problem.when} | {problem.remedy or ''} |"


def _entry() -> Iterator[str]:
    yield "## An entry of the journal"
    yield ""
    yield "| field | what |"
    yield "|---|---|"
    for name, schema in SCHEMAS["Entry"]["properties"].items():
        yield f"| `{name}` | {_shape(schema)} |"


def _shape(schema: Mapping[str, Any]) -> str:
    """A small schema in words."""
    kinds = schema.get("anyOf", [schema])
    words = [" or ".join(kind["enum"]) if "enum" in kind else kind["type"] for kind in kinds]
    described = schema.get("description")
    return " or ".join(words) + (f": {described}" if described else "")


if __name__ == "__main__":
    sys.stdout.write(text())
