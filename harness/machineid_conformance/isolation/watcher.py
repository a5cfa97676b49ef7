"""Follows a folder tree by inotify: which files are created, written, closed and removed, folders that appear later included.

The tree is reached by a descriptor that the supervisor passed out, so the engine sees the target's view (overlay and all)
without entering its mount namespace; no link is followed on the way down.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Literal

from machineid_conformance.isolation import linux
from machineid_conformance.isolation.api import IsolationError

How = Literal["created", "written", "closed", "removed"]

MASK = (
    linux.IN_MODIFY | linux.IN_CLOSE_WRITE | linux.IN_CREATE | linux.IN_DELETE | linux.IN_MOVED_FROM | linux.IN_MOVED_TO
    | linux.IN_ONLYDIR
)  # fmt: skip
MAX_FOLDERS = 512
NOT_WATCHED = frozenset(
    {
        ".git", ".hg", ".svn", "node_modules", "__pycache__", ".venv", "venv", ".tox", ".nox", ".mypy_cache",
        ".pytest_cache", ".ruff_cache", ".machineid-conformance",
    }
)  # fmt: skip
"""Folders that hold code and caches, thousands of them: a runtime's effects are elsewhere."""
READ = 65536
MAX_READS = 64


class FolderWatcher:
    """Watches the tree below ``folder`` (a descriptor, which it owns). ``descend`` says whether a subfolder (its path relative
    to the tree) is watched. At most ``MAX_FOLDERS`` folders are; ``complete`` says whether that was enough.
    """

    def __init__(self, folder: int, *, descend: Callable[[str], bool] | None = None) -> None:
        self.folder = folder
        self.complete = True
        try:
            self.fd = linux.inotify_init()
        except OSError as error:
            os.close(folder)
            raise IsolationError(
                f"files cannot be watched: {error}. Remedy: sudo sysctl -w fs.inotify.max_user_instances=1024, or fewer jobs"
            ) from error
        self._descend = descend or (lambda path: PurePosixPath(path).name not in NOT_WATCHED)
        self._folders: dict[int, str] = {}
        self.files = tuple(self._watch(""))
        """The files that were there from the start."""

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)
        os.close(self.folder)

    def open(self, path: str) -> int:
        """A file of the tree, for reading.

        Raises:
            OSError: it is gone, is no file, or a link is on its way.
        """
        *folders, name = path.split("/")
        fd = os.dup(self.folder)
        try:
            for part in folders:
                below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                os.close(fd)
                fd = below
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)

    def read(self) -> list[tuple[str, How]]:
        """What has happened since the last call; repeated writes of one file in a row are one."""
        found: list[tuple[str, How]] = []
        for _ in range(MAX_READS):
            try:
                data = os.read(self.fd, READ)
            except (BlockingIOError, InterruptedError):
                break
            for change in self._changes(data):
                if not found or found[-1] != change:
                    found.append(change)
        return found

    def _changes(self, data: bytes) -> Iterator[tuple[str, How]]:
        offset = 0
        while offset < len(data):
            watch, mask, _, length = struct.unpack_from("=iIII", data, offset)
            name = os.fsdecode(data[offset + 16 : offset + 16 + length].rstrip(b"\0"))
            offset += 16 + length
            if mask & linux.IN_Q_OVERFLOW:
                self.complete = False
                continue
            if mask & linux.IN_IGNORED:
                self._folders.pop(watch, None)
                continue
            if watch not in self._folders or not name:
                continue
            path = f"{self._folders[watch]}/{name}".lstrip("/")
            if mask & linux.IN_ISDIR:
                if mask & (linux.IN_CREATE | linux.IN_MOVED_TO) and self._descend(path):
                    for inside in self._watch(path):
                        yield inside, "created"
            elif mask & (linux.IN_CREATE | linux.IN_MOVED_TO):
                yield path, "created"
                if mask & linux.IN_MOVED_TO:
                    yield path, "closed"
            elif mask & linux.IN_MODIFY:
                yield path, "written"
            elif mask & linux.IN_CLOSE_WRITE:
                yield path, "closed"
            else:
                yield path, "removed"

    def _watch(self, path: str) -> Iterator[str]:
        """Watch a folder and those below it; yields the files that are already there."""
        queue = deque([path])
        while queue:
            path = queue.popleft()
            if len(self._folders) >= MAX_FOLDERS:
                self.complete = False
                return
            try:
                fd = self._open_folder(path)
            except OSError:
                continue  # it is gone again, or not ours to read
            try:
                watch = linux.inotify_add_watch(self.fd, f"/proc/self/fd/{fd}", MASK)
                already = watch in self._folders
                self._folders[watch] = path
                with os.scandir(fd) as entries:
                    for entry in entries:
                        inside = f"{path}/{entry.name}".lstrip("/")
                        if entry.is_dir(follow_symlinks=False):
                            if self._descend(inside):
                                queue.append(inside)
                        elif not already:
                            yield inside
            except PermissionError:
                continue
            except OSError:
                self.complete = False  # ENOSPC: the limit of watches; what is not watched is still in files_written
                return
            finally:
                os.close(fd)

    def _open_folder(self, path: str) -> int:
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.folder)
        for part in [part for part in path.split("/") if part]:
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            finally:
                os.close(fd)
            fd = below
        return fd


class FollowedFile:
    """A declared log file: what was appended since the last read. A file that became shorter is read from its start."""

    def __init__(self, fd: int, *, at_end: bool = False) -> None:
        self.fd = fd
        self.behind = False
        self.offset = os.fstat(fd).st_size if at_end else 0

    def read(self, limit: int) -> bytes:
        """At most ``limit`` bytes; empty when there is nothing new."""
        size = os.fstat(self.fd).st_size
        if size < self.offset:
            self.offset = 0
        data = os.pread(self.fd, min(limit, max(size - self.offset, 0)), self.offset)
        self.offset += len(data)
        self.behind = self.offset < size
        return data

    def close(self) -> None:
        """Close it; safe to call twice."""
        with contextlib.suppress(OSError):
            os.close(self.fd)
