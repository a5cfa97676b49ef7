"""The waits of Python and of its HTTP clients: ``waits.py SECONDS SILENT REFUSING NAME...``

SILENT is a port that takes connections and never answers, REFUSING one that takes none. Says ``ready``, and at a line on stdin begins all
waits at once, each in a thread; says ``begin NAME``, and ``end NAME NANOSECONDS`` with what the wait took on the clock that the program
sees. Runs on Python 3.9 and later.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

SECONDS, SILENT, REFUSING, NAMES = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
URL = f"http://127.0.0.1:{SILENT}/"
BRIEF = 0.001
Row = Callable[[float], object]


def say(words: str) -> None:
    """One line in one write: the waits speak at the same time."""
    os.write(1, (words + "\n").encode())


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    say(f"begin {name}")
    began = time.monotonic_ns()
    yield
    say(f"end {name} {time.monotonic_ns() - began}")


def expires(kind: type[BaseException] | tuple[type[BaseException], ...], wait: Callable[[], object]) -> None:
    """The wait must end with its own exception."""
    try:
        wait()
    except kind:
        return
    raise AssertionError(f"{wait} did not time out")


def run(make: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> object:
    async def call() -> object:
        return await make(*arguments)

    return asyncio.run(call())


def wait_for(seconds: float) -> None:
    async def wait() -> None:
        await asyncio.wait_for(asyncio.get_running_loop().create_future(), seconds)

    expires(asyncio.TimeoutError, lambda: run(wait))


def lock(seconds: float) -> None:
    held = threading.Lock()
    held.acquire()
    assert not held.acquire(timeout=seconds)


def future(seconds: float) -> None:
    never: concurrent.futures.Future[None] = concurrent.futures.Future()
    expires(concurrent.futures.TimeoutError, lambda: never.result(seconds))


def epoll(seconds: float) -> None:
    with select.epoll() as nothing:
        assert nothing.poll(seconds) == []


def receive(seconds: float) -> None:
    with socket.create_connection(("127.0.0.1", SILENT)) as connection:
        connection.settimeout(seconds)
        expires(socket.timeout, lambda: connection.recv(1))


def process(seconds: float) -> None:
    with subprocess.Popen(["sleep", "1000000"], stdin=subprocess.DEVNULL) as child:
        try:
            expires(subprocess.TimeoutExpired, lambda: child.wait(timeout=seconds))
        finally:
            child.kill()


class Alarmed(BaseException):
    """Raised by the alarm's handler."""


def alarm(seconds: float) -> None:
    def handle(*_: object) -> None:
        raise Alarmed

    def pause() -> None:
        while True:
            signal.pause()

    signal.signal(signal.SIGALRM, handle)
    signal.alarm(int(seconds))
    expires(Alarmed, pause)


ALARM = "signal.alarm"
STANDARD: dict[str, Row] = {
    "time.sleep": time.sleep,
    "Event.wait": lambda seconds: threading.Event().wait(seconds),
    "Queue.get": lambda seconds: expires(queue.Empty, lambda: queue.Queue().get(timeout=seconds)),
    "Lock.acquire": lock,
    "Future.result": future,
    "select": lambda seconds: select.select([], [], [], seconds),
    "poll": lambda seconds: select.poll().poll(seconds * 1000),
    "epoll": epoll,
    "asyncio.sleep": lambda seconds: run(asyncio.sleep, seconds),
    "asyncio.wait_for": wait_for,
    "socket.settimeout": receive,
    "subprocess.wait": process,
    ALARM: alarm,
}


def clients() -> dict[str, Row]:
    """Each is made and used once before it is measured: what it loads on first use is none of the wait."""
    # Here, for the interpreters that have none of them.
    import aiohttp  # noqa: PLC0415
    import httpx  # noqa: PLC0415
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    session = requests.Session()
    client = httpx.Client(verify=False, timeout=BRIEF)
    pool = urllib3.PoolManager()

    async def httpx_get(seconds: float) -> None:
        async with httpx.AsyncClient(verify=False, timeout=seconds) as asynchronous:
            await asynchronous.get(URL)

    async def aiohttp_get(seconds: float) -> None:
        limit = aiohttp.ClientTimeout(total=seconds)
        async with aiohttp.ClientSession(timeout=limit) as asynchronous, asynchronous.get(URL):
            pass

    def back_off(seconds: float) -> None:
        # The second retry is the first that waits, twice the factor.
        retry = urllib3.Retry(total=2, backoff_factor=seconds / 2, backoff_max=seconds)
        pool.request("GET", f"http://127.0.0.1:{REFUSING}/", retries=retry)

    rows: dict[str, Row] = {
        "requests": lambda seconds: expires(requests.Timeout, lambda: session.get(URL, timeout=seconds)),
        "httpx": lambda seconds: expires(httpx.TimeoutException, lambda: client.get(URL, timeout=seconds)),
        "httpx async": lambda seconds: expires(httpx.TimeoutException, lambda: run(httpx_get, seconds)),
        "aiohttp": lambda seconds: expires(asyncio.TimeoutError, lambda: run(aiohttp_get, seconds)),
        "urllib3 Retry": lambda seconds: expires(urllib3.exceptions.MaxRetryError, lambda: back_off(seconds)),
    }
    for row in rows.values():
        row(BRIEF)
    return rows


def main() -> None:
    rows = STANDARD if all(name in STANDARD for name in NAMES) else clients()

    def measure(name: str) -> None:
        with timed(name):
            rows[name](SECONDS)

    threads = [threading.Thread(target=measure, args=(name,)) for name in NAMES if name != ALARM]
    say("ready")
    sys.stdin.readline()
    for thread in threads:
        thread.start()
    if ALARM in NAMES:
        measure(ALARM)  # signals are for the first thread
    for thread in threads:
        thread.join()


main()
