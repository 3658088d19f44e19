"""The host's ends of the pipes to a worker: neither is waited at for ever, whoever holds the other end."""

from __future__ import annotations

import io
import os
import select
import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, BinaryIO

_TAKE_LIMIT = 30.0
"""Seconds without a byte taken, after which a worker is given up: its reading thread does nothing else."""
_LOOK_EVERY = 1.0
"""Seconds after which one who waits for a worker that says nothing looks whether it is gone."""


def write(pipe: IO[bytes], data: bytes) -> None:
    """Write all of it. Raises TimeoutError once nothing has been taken for long, where the system can tell."""
    if sys.platform == "win32":
        pipe.write(data)
        pipe.flush()
        return
    os.set_blocking(pipe.fileno(), False)
    room = select.poll()
    room.register(pipe, select.POLLOUT)
    rest = memoryview(data)
    while rest:
        if not room.poll(_TAKE_LIMIT * 1000):
            raise TimeoutError
        rest = rest[os.write(pipe.fileno(), rest) :]


def reader(pipe: IO[bytes], gone: Callable[[], bool]) -> BinaryIO:
    """The pipe, which ends soon after its worker is gone too: a process that the worker has started may hold its other end."""
    if sys.platform == "win32":
        return cast("BinaryIO", pipe)
    return io.BufferedReader(_UntilGone(pipe.fileno(), gone))


class _UntilGone(io.RawIOBase):
    def __init__(self, file: int, gone: Callable[[], bool]) -> None:
        self._file, self._gone = file, gone
        self._news = select.poll()
        self._news.register(file, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._news.poll(_LOOK_EVERY * 1000):
            if self._gone():
                return 0
        return os.readv(self._file, [buffer])
