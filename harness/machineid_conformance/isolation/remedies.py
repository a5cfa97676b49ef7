"""Why a world cannot be had, and what to do about it: from the step that failed and its errno to words for a person."""

from __future__ import annotations

import errno
import os
from pathlib import Path

WEAKER = (
    'The weaker choice: isolation = "proxy" (--machineid-isolation proxy) judges HTTP clients that honour proxy variables, and '
    "lets everything else out."
)
UBUNTU = (
    "AppArmor restricts user namespaces here (kernel.apparmor_restrict_unprivileged_userns = 1, the default of Ubuntu 24.04). "
    "Remedy: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
)
CONTAINER = (
    "This is what Docker's default seccomp and AppArmor profiles do. Remedy: docker run --security-opt seccomp=unconfined "
    "--security-opt apparmor=unconfined --security-opt systempaths=unconfined …, or --privileged; under Kubernetes: "
    "securityContext with seccompProfile and appArmorProfile Unconfined and procMount Unmasked."
)


def _sysctl(name: str) -> str | None:
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return None


def _filtered() -> bool:
    try:
        return "Seccomp:\t2" in Path("/proc/self/status").read_text()
    except OSError:
        return False


def explain(stage: str, number: int, detail: str) -> str:
    """The whole message: what failed, why, the exact remedy, the weaker choice."""
    what = f"Namespace isolation cannot be had here: {stage} failed ({_name(number)}{detail})."
    return "\n".join((what, _why(stage, number), WEAKER))


def _name(number: int) -> str:
    return f"{errno.errorcode.get(number, number)}: " if number else ""


def _why(stage: str, number: int) -> str:
    denied = number in {errno.EPERM, errno.EACCES}
    if stage == "user namespace" and number in {errno.ENOSPC, errno.EUSERS}:
        return (
            f"The limit of user namespaces is reached (user.max_user_namespaces = {_sysctl('user.max_user_namespaces')}). "
            "Remedy: sudo sysctl -w user.max_user_namespaces=15000"
        )
    if stage == "namespaces" and number == errno.ENOSPC:
        return (
            "A limit of namespaces is reached. Remedy: sudo sysctl -w user.max_net_namespaces=15000 user.max_mnt_namespaces=15000 "
            "user.max_pid_namespaces=15000 user.max_ipc_namespaces=15000 user.max_uts_namespaces=15000"
        )
    if stage == "user namespace" and _sysctl("kernel.unprivileged_userns_clone") == "0" and os.geteuid() != 0:
        return (
            "User namespaces are for root only here (kernel.unprivileged_userns_clone = 0, older Debian). "
            "Remedy: sudo sysctl -w kernel.unprivileged_userns_clone=1"
        )
    if stage == "user namespace" and number in {errno.EINVAL, errno.ENOSYS}:
        return "This kernel has no user namespaces (CONFIG_USER_NS). Remedy: another kernel."
    if stage == "nf_tables" or (stage == "packet socket" and not denied):
        return (
            "The kernel lacks nf_tables with network address translation, or packet sockets. "
            "Remedy: sudo modprobe -a nf_tables nft_chain_nat nft_redir nf_nat af_packet"
        )
    if stage == "working folder overlay":
        return 'The working folder cannot be an overlay. Remedy: workdir = "copy" (or workdir = "shared", if runs may share files).'
    if denied and _sysctl("kernel.apparmor_restrict_unprivileged_userns") == "1":
        return UBUNTU
    if denied and stage == "user namespace" and not _filtered():
        return (
            "The kernel refuses user namespaces to this process: a process in a chroot may not make one, nor where a security "
            f"module forbids it. Remedy: run outside the chroot, or allow it in the security module. {CONTAINER}"
        )
    if denied:
        return CONTAINER
    return "This is not expected. Remedy: none known; please report it with this message."


NOT_LINUX = f"Namespace isolation needs Linux.\n{WEAKER}"
NO_OWN_PIDS = (
    "/proc is masked here, so the target has no pid namespace of its own: a child subreaper follows its processes, and it can see "
    "those of this machine. Remedy, if that matters: docker run --security-opt systempaths=unconfined"
)
