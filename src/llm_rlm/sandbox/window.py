"""How the host reaches a cell that cannot wait for a message: a file that the host writes and the guest only reads.

The guest looks at the head of the file until the number of its question stands there. A question takes about a
millisecond this way, and data comes as bytes, at about 0.7 GB/s; a message through the guest's event loop would need an
`await` in the cell, and JSON. A cell that computes looks there too, now and then, whether it is to stop.
"""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Literal

from llm_rlm import leftovers

MOUNTED_AT = "/window"
"""The path of the file in the guest."""

LARGEST = 1 << 24
"""Bytes of the longest answer."""

_NUMBER = struct.Struct("<Q")
_REST = struct.Struct("<QQ")
_STOP, _KEY = 24, 16
_LENGTH = _STOP + _KEY
_REASON = _LENGTH + _NUMBER.size
_BODY = 512
_KEPT = 4096
"""Bytes that there is always room for: an answer that says what is wrong, where the disk has become full."""
_IN_MEMORY = "/dev/shm"  # noqa: S108 - the file's own name in it is unguessable

type Status = Literal["data", "error", "stop"]
"""`data` is what was asked for; `error` and `stop` are texts: what is wrong with the question, why the cell must end."""

_STATUS: dict[Status, int] = {"data": 0, "error": 1, "stop": 2}


class Window:
    """The file. One answer is in it at a time."""

    def __init__(self) -> None:
        """Make the file, in memory where the system has such a folder. Raises OSError."""
        folder = _IN_MEMORY if sys.platform == "linux" and os.access(_IN_MEMORY, os.W_OK) else None
        leftovers.sweep_once(Path(folder or tempfile.gettempdir()))
        self._file, self.path = tempfile.mkstemp(prefix=f"{leftovers.HELD}window-", dir=folder)
        leftovers.hold(self._file)
        os.write(self._file, bytes(_BODY + _KEPT))

    def show(self, number: int, status: Status, body: bytes) -> None:
        """Answer the question of that number. Raises ValueError for an answer that is too long, OSError."""
        if len(body) > LARGEST:
            message = f"an answer of {len(body):,} bytes; at most {LARGEST:,} fit"
            raise ValueError(message)
        _write(self._file, body, _BODY)
        _write(self._file, _REST.pack(_STATUS[status], len(body)), _NUMBER.size)
        # Last: from here on the guest reads the rest.
        _write(self._file, _NUMBER.pack(number), 0)

    def stop(self, key: str, why: str) -> None:
        """Let the cell of that key end, and say why."""
        reason = why.encode("utf-8", "replace")[: _BODY - _REASON]
        _write(self._file, _NUMBER.pack(len(reason)) + reason, _LENGTH)
        # Last: from here on the guest reads the rest.
        _write(self._file, key.encode("ascii")[:_KEY], _STOP)

    def unlink(self) -> None:
        """Remove the name, once the guest has the file open; where the system does not allow that, `close` does it."""
        with suppress(OSError):
            Path(self.path).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the file."""
        os.close(self._file)
        self.unlink()


def _write(file: int, data: bytes, at: int) -> None:
    """Write all of it at a place."""
    os.lseek(file, at, os.SEEK_SET)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
