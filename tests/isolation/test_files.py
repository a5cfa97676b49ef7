"""No write of a target reaches the host, whatever it writes to, and what it wrote is known exactly."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from machineid_conformance.isolation.api import IsolationError
from tests.isolation.support import Place, Seen, opened, place, run_python


def inside(here: Place, script: str, **fields: Any) -> tuple[Seen, tuple[str, ...]]:
    async def go() -> tuple[Seen, tuple[str, ...]]:
        async with opened(here.spec(**fields)) as world:
            seen = await run_python(world, script)
            assert seen.exited.code == 0, seen.output("stderr").decode()
            return seen, world.files_written()

    return asyncio.run(go())


def test_writes_anywhere_do_not_reach_the_host() -> None:
    name = f"machineid-test-{os.getpid()}"
    places = [
        f"{folder}/{name}"
        for folder in ("/tmp", Path.home(), "/etc", "/var/tmp", "/usr/local", "/", "/opt", "/dev/shm")
    ]
    script = f"""
reached = []
for path in {places!r}:
    try:
        open(path, 'w').write('x'); reached.append(path)
    except OSError as error:
        print(error)
print(len(reached))
"""
    with place() as here:
        seen, written = inside(here, script)
    assert int(seen.output().split()[-1]) >= 3
    assert written == ()
    assert not [path for path in places if os.path.lexists(path)]


def test_the_working_folder_is_seen_and_stays_as_it_is() -> None:
    script = """
import os
assert open('kept.txt').read() == 'host'
open('kept.txt', 'a').write(' and target')
os.unlink('removed.txt'); os.rename('moved.txt', 'renamed.txt'); os.chmod('mode.txt', 0o600)
os.makedirs('new/folder'); open('new/folder/file', 'w').close(); os.symlink('kept.txt', 'link')
open('sub/inner.txt', 'w').write('changed')
print(sorted(os.listdir('.')), os.getcwd())
"""
    with place() as here:
        for name in ("kept.txt", "removed.txt", "moved.txt", "mode.txt"):
            (here.cwd / name).write_text("host")
        (here.cwd / "sub").mkdir()
        (here.cwd / "sub" / "inner.txt").write_text("host")
        before = {str(path): path.stat() for path in here.cwd.rglob("*")}
        seen, written = inside(here, script)
        assert {str(path): path.stat() for path in here.cwd.rglob("*")} == before
        assert (here.cwd / "sub" / "inner.txt").read_text() == "host"
    assert written == ("kept.txt", "link", "mode.txt", "new/folder/file", "renamed.txt", "sub/inner.txt")
    assert seen.output().decode().strip().endswith(str(here.cwd))


def test_a_copied_working_folder() -> None:
    with place() as here:
        (here.cwd / "kept.txt").write_text("host")
        seen, written = inside(
            here, "open('new', 'w').write(open('kept.txt').read()); open('kept.txt', 'a').write('!')", workdir="copy"
        )
        assert [path.name for path in here.cwd.iterdir()] == ["kept.txt"]
        assert (here.cwd / "kept.txt").read_text() == "host"
    assert written == ("kept.txt", "new")
    assert ("new", "created") in seen.touched


def test_a_shared_working_folder() -> None:
    with place() as here:
        _, written = inside(here, "open('new', 'w').write('x')", workdir="shared")
        assert (here.cwd / "new").read_text() == "x"
    assert written == ("new",)


def test_hidden_folders_and_the_worlds_own_are_empty() -> None:
    with place() as here:
        hidden = here.cwd / "report"
        hidden.mkdir()
        (hidden / "secret.txt").write_text("verdicts")
        folder = here.root / "world-1"
        seen, _ = inside(
            here, f"import os; print(os.listdir({str(hidden)!r}), os.listdir({str(folder)!r}))", hidden=(hidden,)
        )
    assert seen.output() == b"[] []\n"


@pytest.mark.parametrize("name", ["with space", "co:lon", "com,ma", "back\\slash", "ünï", "per%cent"])
def test_folders_with_strange_names(name: str) -> None:
    with place() as here:
        cwd = here.root / name
        cwd.mkdir()
        (cwd / "file").write_text("there")
        seen, written = inside(here, "print(open('file').read()); open('new', 'w')", cwd=cwd)
        assert [path.name for path in cwd.iterdir()] == ["file"]
    assert seen.output() == b"there\n"
    assert written == ("new",)


def test_name_service_files_lead_to_the_world() -> None:
    with place() as here:
        seen, _ = inside(
            here,
            """
import socket
print(open('/etc/resolv.conf').read().split()[:2])
print(socket.gethostbyname('localhost'), socket.gethostbyname(socket.gethostname()))
""",
        )
    assert seen.output().split() == [b"['nameserver',", b"'127.0.0.1']", b"127.0.0.1", b"127.0.1.1"]


def test_nothing_is_left_in_the_worlds_folder() -> None:
    with place() as here:
        inside(here, "import os; os.makedirs('a/b'); os.chmod('a', 0)")
        assert list((here.root / "world-1").iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"cwd": Path("/no/such/folder")}, "is not a folder"),
        ({"cwd": Path("/")}, "root folder"),
        ({"expose": ("/no/such/socket",)}, "expose: '/no/such/socket' does not exist"),
        ({"expose": ("relative",)}, "expected the absolute path"),
    ],
)
def test_what_does_not_exist_is_refused_in_words(fields: dict[str, Any], words: str) -> None:
    with place() as here, pytest.raises(IsolationError, match=words):
        inside(here, "print(1)", **fields)
