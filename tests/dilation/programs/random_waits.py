"""Waits on several threads of several processes: ``random_waits.py PLAN``, PLAN a JSON list of processes, of threads, of [kind, seconds].

Says ``KIND SECONDS NANOSECONDS`` for each wait. Between two waits a thread takes a token that goes round among all threads of all
processes, with the time at which it was put back: no clock may be behind it, nor behind what the thread itself has seen.
"""

from __future__ import annotations

import json
import os
import queue
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable

TOKEN = struct.Struct("qq")
TAKE, PUT = os.pipe()
CLOCKS = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME)


def never_answered(seconds: float) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), round(seconds % 1 * 1_000_000))
        )
        try:
            one.recv(1)
        except BlockingIOError:
            return
        raise AssertionError("received from nobody")


def in_queue(seconds: float) -> None:
    try:
        queue.Queue[None]().get(timeout=seconds)
    except queue.Empty:
        return
    raise AssertionError("got from nobody")


KINDS: dict[str, Callable[[float], object]] = {
    "sleep": time.sleep,
    "event": lambda seconds: threading.Event().wait(seconds),
    "queue": in_queue,
    "select": lambda seconds: select.select([], [], [], seconds),
    "poll": lambda seconds: select.poll().poll(seconds * 1000),
    "epoll": lambda seconds: select.epoll().poll(seconds),
    "receive": never_answered,
}


def now() -> tuple[int, ...]:
    return tuple(time.clock_gettime_ns(clock) for clock in CLOCKS)


def behind(later: tuple[int, ...], earlier: tuple[int, ...]) -> bool:
    return any(one < other for one, other in zip(later, earlier, strict=True))


def go(waits: list[tuple[str, float]]) -> None:
    seen = now()
    for kind, seconds in waits:
        token = TOKEN.unpack(os.read(TAKE, TOKEN.size))
        for _ in range(100):
            read = now()
            if behind(read, seen) or behind(read, token):
                os.write(1, f"a clock ran back: {read} after {seen} and {token}\n".encode())
            seen = read
        os.write(PUT, TOKEN.pack(*seen))
        began = time.monotonic_ns()
        KINDS[kind](seconds)
        os.write(1, f"{kind} {seconds} {time.monotonic_ns() - began}\n".encode())


def main() -> None:
    os.write(PUT, TOKEN.pack(*now()))
    children = []
    for process in json.loads(sys.argv[1]):
        child = os.fork()
        if child == 0:
            threads = [threading.Thread(target=go, args=(waits,)) for waits in process]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


main()
