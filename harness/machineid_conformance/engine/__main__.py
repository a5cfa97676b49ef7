"""The engine's process: one request on standard input, JSON Lines on standard output.

Nothing else may be written to standard output: it is the stream. When standard input is closed, or on SIGTERM or SIGINT, the engine ends
its targets, writes the results so far, and ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from machineid_conformance.config.errors import ConfigurationError
from machineid_conformance.engine.api import SetupError
from machineid_conformance.engine.interruption import Interruption
from machineid_conformance.engine.main import judge
from machineid_conformance.engine.selection import SelectionError
from machineid_conformance.engine.stream import Message, Request
from machineid_conformance.isolation.api import IsolationError
from machineid_conformance.scenario.errors import ScenarioError
from machineid_conformance.toxics.find import ToxiproxyUnavailable
from machineid_conformance.trace.writer import ReportError

EXIT_USAGE, EXIT_HARNESS, EXIT_INTERRUPTED = 2, 4, 130
MANY_DESCRIPTORS = 65536


def parse_request(text: str) -> Request:
    """The request, from its JSON. Raises ValueError naming the field that is unknown."""
    data: dict[str, Any] = json.loads(text)
    known = {field.name for field in fields(Request)}
    if unknown := set(data) - known:
        raise ValueError(f"unknown request fields {sorted(unknown)}; known are {sorted(known)}")
    for name in ("command", "targets", "rules", "scenario_globs"):
        if data.get(name) is not None:
            data[name] = tuple(data[name])
    if data.get("faults", "built-in") not in ("built-in", "toxiproxy"):
        raise ValueError(f"faults: got {data['faults']!r}; expected built-in or toxiproxy")
    if data.get("scenarios") is not None:
        data["scenarios"] = {target: tuple(ids) for target, ids in data["scenarios"].items()}
    return Request(**data)


class _Stream:
    """Writes messages whole; when its reader is gone, ``on_gone`` is called once and nothing is written any more."""

    def __init__(self) -> None:
        self.on_gone: Callable[[], None] = lambda: None
        self._gone = False
        self._file = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)  # a stray print of a library must not break the stream

    def emit(self, message: Message) -> None:
        if self._gone:
            return
        try:
            self._file.write(json.dumps(message.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
            self._file.flush()
        except BrokenPipeError:
            self._gone = True
            os.dup2(2, self._file.fileno())  # what is left in its buffer must not fail again when Python ends
            self.on_gone()


def _cause(error: BaseException) -> BaseException:
    """The first real error of a group of tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _main(request: Request, stream: _Stream) -> int:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    interruption = Interruption()
    stream.on_gone = interruption.ask
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, interruption.ask)
    strays: list[BaseException] = []

    def stray(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that no run awaits (a connection's, a callback's) would leave a trace incomplete: nothing may be judged."""
        strays.append(context.get("exception") or RuntimeError(context["message"]))
        task.cancel()

    loop.set_exception_handler(stray)
    with contextlib.suppress(OSError):  # a request from a file has no end that could be waited for
        loop.add_reader(0, _reader_gone, interruption)
    try:
        finished = await judge(request, stream.emit, interruption)
    except asyncio.CancelledError:
        if strays:
            return _failed(strays[0], stream)
        said = "interrupted before the first run: nothing was judged, and no results were written"
        stream.emit(Message(kind="failed", payload={"error": "interrupted", "message": said, "exit": EXIT_INTERRUPTED}))
        return EXIT_INTERRUPTED
    except BaseException as error:  # noqa: BLE001  (whatever it is, the front must be told)
        return _failed(_cause(error), stream)
    stream.emit(finished)
    return int(finished.payload["exit"])


def _reader_gone(interruption: Interruption) -> None:
    """Standard input is at its end: whoever asked is gone, and nobody reads the stream."""
    if not os.read(0, 4096):
        asyncio.get_running_loop().remove_reader(0)
        interruption.ask()


def _more_descriptors() -> None:
    """Every world holds some fifteen; the usual soft limit of 1024 is for programs with less to watch."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MANY_DESCRIPTORS)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _failed(error: BaseException, stream: _Stream) -> int:
    kinds: dict[type[BaseException], str] = {
        IsolationError: "isolation",
        ConfigurationError: "configuration",
        ScenarioError: "configuration",
        SetupError: "configuration",
        SelectionError: "usage",
        ToxiproxyUnavailable: "usage",
        ReportError: "usage",
    }
    kind = next((word for cls, word in kinds.items() if isinstance(error, cls)), "harness")
    message = str(error)
    code = EXIT_USAGE
    if kind == "harness":
        code = EXIT_HARNESS
        message = f"the harness itself failed: {type(error).__name__}: {error}"
        traceback.print_exception(error)
    stream.emit(Message(kind="failed", payload={"error": kind, "message": message, "exit": code}))
    return code


def main() -> int:
    """Read the request, work, return the exit code."""
    _more_descriptors()
    # What is loaded by now stays, and the events of the runs that were judged stay too: looking through them again and again for garbage
    # was a tenth of the engine's time.
    gc.freeze()
    gc.set_threshold(50_000)
    stream = _Stream()
    try:
        request = parse_request(sys.stdin.readline())
    except (ValueError, TypeError) as error:
        stream.emit(Message(kind="failed", payload={"error": "usage", "message": str(error), "exit": EXIT_USAGE}))
        return EXIT_USAGE
    return asyncio.run(_main(request, stream))


if __name__ == "__main__":
    sys.exit(main())
