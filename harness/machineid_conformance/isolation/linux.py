"""The Linux calls that Python 3.11 does not have, each as one function that raises OSError with the kernel's errno.

Constants are those of the kernel's uapi headers; numbers of system calls without a libc wrapper are listed by machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

IN_MODIFY = 0x2
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x01000000
IN_ISDIR = 0x40000000

SYS_MOUNT_SETATTR = 442  # the same on every machine: it came after the tables were unified
SYS_CLONE = {"x86_64": 56, "aarch64": 220, "riscv64": 220, "loongarch64": 220, "ppc64le": 120, "s390x": 120}
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "loongarch64": 41, "ppc64le": 203, "s390x": 217}
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 0x1

LINUX_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)
_holding_the_gil = ctypes.PyDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def fork_into(flags: int) -> int:
    """Like ``os.fork``, but the child is in new namespaces: the pid in the parent, 0 in the child. For a process of one thread.

    ``os.fork``, ``unshare`` and, for the pid namespace, one more ``os.fork`` come to the same, but each fork of Python writes to
    hundreds of pages that it then has to copy.
    """
    machine = platform.machine()
    if machine not in SYS_CLONE:
        raise OSError(errno.ENOSYS, f"the number of clone is not known for {machine}")
    arguments = [ctypes.c_ulong(flags | signal.SIGCHLD), *[ctypes.c_ulong(0)] * 4]
    if machine == "s390x":
        arguments[:2] = reversed(arguments[:2])  # clone(2), C library/kernel differences
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_holding_the_gil.syscall(ctypes.c_long(SYS_CLONE[machine]), *arguments))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return _check(pid, "clone")


def unshare(flags: int) -> None:
    """Move this process (or, for pids, its children) into new namespaces."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system, or bind a folder: the system call as it is."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _check(_libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), target)


def unmount(target: str) -> None:
    """Detach a mount and all below it."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), target)


def make_read_only(target: str) -> None:
    """Make a mount and all below it read-only (Linux 5.12)."""
    attributes = struct.pack("=QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0)
    _check(
        _libc.syscall(
            ctypes.c_long(SYS_MOUNT_SETATTR),
            ctypes.c_long(AT_FDCWD),
            os.fsencode(target),
            ctypes.c_long(AT_RECURSIVE),
            attributes,
            ctypes.c_long(len(attributes)),
        ),
        target,
    )


def pivot_root(new: str, old: str) -> None:
    """Make ``new`` the root of this mount namespace; what was the root is at ``old`` from then on."""
    machine = platform.machine()
    if machine not in SYS_PIVOT_ROOT:
        raise OSError(errno.ENOSYS, f"the number of pivot_root is not known for {machine}")
    _check(_libc.syscall(ctypes.c_long(SYS_PIVOT_ROOT[machine]), os.fsencode(new), os.fsencode(old)), new)


def prctl(option: int, argument: int = 0) -> None:
    """Set an option of this process; arguments beyond the first are zero."""
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), zero, zero, zero), f"prctl {option}")


def keep_capabilities_to_oneself() -> None:
    """Empty the bounding, ambient and inheritable sets: what this process executes has no capability and gets none. It has its own."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last capability that this kernel knows
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("=Ii", LINUX_CAPABILITY_VERSION_3, 0)
    sets = ctypes.create_string_buffer(24)  # effective, permitted, inheritable; and again, for those above 31
    _check(_libc.capget(header, sets), "capget")
    effective, permitted, _, more_effective, more_permitted, _ = struct.unpack("=6I", sets.raw)
    kept = struct.pack("=6I", effective, permitted, 0, more_effective, more_permitted, 0)
    _check(_libc.capset(header, kept), "capset")


def inotify_init() -> int:
    """A non-blocking inotify descriptor that is closed on exec."""
    return _check(_libc.inotify_init1(ctypes.c_int(os.O_NONBLOCK | os.O_CLOEXEC)), "inotify_init1")


def inotify_add_watch(descriptor: int, path: str, mask: int) -> int:
    """Watch a path; returns the watch's number."""
    watch = _libc.inotify_add_watch(ctypes.c_int(descriptor), os.fsencode(path), ctypes.c_uint32(mask))
    return _check(watch, path)
