"""Calls to the Linux kernel that Python has no functions for."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_SET_NO_NEW_PRIVILEGES = 38
_GET_NO_NEW_PRIVILEGES = 39


@dataclass(frozen=True)
class Machine:
    """What differs between processors."""

    audit: int
    """By what a filter knows the processor (`AUDIT_ARCH_…`)."""
    numbers: Mapping[str, int]
    """The calls, by name."""


def _table(text: str) -> dict[str, int]:
    pairs = (each.split() for each in text.replace("\n", ",").split(",") if each.strip())
    return {name: int(number) for name, number in pairs}


# As in the kernel's own tables: asm/unistd_64.h, and asm-generic/unistd.h, which arm64 uses.
_SAME = """
landlock_create_ruleset 444, landlock_add_rule 445, landlock_restrict_self 446
io_uring_setup 425, io_uring_enter 426, io_uring_register 427, clone3 435, pidfd_getfd 438
open_tree 428, move_mount 429, fsopen 430, fsconfig 431, fsmount 432, fspick 433, process_madvise 440, mount_setattr 442
"""
_X86_64 = """
socket 41, connect 42, accept 43, bind 49, listen 50, socketpair 53, accept4 288
clone 56, fork 57, vfork 58, execve 59, execveat 322, prctl 157, seccomp 317
ptrace 101, process_vm_readv 310, process_vm_writev 311, open_by_handle_at 304
mount 165, umount2 166, pivot_root 155, chroot 161, unshare 272, setns 308
init_module 175, finit_module 313, kexec_load 246, bpf 321, perf_event_open 298
userfaultfd 323, add_key 248, request_key 249, keyctl 250
kcmp 312, delete_module 176, kexec_file_load 320
"""
_ARM64 = """
socket 198, socketpair 199, bind 200, listen 201, accept 202, connect 203, accept4 242
clone 220, execve 221, execveat 281, prctl 167, seccomp 277
ptrace 117, process_vm_readv 270, process_vm_writev 271, open_by_handle_at 265
mount 40, umount2 39, pivot_root 41, chroot 51, unshare 97, setns 268
init_module 105, finit_module 273, kexec_load 104, bpf 280, perf_event_open 241
userfaultfd 282, add_key 217, request_key 218, keyctl 219
kcmp 272, delete_module 106, kexec_file_load 294
"""
MACHINES = {
    "x86_64": Machine(0xC000003E, _table(_SAME + _X86_64)),
    "aarch64": Machine(0xC00000B7, _table(_SAME + _ARM64)),
}
"""By `os.uname().machine`."""


class Kernel(Protocol):
    """What answers the calls."""

    machine: Machine

    def call(self, name: str, *arguments: object) -> int:
        """Make the call of that name. Arguments are int, bytes or None, as `ctypes` takes them. Raises OSError."""


class Linux:
    """The kernel that this process runs on."""

    def __init__(self, machine: Machine) -> None:
        """Load what makes the calls."""
        import ctypes  # noqa: PLC0415 - three milliseconds, which only a process that is confined spends

        self.machine = machine
        self._ctypes = ctypes
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    def call(self, name: str, *arguments: object) -> int:
        """Make the call. Raises OSError."""
        wide = [self._ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
        result: int = self._syscall(self._ctypes.c_long(self.machine.numbers[name]), *wide)
        if result < 0:
            error = self._ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return result


def kernel() -> Kernel | str:
    """The kernel of this process, or why it is none that can be asked."""
    if sys.platform != "linux":
        return "Linux only"
    machine = MACHINES.get(os.uname().machine) if sys.maxsize > 1 << 32 else None
    return Linux(machine) if machine is not None else f"not written for {os.uname().machine}"


def give_up_privileges(kernel: Kernel) -> str | None:
    """No program that is started can have more rights than this process. Why not, if it could not be had."""
    try:
        kernel.call("prctl", _SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    except OSError as problem:
        return str(problem.strerror)
    return None


def gave_up_privileges(kernel: Kernel) -> bool:
    """Whether that holds."""
    try:
        return kernel.call("prctl", _GET_NO_NEW_PRIVILEGES, 0, 0, 0, 0) == 1
    except OSError:
        return False
