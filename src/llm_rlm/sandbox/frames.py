"""Frames between the host and its worker: a length, then bytes. Used on both sides of the pipe.

To the worker: 4 bytes of length, JSON. The first frame says how to set up; the others go to the guest as they are.
From the worker: 1 byte for who speaks, 4 bytes of length, JSON.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

GUEST = 0
"""The frame is the guest's: not to be trusted in any way."""
WORKER = 1
"""The frame is the worker's own."""

LARGEST = 1 << 28
"""Bytes. A prompt of 20 million characters fits, as ASCII with escapes of up to 12 bytes a character."""

_TO_WORKER = struct.Struct(">I")
_FROM_WORKER = struct.Struct(">BI")


class FrameError(Exception):
    """A frame that is too long, cut off, or of nobody we know."""


def to_worker(body: bytes) -> bytes:
    """The bytes of a frame for the worker. Raises FrameError for one that is too long."""
    return _TO_WORKER.pack(_checked(len(body))) + body


def from_worker(sender: int, body: bytes) -> bytes:
    """The bytes of a frame for the host. Raises FrameError for one that is too long."""
    return _FROM_WORKER.pack(sender, _checked(len(body))) + body


def read_to_worker(pipe: BinaryIO) -> bytes | None:
    """Read a frame sent by the host; None at the end of the pipe."""
    header = pipe.read(_TO_WORKER.size)
    if len(header) < _TO_WORKER.size:
        return None
    body = pipe.read(*_TO_WORKER.unpack(header))
    return body if len(body) == _TO_WORKER.unpack(header)[0] else None


def read_from_worker(pipe: BinaryIO) -> tuple[int, bytes] | None:
    """Read a frame sent by the worker; None at the end of the pipe. Raises FrameError for one that lies."""
    header = pipe.read(_FROM_WORKER.size)
    if len(header) < _FROM_WORKER.size:
        return None
    sender, length = _FROM_WORKER.unpack(header)
    if sender not in {GUEST, WORKER}:
        message = f"a frame of unknown sender {sender}"
        raise FrameError(message)
    body = pipe.read(_checked(length))
    return (sender, body) if len(body) == length else None


def _checked(length: int) -> int:
    if length > LARGEST:
        message = f"a frame of {length:,} bytes; at most {LARGEST:,} are allowed"
        raise FrameError(message)
    return length
