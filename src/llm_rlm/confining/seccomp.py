"""A seccomp filter: calls that the process can no longer make, in any thread, because the kernel refuses them. See seccomp(2).

A list of what is refused, not of what is allowed: what an interpreter needs differs with each version of it.
"""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .kernel import Kernel, Machine

REFUSED = (
    *("socket", "connect", "bind", "listen", "accept", "accept4"),
    *("execve", "execveat", "fork", "vfork"),
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "open_by_handle_at"),
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns"),
    *("fsopen", "fsconfig", "fsmount", "fspick", "move_mount", "open_tree", "mount_setattr"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("bpf", "perf_event_open", "userfaultfd"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl"),
)
"""No network, no program, no other process, nothing of the system. What a processor has no call for is left out.

A ring of io_uring could do what the calls may not.
"""

_SET_FILTER = 1
_ALL_THREADS = 1

# Instructions of classic BPF, and where they find things in `struct seccomp_data`, on a little-endian machine.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_AT_NUMBER, _AT_MACHINE, _AT_FIRST, _AT_SECOND = 0, 4, 16, 24
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_X32 = 0x40000000
_THREAD = 0x00010000
_KIND_OF_SOCKET, _STREAM = 0xF, 1


def refuse(kernel: Kernel) -> str | None:
    """Have the calls refused for good. Why not, if it could not be had."""
    import ctypes  # noqa: PLC0415 - loaded already where there is a kernel to ask

    code = ctypes.create_string_buffer(program(kernel.machine))
    length = (len(code) - 1) // 8
    described = struct.pack("=H6xQ", length, ctypes.addressof(code))
    try:
        kernel.call("seccomp", _SET_FILTER, _ALL_THREADS, described)
    except OSError as problem:
        return "the kernel has no seccomp" if problem.errno in {errno.ENOSYS, errno.EINVAL} else str(problem.strerror)
    return None


def program(machine: Machine) -> bytes:
    """The filter. Each rule falls through to the next where it does not apply, and ends in allowing or an error."""
    numbers = machine.numbers
    refused = _returns(_ERROR | errno.EPERM)
    rules = [
        # Of another kind of processor, for which the numbers mean other calls.
        [_step(_LOAD, _AT_MACHINE), _step(_EQUAL, machine.audit, yes=1), refused],
        [_step(_LOAD, _AT_NUMBER)],
        [_step(_AT_LEAST, _X32, no=1), refused],
        *([_step(_EQUAL, numbers[name], no=1), refused] for name in REFUSED if name in numbers),
        # What it is asked for lies in memory, which no filter can read; the C library then takes `clone`.
        [_step(_EQUAL, numbers["clone3"], no=1), _returns(_ERROR | errno.ENOSYS)],
        # A new thread, but no new process.
        [
            _step(_EQUAL, numbers["clone"], no=4),
            *(_step(_LOAD, _AT_FIRST), _step(_ANY_BIT, _THREAD, yes=1), refused, _returns(_ALLOW)),
        ],
        # A pair of streams, which an event loop wakes itself by; a datagram could be sent elsewhere.
        [
            _step(_EQUAL, numbers["socketpair"], no=5),
            *(_step(_LOAD, _AT_SECOND), _step(_AND, _KIND_OF_SOCKET), _step(_EQUAL, _STREAM, yes=1)),
            *(refused, _returns(_ALLOW)),
        ],
        [_returns(_ALLOW)],
    ]
    return b"".join(step for rule in rules for step in rule)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; `yes` and `no` are how many that follow are passed over."""
    return struct.pack("=HBBI", code, yes, no, value)


def _returns(value: int) -> bytes:
    return _step(_RETURN, value)
