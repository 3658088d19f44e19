"""Temporary files that are known to be nobody's once their process is dead, and are then removed by a later one.

Who makes one holds a lock on it, which the system lets go when the process ends, however it does. A number of a process in
the name would not do: it is given again, and processes of other containers have others.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

HELD = "llm-rlm-held-"
"""How the names begin of what is held."""

_LEAST_AGE = 600.0
"""Seconds without a change, after which what nobody holds was left: between being made and held, a file is nobody's."""


def hold(file: int) -> None:
    """Hold an open file or folder until it is closed. Where locks are not to be had, later processes cannot hold it either."""
    with suppress(OSError):
        _lock(file)


class Folder:
    """A new temporary folder, held until it is removed."""

    def __init__(self, name: str) -> None:
        """`name` says what it is for. Raises OSError."""
        self._made = tempfile.TemporaryDirectory(prefix=f"{HELD}{name}-", ignore_cleanup_errors=True)
        self.path = self._made.name
        self._file: int | None = None
        """None where the system has no descriptors of folders."""
        if sys.platform != "win32":
            self._file = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            hold(self._file)

    def remove(self) -> None:
        """Remove it with all that is in it. Safe to call more than once."""
        self._made.cleanup()
        if self._file is not None:
            os.close(self._file)
            self._file = None


@cache
def sweep_once(folder: Path) -> None:
    """Remove what dead processes have left in a folder; a process looks there once."""
    sweep(folder)


def sweep(folder: Path) -> list[Path]:
    """Remove what dead processes of this user have left in a folder, and say what that was."""
    return [path for path in folder.glob(f"{HELD}*") if _is_old(path) and _remove_if_nobodys(path)]


def _is_old(path: Path) -> bool:
    """Whether it is ours, and has not been changed for some time."""
    if sys.platform == "win32":
        return False
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.getuid() and status.st_mtime < time.time() - _LEAST_AGE


def is_held(path: Path) -> bool:
    """Whether a process holds it: one that is alive. Where there are no such locks, nothing is known to be held."""
    file = _opened(path)
    if file is None:
        return False
    try:
        _lock(file)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def _opened(path: Path) -> int | None:
    """A descriptor of a file or folder, to lock it; None for a link, for what is gone, and where there are no such locks."""
    if sys.platform == "win32":
        return None
    with suppress(OSError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    return None


def _lock(file: int) -> None:
    """Lock a file, where there are such locks. Raises OSError if somebody else holds it."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not on Windows

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_if_nobodys(path: Path) -> bool:
    file = _opened(path)
    if file is None:
        return False
    try:
        _lock(file)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    except OSError:  # it is held, or gone meanwhile
        return False
    finally:
        os.close(file)
    return True
