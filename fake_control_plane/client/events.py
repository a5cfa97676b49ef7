"""Server-sent events (WHATWG HTML, 9.2.6) read line by line, without a network."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from typing import Self, TypeAlias

from fake_control_plane.client.errors import UnexpectedAnswer
from fake_control_plane.client.results import Began, Entry, Missed, read

Event: TypeAlias = Began | Entry | Missed

_KINDS: dict[str, type[Began | Entry | Missed]] = {"began": Began, "entry": Entry, "missed": Missed}


class EventReader:
    """Takes lines, gives events. ``last_id`` is what to send as ``Last-Event-ID`` to go on behind the last entry."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        self._id: str | None = None
        self._name = ""
        self._data: list[str] = []

    def line(self, line: str) -> Event | None:
        """The next line, without its end; the event that it completes, if it does.

        Raises:
            UnexpectedAnswer: what was sent is no event of the admin API.
        """
        if line:
            name, _, value = line.partition(":")  # a comment has an empty name
            self._field(name, value.removeprefix(" "))
            return None
        name, data, event_id = self._name, self._data, self._id
        self._name, self._data, self._id = "", [], None
        if not data:
            return None
        kind = _KINDS.get(name)
        if kind is None:  # of a newer server
            return None
        try:
            event: Event = read(kind, json.loads("\n".join(data)))
        except ValueError as error:
            raise UnexpectedAnswer(f"an event of the journal is not JSON: {error}") from error
        if event_id is not None:
            self.last_id = event_id
        return event

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value


class Events:
    """The events of one stream, in order. ``told`` turns the network's errors into ours."""

    def __init__(self, lines: Iterator[str], *, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._lines = lines
        self._told = told
        self._reader = EventReader()

    @property
    def last_id(self) -> str | None:
        """What ``follow(last_event_id=…)`` takes to go on behind the last entry; None before the first."""
        return self._reader.last_id

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        with self._told():
            for line in self._lines:
                event = self._reader.line(line)
                if event is not None:
                    return event
        raise StopIteration


class AsyncEvents:
    """``Events``, awaited."""

    def __init__(self, lines: AsyncIterator[str], *, told: Callable[[], AbstractContextManager[None]]) -> None:
        self._lines = lines
        self._told = told
        self._reader = EventReader()

    @property
    def last_id(self) -> str | None:
        """As of ``Events``."""
        return self._reader.last_id

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        with self._told():
            async for line in self._lines:
                event = self._reader.line(line)
                if event is not None:
                    return event
        raise StopAsyncIteration
