"""The file system of a world, built from inside its mount namespace by the supervisor.

A tmpfs becomes the root; each top-level folder of the host comes back as an overlay whose upper layer is in the world's own
folder, so that the target sees the host's files and writes to none of them. A folder that has other file systems mounted
below it cannot be the lower layer of an overlay (the kernel will not look behind a mount that this namespace may not
remove): it is made anew, and its entries are merged one by one. What cannot be an overlay at all is there read-only.

While it is built, the old root stands at ``HOST`` and the world's folder at ``FOLDER``; both are gone when it is done.
"""
# ruff: noqa: PTH101, PTH102, PTH103, PTH106, PTH110, PTH112, PTH114, PTH115, PTH116, PTH118, PTH120, PTH123, PTH208, PTH211
# pathlib takes longer to import than all else that the spawner imports.

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from machineid_conformance.isolation.linux import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    make_read_only,
    mount,
    pivot_root,
    unmount,
)

INSIDE = "/machineid"
"""The harness's own folder in a world: home, tmp and the certificate authority."""
BACK = f"{INSIDE}/back"
"""What only the building needs, below one mount, because the kernel takes a grace period (tens of ms under load) for each that is taken
away."""
HOST, FOLDER, LOWER, SPARE = f"{BACK}/host", f"{BACK}/folder", f"{BACK}/lower", f"{BACK}/spare"
HOME, TMP, TRUST = f"{INSIDE}/home", f"{INSIDE}/tmp", f"{INSIDE}/trust"  # noqa: S108  (ours)

OWN = {"/proc", "/sys", "/dev", "/run", INSIDE}
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MAX_MOUNTS = 400  # a folder with more entries than this and mounts among them is shown read-only as a whole
MAX_LINKS = 40
ESCAPED = re.compile(r"\\([0-7]{3})")  # how mountinfo writes a blank (proc_pid_mountinfo(5))
NEEDS_BIND = re.compile(r"[:,\\]")  # characters that the option string of an overlay gives a meaning
KEPT_IN_RUN = ("/run/current-system",)  # NixOS keeps all programs behind this link


class MountError(Exception):
    """A step of the file system failed: ``stage`` names it, ``number`` is the errno."""

    def __init__(self, stage: str, number: int, detail: str) -> None:
        super().__init__(f"{stage}: {detail}")
        self.stage, self.number, self.detail = stage, number, detail


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What to build. ``binds`` are (path on the host, path inside) pairs, bound read-only over what is there; ``writable`` likewise, and
    may be written. ``root`` is an empty folder that the new root is mounted on, ``sockets`` are the host's Unix sockets.
    """

    folder: str
    root: str
    cwd: str
    workdir: str
    expose: Sequence[str] = ()
    hidden: Sequence[str] = ()
    binds: Sequence[tuple[str, str]] = ()
    writable: Sequence[tuple[str, str]] = ()
    sockets: Sequence[str] = ()
    own_pids: bool = True


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Turn an OSError into the MountError of this stage."""
    try:
        yield
    except OSError as error:
        raise MountError(name, error.errno or 0, str(error)) from error


def mounted_below() -> list[str]:
    """The mount points of this namespace, without the root."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        points = [line.split(" ")[4] for line in table]
    unescaped = [ESCAPED.sub(lambda found: chr(int(found[1], 8)), point) for point in points]
    return [point for point in unescaped if point != "/"]


@dataclass
class Tree:
    """The building of one world's root. ``build`` once; ``upper`` is the cwd's upper layer afterwards, if it has one."""

    layout: Layout
    points: list[str] = field(default_factory=list)
    read_only: list[str] = field(default_factory=list)
    upper: int | None = None
    _count: int = 0

    def build(self) -> None:
        """Build it and enter it.

        Raises:
            MountError: a step that cannot be done without failed.
        """
        layout = self.layout
        with stage("private mounts"):
            mount("none", "/", None, MS_REC | MS_PRIVATE)
        self.points = mounted_below()
        self._new_root()
        for name in sorted(os.listdir(HOST)):
            if f"/{name}" not in OWN:
                self.merge(f"/{name}")
        self._proc()
        self._system_folders()
        for path in ("/run", "/var/run"):
            if os.path.isdir(path) and not os.path.islink(path):
                with stage(f"hide {path}"):
                    mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
        for path in KEPT_IN_RUN:
            if os.path.islink(HOST + path):
                os.symlink(os.readlink(HOST + path), path)
        self._working_folder()
        for path in (*layout.hidden, layout.folder):
            if os.path.isdir(path):
                with stage(f"hide {path}"):
                    mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
        self._mask_sockets()
        for source, target in layout.binds:
            make_read_only(self._bind_over(HOST + source, target))
        for source, target in layout.writable:
            self._bind_over(HOST + source, target)
        for path in layout.expose:
            self._expose(path)
        for name, path in (("home", HOME), ("tmp", TMP)):
            with stage(path):
                mount(f"{FOLDER}/{name}", path, None, MS_BIND)
        with stage("leave the host's root"):
            unmount(BACK)
            os.rmdir(BACK)

    # -- the root ------------------------------------------------------------------------------------------------------

    def _new_root(self) -> None:
        """A tmpfs, entered at once: from here on every absolute path, and every link on its way, stays inside."""
        folder, root = self.layout.folder, self.layout.root
        with stage("mount a tmpfs"):
            mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=256m")
        for path in (BACK, HOME, TMP, TRUST):
            os.makedirs(root + path)
        with stage("mount a tmpfs"):
            mount("tmpfs", root + BACK, "tmpfs", MS_NOSUID | MS_NODEV, "mode=700")
        for path in (HOST, FOLDER, LOWER, SPARE):
            os.mkdir(root + path)
        with stage("pivot_root"):
            os.chdir(root)
            mount(folder, root + FOLDER, None, MS_BIND)
            pivot_root(".", f".{HOST}")
            os.chdir("/")
        for path in ("proc", "sys", "dev", "run"):
            os.mkdir(f"/{path}")

    def merge(self, path: str) -> None:
        """Show ``path`` of the host inside, so that no write to it reaches the host."""
        host = HOST + path
        try:
            status = os.lstat(host)
        except OSError:
            return
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(host), path)
        elif stat.S_ISREG(status.st_mode):
            _touch(path)
            self._show_read_only(path)
        elif stat.S_ISDIR(status.st_mode):
            os.mkdir(path)
            if not any(point.startswith(f"{path}/") for point in self.points):
                if _is_empty(host):
                    _like(path, status)  # nothing to show, and what is written to it is in memory here too
                else:
                    self._overlay_or_read_only(path)
                return
            try:
                entries = sorted(os.listdir(host))
            except PermissionError:
                entries = []
            if len(entries) > MAX_MOUNTS:
                self._show_read_only(path)
                return
            for name in entries:
                self.merge(f"{path}/{name}")
            _like(path, status)

    def _overlay_or_read_only(self, path: str) -> None:
        # What is written there is thrown away, so it goes into memory: on a disk the some thirty folders that these overlays
        # need were most of the cost of a world.
        try:
            self.overlay(path, f"upper/{self._count}", f"work/{self._count}", base=SPARE)
        except OSError:
            self._show_read_only(path)
        self._count += 1

    def overlay(self, path: str, upper: str, work: str, *, base: str = FOLDER) -> str:
        """Lay an overlay over ``path``; ``upper`` and ``work`` are relative to ``base``. Returns the upper layer.

        Raises:
            OSError: the file system cannot be a lower layer, or the world's folder cannot hold an upper one.
        """
        lower = HOST + path
        if NEEDS_BIND.search(lower):
            plain = f"{LOWER}/{self._count}-{upper.replace('/', '-')}"
            os.mkdir(plain)
            mount(lower, plain, None, MS_BIND)
            lower = plain
        try:
            return self._overlay(lower, path, upper, work, base)
        except OSError:
            # The world's folder may itself be on an overlay (a container's /tmp), which cannot hold an upper layer: memory can.
            # A kernel before 6.6 may refuse memory, which keeps no extended attributes there: the folder can.
            return self._overlay(lower, path, upper, work, FOLDER if base == SPARE else SPARE)

    def _overlay(self, lower: str, path: str, upper: str, work: str, base: str) -> str:
        layer = f"{base}/{upper}"
        os.makedirs(layer, exist_ok=True)
        os.makedirs(f"{base}/{work}", exist_ok=True)
        _like(layer, os.stat(lower))
        options = f"lowerdir={lower},upperdir={layer},workdir={base}/{work},userxattr"
        try:
            # volatile: nobody needs these writes after a power failure, and a target's fsync would cost the host's disk
            mount("overlay", path, "overlay", MS_NOSUID | MS_NODEV, f"{options},volatile")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            mount("overlay", path, "overlay", MS_NOSUID | MS_NODEV, options)
        return layer

    def _show_read_only(self, path: str) -> None:
        with stage(f"show {path} read-only"):
            mount(HOST + path, path, None, MS_BIND | MS_REC)
            make_read_only(path)
        self.read_only.append(path)

    # -- what the kernel provides ----------------------------------------------------------------------------------------

    def _proc(self) -> None:
        if self.layout.own_pids:
            with stage("mount proc"):
                mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        else:
            with stage("bind proc"):
                mount(f"{HOST}/proc", "/proc", None, MS_BIND | MS_REC)
        # A root that has no capability still owns these, and the kernel looks at nothing else.
        for path in ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"):
            if os.path.exists(path):
                with stage(f"show {path} read-only"):
                    mount(path, path, None, MS_BIND | MS_REC)
                    make_read_only(path)

    def _system_folders(self) -> None:
        with stage("sys"):
            try:
                mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY)
            except OSError:
                mount(f"{HOST}/sys", "/sys", None, MS_BIND | MS_REC)
                make_read_only("/sys")
        with stage("dev"):
            mount("tmpfs", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755")
            for name in DEVICES:
                if os.path.exists(f"{HOST}/dev/{name}"):
                    _touch(f"/dev/{name}")
                    mount(f"{HOST}/dev/{name}", f"/dev/{name}", None, MS_BIND)
            os.mkdir("/dev/shm")  # noqa: S108  (a world of its own)
            mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")  # noqa: S108
            os.mkdir("/dev/pts")
            mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
            os.symlink("pts/ptmx", "/dev/ptmx")
            for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
                os.symlink(f"/proc/self/fd{target}", f"/dev/{name}")
            mount("none", "/dev", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC)

    # -- the target's own folders ----------------------------------------------------------------------------------------

    def _working_folder(self) -> None:
        cwd, workdir = self.layout.cwd, self.layout.workdir
        with stage("working folder"):
            os.makedirs(cwd, exist_ok=True)  # it may be below /run, which is empty so far
            if workdir == "copy":
                mount(f"{FOLDER}/copy", cwd, None, MS_BIND)
                return
            if workdir == "shared":
                mount(HOST + cwd, cwd, None, MS_BIND | MS_REC)
                return
            try:
                layer = self.overlay(cwd, "cwd-upper", "cwd-work")
            except OSError as error:
                below = sorted(point for point in self.points if point.startswith(f"{cwd.rstrip('/')}/"))
                why = f"other file systems are mounted below it ({', '.join(below[:3])})" if below else str(error)
                raise MountError("working folder overlay", error.errno or 0, why) from error
            self.upper = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _bind_over(self, source: str, target: str) -> str:
        """Show ``source`` at ``target``, following links at the target, and making what is missing; returns where it stands."""
        with stage(f"bind {target}"):
            real = os.path.realpath(target)
            if os.path.isdir(source):
                os.makedirs(real, exist_ok=True)
            elif not os.path.exists(real):
                os.makedirs(os.path.dirname(real), exist_ok=True)
                _touch(real)
            mount(source, real, None, MS_BIND)
        return real

    def _expose(self, path: str) -> None:
        source = _behind_links(path)
        with stage(f"expose {path}"):
            target = os.path.realpath(path)
            if os.path.isdir(source):
                os.makedirs(target, exist_ok=True)
            elif not os.path.lexists(target):
                os.makedirs(os.path.dirname(target), exist_ok=True)
                _touch(target)
            mount(source, target, None, MS_BIND | MS_REC)

    def _mask_sockets(self) -> None:
        """A socket behind an overlay cannot be connected to (its inode is another); behind a read-only bind it can."""
        for path in self.layout.sockets:
            if _within(path, self.read_only) and not _within(path, [self.layout.cwd]) and _is_socket(path):
                with stage(f"mask {path}"):
                    mount("/dev/null", path, None, MS_BIND)


def _within(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder.rstrip('/')}/") for folder in folders)


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _is_empty(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except OSError:
        return False  # not ours to read: what shows it decides


def _behind_links(path: str) -> str:
    """Where ``path`` of the host is, seen from inside, its links resolved as the host resolves them."""
    for _ in range(MAX_LINKS):
        done, parts = HOST, [part for part in path.split("/") if part]
        for number, part in enumerate(parts):
            if os.path.islink(f"{done}/{part}"):
                link = os.readlink(f"{done}/{part}")
                path = os.path.normpath(os.path.join(done[len(HOST) :] or "/", link, *parts[number + 1 :]))
                break
            done = f"{done}/{part}"
        else:
            return done
    raise MountError(f"expose {path}", errno.ELOOP, "too many links")


def _touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _like(path: str, original: os.stat_result) -> None:
    """Give ``path`` the owner and mode of ``original``; where the owner cannot be given, the mode that amounts to the same."""
    mode = stat.S_IMODE(original.st_mode)
    try:
        os.chown(path, original.st_uid, original.st_gid)
    except OSError:
        if original.st_uid != os.geteuid():
            mine = original.st_gid in {os.getegid(), *os.getgroups()}
            bits = (mode >> 3 if mine else mode) & 7
            mode = (mode & 0o1000) | bits << 6 | bits << 3 | bits
    os.chmod(path, mode)
