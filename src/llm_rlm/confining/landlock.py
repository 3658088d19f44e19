"""Landlock: which files a process may open, said once and for good. See landlock(7).

The kernel answers by an ABI number; what a lower one does not know is left out.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .kernel import Kernel

_VERSION = 1
_PATH_BENEATH = 1

# The bits of LANDLOCK_ACCESS_FS_*.
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FOLDER = 1 << 4
_MAKE_AND_REMOVE = sum(1 << bit for bit in range(4, 13))
_LINK, _TRUNCATE, _DEVICE = 1 << 13, 1 << 14, 1 << 15
_SINCE = {_LINK: 2, _TRUNCATE: 3, _DEVICE: 5}
_FOR_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE | _DEVICE

_TCP = 0b11
"""To bind and to connect, since ABI 4."""
_SCOPES = 0b11
"""Abstract sockets and signals of processes outside, since ABI 6."""

_NONE = {errno.ENOSYS: "the kernel has no Landlock", errno.EOPNOTSUPP: "Landlock is switched off in the kernel"}


def version(kernel: Kernel) -> int | str:
    """The ABI, or why there is none."""
    try:
        return kernel.call("landlock_create_ruleset", None, 0, _VERSION)
    except OSError as problem:
        return _NONE.get(problem.errno or 0, str(problem.strerror))


def restrict(
    kernel: Kernel, readable: Iterable[str] | None, writable: Iterable[str], emptied: Iterable[str] = ()
) -> str | None:
    """Nothing but these files, and what is in these folders, can be opened from now on, by this thread and those it starts.

    `readable` is None for all; in `emptied`, empty folders can be removed. Nothing can be started as a program. Why not, if it
    could not be had.
    """
    abi = version(kernel)
    if isinstance(abi, str):
        return abi
    known = _EXECUTE | _WRITE | _MAKE_AND_REMOVE | _known(abi)
    reading = 0 if readable is None else _READ | _LIST
    try:
        with closing(_Rules(kernel, _attributes(abi, known | reading))) as rules:
            for path in readable or ():
                rules.allow(path, reading)
            for path in writable:
                rules.allow(path, reading | known & ~_EXECUTE)
            for path in emptied:
                rules.allow(path, _REMOVE_FOLDER)
            rules.enforce()
    except OSError as problem:
        return str(problem.strerror)
    return None


def _known(abi: int) -> int:
    return sum(bit for bit, since in _SINCE.items() if abi >= since)


def _attributes(abi: int, files: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as the ABI has it."""
    fields = [files, *([_TCP] if abi >= 4 else []), *([_SCOPES] if abi >= 6 else [])]  # noqa: PLR2004 - versions of the ABI
    return struct.pack(f"={len(fields)}Q", *fields)


class _Rules:
    """A ruleset of the kernel."""

    def __init__(self, kernel: Kernel, attributes: bytes) -> None:
        self._kernel = kernel
        self._handled = struct.unpack_from("=Q", attributes)[0]
        self._number = kernel.call("landlock_create_ruleset", attributes, len(attributes), 0)

    def allow(self, path: str, rights: int) -> None:
        """A path that is not there, or cannot be opened, stays forbidden."""
        try:
            file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            return
        try:
            mask = self._handled if stat.S_ISDIR(os.fstat(file).st_mode) else self._handled & _FOR_FILES
            self._kernel.call("landlock_add_rule", self._number, _PATH_BENEATH, struct.pack("=Qi", rights & mask, file), 0)
        finally:
            os.close(file)

    def enforce(self) -> None:
        self._kernel.call("landlock_restrict_self", self._number, 0)

    def close(self) -> None:
        os.close(self._number)
