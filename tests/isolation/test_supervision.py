"""Processes and output: nothing of a target is lost, and nothing of it stays. In both kinds of world."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from machineid_conformance.isolation.api import AllGone, FileTouched, MainExited, OutputChunk, World
from machineid_conformance.isolation.events import HIGH
from machineid_conformance.isolation.lines import LineSplitter
from tests.isolation.support import Seen, base_environment, opened, place, run, run_python

DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('daemon up', flush=True)
        time.sleep(1000)
    os._exit(0)
os.wait()
sys.stdin.read()
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('up', flush=True)
while True:
    time.sleep(1000)
"""


@pytest.fixture(params=["namespace", "proxy"])
def inside(request: pytest.FixtureRequest) -> Callable[[Callable[[World], Coroutine[Any, Any, Any]]], Any]:
    """Run a coroutine function with a world of this mode."""

    def go(body: Callable[[World], Coroutine[Any, Any, Any]], **fields: Any) -> Any:
        async def main() -> Any:
            async with opened(here.spec(**fields), request.param) as world:
                return await body(world)

        with place() as here:
            return asyncio.run(main())

    return go


Inside = Callable[..., Any]


async def started(world: World, script: str, until: bytes) -> Seen:
    await world.start(command=[sys.executable, "-c", script], environment=base_environment(world))
    seen = Seen()
    await seen.until_output(world, until)
    return seen


def test_exit_code_output_and_order(inside: Inside) -> None:
    seen = inside(
        lambda world: run_python(world, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    )
    assert (seen.output(), seen.output("stderr")) == (b"out\n", b"err\n")
    assert seen.exited == MainExited(start=1, code=7, signal=None, left=())
    assert seen.events[-1] == AllGone(start=1)
    last = [index for index, event in enumerate(seen.events) if isinstance(event, OutputChunk) and event.last]
    data = [index for index, event in enumerate(seen.events) if isinstance(event, OutputChunk) and event.data]
    assert len(last) == 2
    assert max(data) < seen.events.index(seen.exited)


def test_stdin_is_at_its_end_and_only_standard_descriptors_are_open(inside: Inside) -> None:
    script = "import os, sys; print(repr(sys.stdin.read()), sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])"
    seen = inside(lambda world: run_python(world, script))
    assert seen.output() == b"'' [0, 1, 2]\n"


def test_signals_of_the_harness_do_not_reach_it_as_settings(inside: Inside) -> None:
    script = """
import signal
status = open('/proc/self/status').read()
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, signal.pthread_sigmask(0, []), status.split('SigIgn:\\t')[1][:16])
"""
    seen = inside(lambda world: run_python(world, script))
    ignored = int(seen.output().split()[2], 16)
    assert seen.output().split()[:2] == [b"True", b"set()"]
    # The first two Python ignores by itself; 32 and 33 the C library keeps for itself: no program can set them back.
    expected = {signal.SIGPIPE, signal.SIGXFSZ, 32, 33}
    assert ignored & ~sum(1 << (number - 1) for number in expected) == 0


@pytest.mark.parametrize(("command", "error"), [("no-such-program", FileNotFoundError), ("./locked", PermissionError)])
def test_a_command_that_cannot_be_executed_is_named(inside: Inside, command: str, error: type[OSError]) -> None:
    async def body(world: World) -> Seen:
        await run_python(world, "open('locked', 'w').write('#!/bin/sh')")
        with pytest.raises(error, match=command.replace(".", r"\.")) as raised:
            await world.start(command=[command], environment=base_environment(world))
        assert raised.value.filename == command
        start = await world.start(command=["true"], environment=base_environment(world))
        assert start == 2
        seen = Seen()
        await seen.until(world, AllGone, start=2)
        return seen

    assert inside(body).exited.code == 0


def test_a_daemon_is_known_and_ended(inside: Inside) -> None:
    async def body(world: World) -> tuple[Seen, tuple[str, ...]]:
        seen = await started(world, DAEMON, b"daemon up\n")
        if not any(isinstance(event, MainExited) for event in seen.events):  # it may end before its daemon speaks
            await seen.until(world, MainExited)
        left = await world.kill()
        await seen.until(world, AllGone)
        return seen, left

    seen, left = inside(body)
    assert seen.exited.code == 0
    assert len(seen.exited.left) == 1
    assert "daemon up" in seen.exited.left[0]
    assert left == seen.exited.left


def test_a_target_that_ignores_sigterm_is_killed(inside: Inside) -> None:
    async def body(world: World) -> Seen:
        seen = await started(world, STUBBORN, b"up\n")
        await world.signal(signal.SIGTERM)
        _, left = await world.busy(), await world.kill()
        assert len(left) == 1
        await seen.until(world, AllGone)
        return seen

    seen = inside(body)
    assert (seen.exited.code, seen.exited.signal) == (None, "SIGKILL")


def test_a_target_that_forks_without_end_is_killed(inside: Inside) -> None:
    script = """
import os, time
print('up', flush=True)
for _ in range(200):
    if os.fork():
        os._exit(0)
    time.sleep(0.001)
time.sleep(1000)
"""

    async def body(world: World) -> Seen:
        seen = await started(world, script, b"up\n")
        await seen.until(world, MainExited)
        await world.kill()
        await seen.until(world, AllGone)
        return seen

    assert inside(body).exited.code == 0


def test_signals_reach_all_or_the_main_process_only(inside: Inside) -> None:
    script = """
import os, signal
expected = {signal.SIGUSR1, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, expected)  # none is missed between two steps of the interpreter
child = os.fork()
name = 'main' if child else 'child'
def say(text): os.write(1, f'{name} {text}\\n'.encode())  # in one piece: two processes write to this pipe
say('up')
while signal.sigwait(expected) == signal.SIGUSR1:
    say('got it')
if child:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
else:
    say('was not meant')
"""

    async def body(world: World) -> Seen:
        seen = await started(world, script, b"up\n")
        for text in (b"main up\n", b"child up\n"):
            await seen.until_output(world, text)
        await world.signal(signal.SIGUSR1)
        for text in (b"main got it\n", b"child got it\n"):
            await seen.until_output(world, text)
        await world.signal(signal.SIGUSR2, everything=False)
        await seen.until(world, AllGone)
        return seen

    seen = inside(body)
    assert seen.exited.code == 0
    assert b"not meant" not in seen.output()


def test_stop_and_continue_and_what_busy_says(inside: Inside) -> None:
    async def body(world: World) -> None:
        seen = await started(world, "print('up', flush=True)\nwhile True: pass", b"up\n")
        while not (await world.busy())[1] or (await world.busy())[0] == 0:  # counted in ticks of 10 ms
            pass
        await world.signal(signal.SIGSTOP)
        while (await world.busy())[1]:
            pass
        stopped, _ = await world.busy()
        assert stopped > 0
        assert (await world.busy()) == (stopped, False)
        await world.signal(signal.SIGCONT)
        while (await world.busy())[0] <= stopped:
            pass
        await world.kill()
        await seen.until(world, AllGone)
        assert (await world.busy())[0] >= stopped
        assert not (await world.busy())[1]

    inside(body)


def test_it_can_be_started_again_in_the_same_world(inside: Inside) -> None:
    async def body(world: World) -> Seen:
        seen = await run_python(world, "open('state', 'w').write('first'); print(1)")
        assert await world.start(command=[sys.executable, "-c", "print(open('state').read())"], environment={}) == 2
        await seen.until(world, AllGone, start=2)
        return seen

    assert inside(body).output() == b"1\nfirst\n"


def test_drain_returns_what_was_written_before_without_waiting(inside: Inside) -> None:
    script = """
import os, socket
s = socket.create_server(('127.0.0.1', 8899)); os.write(1, b'up\\n')
c, _ = s.accept()
for n in range(50):
    c.recv(1); os.write(1, b'line %d\\n' % n); os.write(2, b'also %d\\n' % n); c.send(b'.')
"""

    async def body(world: World) -> None:
        loop = asyncio.get_running_loop()
        seen = await started(world, script, b"up\n")
        inner = await world.connect_inside(8899)
        assert inner is not None
        with inner:
            for n in range(50):
                await loop.sock_sendall(inner, b"?")
                await loop.sock_recv(inner, 1)
                seen.events += world.drain()
                assert seen.output().endswith(b"line %d\n" % n)
                assert seen.output("stderr").endswith(b"also %d\n" % n)
        if AllGone(start=1) not in seen.events:  # the last drain may have told it already
            await seen.until(world, AllGone)

    inside(body)


def test_a_flood_is_held_back_and_nothing_of_it_is_lost(inside: Inside) -> None:
    script = """
import sys
for n in range(60_000):
    sys.stdout.write(f'line {n:06} ' + 'x' * 60 + '\\n')
sys.stdout.flush()
"""

    async def body(world: World) -> bytes:
        await world.start(command=[sys.executable, "-c", script], environment=base_environment(world))
        seen = Seen()
        first = await seen.until(world, OutputChunk)
        assert first.data
        while not (await world.busy())[1] and world._queue._bytes < HIGH:  # type: ignore[attr-defined]
            pass
        await seen.until(world, AllGone)
        largest = HIGH + 2 * 65536 + 65536
        assert world._queue._bytes <= largest  # type: ignore[attr-defined]
        return seen.output()

    lines = inside(body).splitlines()
    assert [int(line.split()[1]) for line in lines] == list(range(60_000))


def test_long_lines_and_bytes_that_are_no_text(inside: Inside) -> None:
    script = (
        "import os; os.write(1, b'a' * 3_000_000 + b'\\n'); os.write(1, b'\\xff\\xfe ok\\n'); os.write(1, b'no end')"
    )
    script = f"import sys; sys.stdout = open(1, 'wb', 0)\n{script.replace('os.write(1, ', 'sys.stdout.write(')}"
    seen = inside(lambda world: run_python(world, script))
    splitter = LineSplitter()
    lines = [line for event in seen.events if isinstance(event, OutputChunk) for line in splitter.feed(event.data)]
    lines += splitter.flush()
    assert "".join(line.text for line in lines[:3]) == "a" * 3_000_000
    assert [line.continues for line in lines] == [True, True, False, False, False]
    assert [line.text for line in lines[3:]] == ["\\xff\\xfe ok", "no end"]


def test_declared_log_files_are_followed(inside: Inside) -> None:
    script = """
import os
print('before')
os.makedirs('var/log', exist_ok=True)
with open('var/log/app.jsonl', 'a') as log:
    for n in range(3):
        log.write(f'entry {n}\\n'); log.flush()
with open('old.log', 'a') as log: log.write('new\\n')
open('other.txt', 'w').write('x')
"""

    async def main(world: World) -> Seen:
        return await run_python(world, script)

    seen = inside(main, logs=("var/log/*.jsonl", "*.log"))
    assert seen.output("file:var/log/app.jsonl") == b"entry 0\nentry 1\nentry 2\n"
    assert seen.output("file:old.log") == b"new\n"
    assert ("other.txt", "created") in seen.touched
    assert not [path for path, _ in seen.touched if path.endswith((".jsonl", ".log"))]
    assert seen.events[-1] == AllGone(start=1)


def test_files_of_the_working_folder_are_seen_and_listed(inside: Inside) -> None:
    script = """
import os
open('made.txt', 'w').write('x')
os.makedirs('deep/er'); open('deep/er/inner.txt', 'w').write('y')
open('gone.txt', 'w').close(); os.unlink('gone.txt')
"""

    async def body(world: World) -> tuple[Seen, tuple[str, ...]]:
        return await run_python(world, script), world.files_written()

    seen, written = inside(body)
    assert written == ("deep/er/inner.txt", "made.txt")
    for expected in [
        ("made.txt", "created"),
        ("made.txt", "written"),
        ("made.txt", "closed"),
        ("deep/er/inner.txt", "created"),
        ("gone.txt", "removed"),
    ]:
        assert expected in seen.touched


def test_a_file_that_is_moved_to_its_place_is_whole(inside: Inside) -> None:
    async def body(world: World) -> Seen:
        return await run_python(world, "import os; open('part', 'w').close(); os.rename('part', 'whole')")

    touched = inside(body).touched
    assert touched == [
        ("part", "created"),
        ("part", "closed"),
        ("part", "removed"),
        ("whole", "created"),
        ("whole", "closed"),
    ]


def test_what_was_printed_before_a_file_was_made_is_told_before_it(inside: Inside) -> None:
    script = """
for n in range(200):
    print(n, flush=True)
    open(f'{n}.txt', 'w').close()
"""

    async def body(world: World) -> Seen:
        return await run_python(world, script)

    printed, late = b"", []
    for event in inside(body).events:
        if isinstance(event, OutputChunk) and event.stream == "stdout":
            printed += event.data
        elif (
            isinstance(event, FileTouched)
            and event.how == "created"
            and event.path.split(".")[0].encode() not in printed.split()
        ):
            late.append(event.path)
    assert printed.split()[-1] == b"199"
    assert late == []


def test_touches_are_read_before_the_output_that_precedes_them(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the other way round, a line that is printed and a file that is made in between would stand in the wrong order."""
    order: list[str] = []

    def note(what: str, read: Callable[[], Any]) -> Callable[[], Any]:
        def noted() -> Any:
            order.append(what)
            return read()

        return noted

    async def body(world: Any) -> Seen:
        monkeypatch.setattr(world._watcher, "read", note("touches", world._watcher.read))
        monkeypatch.setattr(world, "_read_streams", note("output", world._read_streams))
        return await run_python(world, "print(1, flush=True); open('made.txt', 'w').close()")

    assert ("made.txt", "created") in inside(body).touched
    assert order == ["touches", "output"] * (len(order) // 2)
    assert order


def test_close_ends_everything_twice(inside: Inside) -> None:
    async def body(world: World) -> None:
        seen = await started(world, STUBBORN, b"up\n")
        await world.close()
        await world.close()
        async for event in world.events():
            seen.events.append(event)
        assert seen.exited.signal == "SIGKILL"
        assert seen.events[-1] == AllGone(start=1)

    inside(body)


def test_home_and_tmp_are_its_own(inside: Inside) -> None:
    script = """
import os, tempfile
from pathlib import Path
print(os.listdir(Path.home()), os.listdir(tempfile.gettempdir()))
(Path.home() / 'x').touch()
tempfile.mkstemp()
"""
    seen = inside(lambda world: run_python(world, script))
    assert seen.output() == b"[] []\n", seen.output("stderr")
    assert seen.exited.code == 0


def test_a_shell_pipeline(inside: Inside) -> None:
    seen = inside(lambda world: run(world, ["sh", "-c", "echo hello | tr a-z A-Z; exit 3"]))
    assert (seen.output(), seen.exited.code) == (b"HELLO\n", 3)


def test_no_descriptor_of_the_engine_stays_open(inside: Inside) -> None:
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  (names, and nothing opened beside)
    for _ in range(2):
        inside(lambda world: run_python(world, "print(1)"), logs=("*.log",))
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
