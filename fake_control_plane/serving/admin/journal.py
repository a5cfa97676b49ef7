"""The journal over HTTP: a page of it, and a stream of server-sent events (WHATWG HTML, 9.2).

Each event of the stream has the id ``NAME-NUMBER``: the journal's name, which is new with every server, and the entry's
number. A client that comes back with ``Last-Event-ID`` gets what came after that entry. What the memory no longer has is not
passed over in silence: an event ``missed`` says how many entries that was. The events:

- ``began`` ``{"journal": NAME, "after": NUMBER}``: first of all; the stream goes on behind that number;
- ``entry``: an entry of the journal;
- ``missed`` ``{"missed": COUNT}``: so many entries were dropped before they could be sent;
- a comment at least every 15 seconds, so that both sides see a connection that is gone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fake_control_plane.serving.admin.endpoints import Asked, Endpoint
from fake_control_plane.serving.admin.fields import Field, read_query
from fake_control_plane.serving.admin.held import Held
from fake_control_plane.serving.admin.problems import Refused
from fake_control_plane.serving.journal import Entry, Journal

HEARTBEAT = 15.0
"""Seconds after which a silent stream says that it is still there: less than the idle timeouts of usual proxies."""

_PAGE = 10_000

FILTERS = (
    Field(name="kind", kind="text", meaning="only these", choices=("call", "action"), required=False),
    Field(name="org", kind="text", meaning="only those of the org with this id", required=False),
    Field(name="device", kind="text", meaning="only those of devices that this glob matches", required=False),
    Field(name="operation", kind="text", meaning="only this operation or action", required=False),
    Field(name="decision", kind="text", meaning="only these", choices=("allow", "deny", "failure"), required=False),
    Field(name="rule", kind="text", meaning="only calls that this fault rule acted on", required=False),
)
STREAM_QUERY = (
    *FILTERS,
    Field(
        name="since",
        kind="whole",
        meaning="begin behind this entry, 0 for all that the memory has; without it, and without Last-Event-ID, from now on",
        required=False,
    ),
)


def read_journal(held: Held, asked: Asked) -> Any:
    """A page: ``last`` is where the next one begins, also if no entry of this one passed the filters."""
    journal = held.journal
    # A number beyond the last is of an earlier server: everything here is new to whoever asks.
    since, limit = min(asked.query["since"], journal.last), asked.query["limit"]
    passes = passing(asked.query)
    entries: list[Entry] = []
    missed = journal.since(since, limit=0).missed
    last = since + missed
    for entry in journal.walk(since):
        if len(entries) == limit:
            break
        last = entry.number
        if passes(entry):
            entries.append(entry)
    return {
        "journal": journal.name,
        "missed": missed,
        "entries": [entry.to_json() for entry in entries],
        "last": last,
    }


def passing(values: Mapping[str, Any]) -> Callable[[Entry], bool]:
    """Whether an entry passes these filters."""
    exact = {name: values[name] for name in ("kind", "org", "operation", "decision") if values[name] is not None}
    device, rule = values["device"], values["rule"]

    def passes(entry: Entry) -> bool:
        if device is not None and (entry.device is None or not fnmatchcase(entry.device, device)):
            return False
        if rule is not None and rule not in (entry.rule or "").split("+"):
            return False
        return all(getattr(entry, name) == value for name, value in exact.items())

    return passes


async def stream(request: Request) -> Response:
    """``GET journal/stream``: see the module."""
    held: Held = request.app.state.held
    values = read_query(request.query_params.multi_items(), STREAM_QUERY)
    after = _begin(held.journal, values["since"], request.headers.get("last-event-id"))
    if request.method == "HEAD":  # which has an end
        return Response(media_type="text/event-stream")
    return StreamingResponse(
        _events(held, after, passing(values)),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},  # a proxy must not gather events
    )


def _begin(journal: Journal, since: int | None, last_event: str | None) -> int:
    """The number behind which the stream begins."""
    if last_event is None:
        return journal.last if since is None else since
    name, _, number = last_event.rpartition("-")
    if not (number.isascii() and number.isdecimal()) or len(number) > 16:
        expected = "an id of this stream, such as 1a2b3c4d-17"
        raise Refused(
            "invalid_value", f"Last-Event-ID: got {last_event[:100]!r}; expected {expected}", expected=expected
        )
    # Of another server: all that this one has is new to the client.
    return int(number) if name == journal.name else journal.first - 1


async def _events(held: Held, after: int, passes: Callable[[Entry], bool]) -> AsyncIterator[str]:
    journal = held.journal
    subscription = journal.follow(after)
    yield event("began", {"journal": journal.name, "after": subscription.after})
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT):
                batch = await subscription.next()
        except TimeoutError:
            yield ": still here\n\n"
            continue
        text = [event("missed", {"missed": batch.missed})] if batch.missed else []
        text += [
            event("entry", entry.to_json(), event_id=f"{journal.name}-{entry.number}")
            for entry in batch.entries
            if passes(entry)
        ]
        if text:
            yield "".join(text)
        if not batch.entries:  # the journal was closed
            return


def event(name: str, value: Mapping[str, Any], *, event_id: str | None = None) -> str:
    """One server-sent event. JSON without indentation has no line breaks, so that it is one data line."""
    head = "" if event_id is None else f"id: {event_id}\n"
    return f"{head}event: {name}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n"


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/journal",
        name="journal",
        summary="Calls and actions, oldest first.",
        act=read_journal,
        query=(
            *FILTERS,
            Field(name="since", kind="whole", meaning="only entries behind this number", required=False, default=0),
            Field(name="limit", kind="whole", meaning="how many to show", required=False, default=1000, most=_PAGE),
        ),
        answer="Journal",
        answered="One page; the next begins behind its `last`.",
    ),
)
