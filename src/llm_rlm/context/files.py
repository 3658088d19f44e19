"""Single files: what they are by their first bytes, other encodings, pipes, globs, lists of paths."""

from __future__ import annotations

import codecs
import glob as globbing
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from .naming import clean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .document import Spool

SNIFFED = 8192
"""Bytes of a file that tell what it is."""

_PIECE = 1 << 20
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ANY_MARK = tuple(mark for mark, _ in _MARKS)


def sniff(path: str) -> tuple[bytes, os.stat_result]:
    """The first bytes of a regular file, and what the system knows of it. Raises OSError; nothing else is waited for."""
    # A pipe that has taken the place of the file would be waited for without it.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            message = "not a file any more"
            raise OSError(0, message)
        return os.read(number, SNIFFED), status
    finally:
        os.close(number)


def encoding_of(start: bytes) -> str | None:
    """The encoding that a byte order mark tells, if it is not UTF-8."""
    if not start.startswith(_ANY_MARK):
        return None
    return next(encoding for mark, encoding in _MARKS if start.startswith(mark))


def converted(path: str, encoding: str, spool: Spool) -> tuple[str, int]:
    """A new file of the spool with the text as UTF-8, what cannot be decoded replaced, and its size. Raises OSError."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    new = spool.new()
    with open(path, "rb") as old, new.open("wb") as file:  # noqa: PTH123 - a str may hold bytes that are no text
        while piece := old.read(_PIECE):
            file.write(decoder.decode(piece).encode("utf-8", "replace"))
        file.write(decoder.decode(b"", final=True).encode("utf-8", "replace"))
        return str(new), file.tell()


def is_stream(path: str) -> bool:
    """Whether what is there is to be read once, from its beginning: a pipe, standard input, a process substitution."""
    mode = os.stat(path).st_mode  # noqa: PTH116 - a str may hold bytes that are no text
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and path in {"/dev/stdin", "/dev/fd/0"})


def glob(pattern: str) -> list[str]:
    """The files and folders that a pattern matches, sorted; `**` is any number of folders; hidden ones only by a dot."""
    return sorted(globbing.glob(pattern, recursive=True))  # noqa: PTH207 - a str may hold bytes that are no text


def shown(path: str) -> str:
    """A path as it is shown: as it was given, on one line, with forward slashes."""
    normal = os.path.normpath(path)
    return clean(normal.replace(os.sep, "/"))


def paths_from(stream: BinaryIO) -> Iterator[str]:
    """The paths that a stream lists: one a line, or each up to a NUL where there is one (`rg -l0`)."""
    data = stream.read()
    parts = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    yield from (os.fsdecode(part) for part in parts if part)
