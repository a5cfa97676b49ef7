"""Whether target time works here for this kind of target, tried before it is used: a few waits of its own runtime, twenty times as fast.

The waits go on side by side, so a probe takes a tenth of a second and the start of one process. What a single process of the target then
loads is looked at in each run (``World.asleep``).
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from machineid_conformance.config.model import Target
from machineid_conformance.dilation.build import Library, place
from machineid_conformance.dilation.page import Page
from machineid_conformance.engine.api import Session
from machineid_conformance.engine.pace import Pace
from machineid_conformance.engine.target_time import TargetTime
from machineid_conformance.gateway.tasks import cancelled
from machineid_conformance.isolation.api import AllGone, OutputChunk, TimeFiles, World, WorldSpec
from machineid_conformance.isolation.environment import target_environment

RATE = 20.0
ASKED = 2.0
"""Target seconds of each wait."""
LATE = 0.05 * ASKED + 0.05 * RATE
"""Target seconds by which a wait may be late (``tests/dilation``)."""
WITHIN = 20.0
"""Real seconds for everything."""
ATTEMPTS = 3
"""A busy machine makes waits late, never early."""

PYTHON = """
import json, select, threading, time
def timer():
    done = threading.Event()
    threading.Timer(ASKED, done.set).start()
    done.wait()
def lock():
    held = threading.Lock()
    held.acquire()
    held.acquire(timeout=ASKED)
waits = {"sleep": lambda: time.sleep(ASKED), "poll": lambda: select.poll().poll(ASKED * 1000), "epoll": lambda: select.epoll().poll(ASKED),
         "a lock's timeout": lock, "a timer's thread": timer}
took = {}
def measure(name):
    began = time.monotonic()
    waits[name]()
    took[name] = time.monotonic() - began
threads = [threading.Thread(target=measure, args=(name,)) for name in waits]
print(flush=True)
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(took), flush=True)
"""
NODE = """
const began = performance.now();
console.log();
setTimeout(() => console.log(JSON.stringify({"setTimeout": (performance.now() - began) / 1000})), ASKED * 1000);
"""
RUNTIMES: Mapping[str, tuple[str, str]] = {"python": ("-c", PYTHON), "node": ("-e", NODE)}
"""By the beginning of a program's name: the option that takes a program, and the program."""


async def probe(session: Session, library: Library, target: Target) -> str | None:
    """Why target time cannot be used for ``target``, in words; None if it can."""
    command = _command(target)
    why = None
    for _ in range(ATTEMPTS):
        try:
            why = await _attempt(session, library, target, command)
        except ValueError as error:  # of a folder that LD_PRELOAD cannot name
            return str(error)
        if why is None:
            return None
    return f"tried with {command[0]}, {why}"


def _command(target: Target) -> tuple[str, ...]:
    program = target.command[0]
    for beginning, (option, text) in RUNTIMES.items():
        if Path(program).name.startswith(beginning):
            return (program, option, text.replace("ASKED", str(ASKED)))
    return (sys.executable, "-c", PYTHON.replace("ASKED", str(ASKED)))


async def _attempt(session: Session, library: Library, target: Target, command: Sequence[str]) -> str | None:
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=session.scratch, ignore_cleanup_errors=True)))
        for name in ("world", "cwd", "time"):
            (folder / name).mkdir()
        placed = place(library, folder / "time")
        page = Page(placed.page, placed.woken)
        stack.callback(page.close)
        world = await session.open_world(
            WorldSpec(
                folder=folder / "world", cwd=folder / "cwd", command=tuple(command), authority=session.authority_pem,
                time=TimeFiles(library=placed.path, page=placed.page, woken=placed.woken),
            )
        )  # fmt: skip
        stack.push_async_callback(world.close)
        environment = target_environment(target, world.environment, org_key="", device=None, port=None, n=1)
        try:
            async with asyncio.timeout(WITHIN):
                await world.start(command=command, environment=environment)
                return await _judged(world, page)
        except OSError as error:
            return f"it cannot be started: {error}"
        except TimeoutError:
            return f"its waits of {ASKED:g} s did not end within {WITHIN:g} s"


async def _judged(world: World, page: Page) -> str | None:
    """The first line says that the waits begin, the second how long each took in target time."""
    target_time = TargetTime()
    target_time.follow(page)
    outside = list[str]()

    async def asleep() -> bool:
        found = await world.asleep()
        if found.asleep:  # one that is being started has yet to load it
            outside.extend(found.outside)
        return found.asleep and not outside

    pace = Pace(target_time, highest=RATE, asleep=asleep)
    following = asyncio.create_task(pace.follow())
    try:
        said, real = await _said(world)
    finally:
        await cancelled(following)
    if outside:
        return f"{outside[0]!r} did not load the library"
    try:
        took: dict[str, float] = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        return f"it did not do what it was asked to: {said.decode(errors='backslashreplace')[-500:].strip() or 'it said nothing'}"
    for name, seconds in took.items():
        if not ASKED <= seconds <= ASKED + LATE:
            return f"{name} took {seconds:.2f} s of target time for {ASKED:g} s"
    if real > ASKED / 2:
        return f"waits of {ASKED:g} s took {real:.2f} s of real time, with time {RATE:g} times as fast"
    return None


async def _said(world: World) -> tuple[bytes, float]:
    """What the probe wrote, and the real seconds between its two lines."""
    said, began = b"", 0.0
    async for event in world.events():
        if isinstance(event, AllGone):
            break
        if not isinstance(event, OutputChunk):
            continue
        if said == b"" and event.stream == "stdout":
            began = time.monotonic()
        said += event.data
        if event.stream == "stdout" and said.count(b"\n") >= 2:
            break
    return said, time.monotonic() - began
