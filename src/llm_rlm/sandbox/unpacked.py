"""Where pyeryx unpacks the guest's interpreter and standard library: a folder of the user's own.

By itself it takes `/tmp/eryx-embedded` and runs what lies there, machine code too, whoever has put it there. A worker that
is confined writes nothing, so what it needs is unpacked before, once for each version, by a process that runs no guest.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from contextlib import suppress
from hashlib import file_digest, sha256
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from .worker import UNPACKED_TO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_DIGEST = "unpacked.sha256"
_NEW, _ASIDE, _PREFIX = ".new-", ".old-", "pyeryx-"
_DAY = 86_400.0
_KEPT = {_NEW: _DAY, _ASIDE: _DAY, _PREFIX: 90 * _DAY}
"""Seconds since a folder was made, put aside, or a worker was last started with it: by then nobody needs it any more."""

_lock = threading.Lock()
"""Guards that a process unpacks once."""


def folder(unpack: Callable[[Mapping[str, str]], object]) -> Path:
    """The folder, with all in it; `unpack` does so in the environment that it is given. Raises OSError."""
    home = _home()
    made = home / _name()
    with _lock:
        if not made.is_dir():
            new = Path(tempfile.mkdtemp(prefix=_NEW, dir=home))
            try:
                unpack(environment(new))
                (new / _DIGEST).write_text(_digest(new), "ascii")
                _put_in_place(new, made)
            finally:
                shutil.rmtree(new, ignore_errors=True)
            _remove_old(home)
        with suppress(OSError):
            os.utime(made)
        return made


def forget() -> None:
    """A guest could not start: if what was unpacked is not as it was, put it aside, so that the next worker has it anew.

    It is not removed at once, since guests that did start with it read from it.
    """
    made = _home() / _name()
    with suppress(OSError), _lock:
        if not _is_whole(made):
            made.rename(Path(tempfile.mkdtemp(prefix=_ASIDE, dir=made.parent)) / "was")


def environment(folder: Path) -> dict[str, str]:
    """The variables by which pyeryx finds the folder."""
    return dict.fromkeys((UNPACKED_TO, "TMP", "TEMP") if sys.platform == "win32" else (UNPACKED_TO,), str(folder))


def _is_whole(made: Path) -> bool:
    try:
        return (made / _DIGEST).read_bytes() == _digest(made).encode("ascii")
    except OSError:
        return False


def _digest(folder: Path) -> str:
    """Of the names and contents of all that is in it, but for the file with the digest itself."""
    digest = sha256()
    for path in sorted(folder.rglob("*")):
        if path.name != _DIGEST and path.is_file():
            with path.open("rb") as file:
                digest.update(f"{path.relative_to(folder)}\n{file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def _put_in_place(new: Path, made: Path) -> None:
    try:
        new.rename(made)
    except OSError:
        if not made.is_dir():  # else another process was faster
            raise


def _remove_old(home: Path) -> None:
    """Remove what processes that were killed have left, what was put aside, and versions that are not used any more."""
    for path in home.iterdir():
        kept = next((seconds for prefix, seconds in _KEPT.items() if path.name.startswith(prefix)), None)
        with suppress(OSError):
            if kept is not None and path.lstat().st_mtime < time.time() - kept:
                shutil.rmtree(path, ignore_errors=True)


def _name() -> str:
    return f"{_PREFIX}{metadata.version('pyeryx')}"


def _home() -> Path:
    """The first place of ours in which nobody else can write. Raises OSError if there is none."""
    for path in _places():
        with suppress(OSError):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_ours(path):
                return path
    message = "no folder for the sandbox's interpreter: neither the cache folder nor the temporary one can be used"
    raise PermissionError(message)


def _places() -> Iterator[Path]:
    with suppress(RuntimeError):  # no home
        cache = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA") or Path.home() / ".cache"
        yield Path(cache, "llm-rlm").absolute()
    yield Path(tempfile.gettempdir(), f"llm-rlm-{os.getuid() if sys.platform != 'win32' else 'cache'}")


def _is_ours(path: Path) -> bool:
    if sys.platform == "win32":
        return os.access(path, os.W_OK)
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
