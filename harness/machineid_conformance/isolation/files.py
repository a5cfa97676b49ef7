"""What a run wrote to its working folder: from the upper layer of an overlay, or by comparing two looks at a folder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from machineid_conformance.isolation.watcher import NOT_WATCHED

MAX_FILES = 20_000  # a shared working folder with more files is compared as far as that

Snapshot = Mapping[str, tuple[int, int, int]]


def written_to(layer: int) -> tuple[str, ...]:
    """The files in an upper layer (a descriptor), relative to it. A whiteout, which stands for a removed file, is none."""
    found = []
    for folder, _, files, descriptor in os.fwalk(".", dir_fd=layer, onerror=None):
        for name in files:
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError:
                continue
            if not (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0):
                found.append(os.path.normpath(f"{folder}/{name}"))
    return tuple(sorted(found))


def snapshot(folder: Path, *, leave_out: Iterable[Path] = ()) -> Snapshot:
    """Inode, size and time of change of every file below ``folder``, without folders of code and caches."""
    out = {str(path) for path in leave_out}
    seen: dict[str, tuple[int, int, int]] = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in NOT_WATCHED and str(Path(root, name)) not in out]
        for name in files:
            path = Path(root, name)
            try:
                status = path.lstat()
            except OSError:
                continue
            seen[str(path.relative_to(folder))] = (status.st_ino, status.st_size, status.st_mtime_ns)
            if len(seen) >= MAX_FILES:
                return seen
    return seen


def changed(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """The files of ``after`` that are new or different."""
    return tuple(sorted(path for path, facts in after.items() if before.get(path) != facts))


def copy_folder(source: Path, target: Path, *, leave_out: Iterable[Path] = ()) -> None:
    """A copy of a working folder to write to. Folders of code and caches are linked to, not copied; sockets and pipes are left out.

    Raises:
        OSError: a file cannot be read.
    """
    out = {str(path) for path in leave_out}
    target.mkdir()
    for root, folders, files in os.walk(source):
        here = target / Path(root).relative_to(source)
        for name in list(folders):
            path = Path(root, name)
            if str(path) in out:
                folders.remove(name)
            elif path.is_symlink() or name in NOT_WATCHED:
                folders.remove(name)
                (here / name).symlink_to(path.readlink() if path.is_symlink() else path)
            else:
                (here / name).mkdir()
        for name in files:
            path = Path(root, name)
            if path.is_symlink() or path.is_file():
                shutil.copy2(path, here / name, follow_symlinks=False)
    shutil.copystat(source, target)


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that an overlay leaves behind: its work folder has mode 0.

    Raises:
        OSError: a file belongs to somebody else.
    """

    def open_up(function: Callable[..., object], path: str, _: object) -> None:
        item = Path(path)
        for locked in (item.parent, item):
            if not locked.is_symlink() and locked.exists():
                locked.chmod(0o700)
        if item.is_dir() and not item.is_symlink():
            if function is os.rmdir:
                raise OSError(f"{path} cannot be removed")
            shutil.rmtree(item, onerror=open_up)
        else:
            item.unlink(missing_ok=True)

    shutil.rmtree(folder, onerror=open_up)
