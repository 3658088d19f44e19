"""Single files: what they are by their first bytes, other encodings, pipes, globs, lists of paths."""

from __future__ import annotations

import codecs
import fnmatch
import os
import re
import shutil
import stat
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, TextIO

from llm_rlm.context.examine import examine
from llm_rlm.errors import UsageError

from .walk import shown, what_it_is, why_not

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llm_rlm.context.document import Document, Spool

__all__ = ["converted", "encoding_of", "glob", "is_stream", "normalized", "paths_from", "shown", "sniff", "undecodable"]

SNIFFED = 8192
"""Bytes of a file that tell what it is."""

_PIECE = 1 << 20
_SAMPLE = 1 << 16
_WHOLE = 1 << 24
_MOST_LATIN = 0.25
"""The share of letters beyond ASCII up to which a text is taken for one of Western Europe."""
_MOST_LATIN_IN_FEW = 0.5
_FEW = 16
"""Letters beyond ASCII: with no more, their share may be higher by chance, and what is guessed from them is mostly wrong."""
_ASCII = bytes(range(128))
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_OWN = re.compile(r"/dev/stdin|/(?:dev/fd|proc/self/fd)/(\d+)")
_MAGIC = re.compile(r"[*?\[]")
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_CHARACTER = 4
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENOUGH = 4
"""Characters that tell what they are."""
_LONG = _ROOM = 1 << 30
"""Bytes of a stream from which on it must leave room on the disk, and of that room."""
_ANY_MARK = tuple(mark for mark, _ in _MARKS)


def stdin() -> TextIO:
    """Standard input. Raises UsageError where the process has none."""
    if sys.stdin is None:
        message = "stdin is closed: give the input with -c FILE"
        raise UsageError(message)
    return sys.stdin


def check_room(path: Path, size: int, name: str) -> None:
    """Raise UsageError where the disk that `size` bytes of a stream are kept on is nearly full: it may never end."""
    if size > _LONG and shutil.disk_usage(path.parent).free < _ROOM:
        message = f"{name} does not end: after {size:,} bytes there is hardly any room left in {path.parent.parent}"
        raise UsageError(message)


def why_no_text(start: bytes) -> str:
    """Why what begins so is not read, in a few words."""
    if start.startswith(_OLE):
        return "an old Office file: save it in today's format"
    halves = start[0 : SNIFFED - 1 : 2], start[1:SNIFFED:2]
    if any(len(high) >= _ENOUGH and not high.strip(b"\0") and b"\0" not in low for high, low in (halves, halves[::-1])):
        return "UTF-16 without a byte order mark: convert it to UTF-8"
    return "binary"


def has_no_size(start: bytes, status: os.stat_result) -> bool:
    """Whether the size of a file that begins so is not what the system says, as in `/proc` and `/sys`."""
    return (bool(start) and not status.st_size) or len(start) < min(SNIFFED, status.st_size)


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


def is_utf8(start: bytes) -> bool:
    """Whether the first bytes of a text are UTF-8, but for a character that is cut off at their end."""
    if start.isascii():
        return True
    try:
        start.decode()
    except UnicodeDecodeError as problem:
        return len(start) - problem.start < _LONGEST_CHARACTER and problem.reason == "unexpected end of data"
    return True


def encoding_of(start: bytes) -> str | None:
    """The encoding that a byte order mark tells, if it is not UTF-8."""
    if not start.startswith(_ANY_MARK):
        return None
    return next(encoding for mark, encoding in _MARKS if start.startswith(mark))


def converted(path: str, encoding: str, spool: Spool) -> tuple[str, int]:
    """A new file of the spool with the text as UTF-8, what cannot be decoded replaced, and its size. Raises OSError."""
    with open(path, "rb") as file:  # noqa: PTH123 - a str may hold bytes that are no text
        return _written(iter(lambda: file.read(_PIECE), b""), encoding, spool)


def _written(pieces: Iterator[bytes], encoding: str, spool: Spool) -> tuple[str, int]:
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    new = spool.new()
    with new.open("wb") as file:
        for piece in pieces:
            file.write(decoder.decode(piece).encode("utf-8", "replace"))
        file.write(decoder.decode(b"", final=True).encode("utf-8", "replace"))
        return str(new), file.tell()


def normalized(document: Document, spool: Spool) -> Document:
    """The text as UTF-8: itself, or where it is in another encoding that can be told, converted into the spool.

    Reads 64 KB, and files up to 16 MB whole: to be called when a text is first read. What is UTF-8 with some damage stays as it
    is. Raises ChangedError; OSError: the disk is full.
    """
    if document.encoding is not None:
        return document
    encoding = encoding_of(document.read(0, 4)) or _legacy(document)
    if encoding is None:
        return document
    path, size = _written(document.blocks(), encoding, spool)
    return replace(document, path=path, size=size, origin=document.origin or document.path, encoding=encoding)


def undecodable(document: Document) -> int:
    """How many U+FFFD decoding puts into the text. Reads it whole. Raises ChangedError."""
    examined = examine(document, lambda: False)
    return examined.undecodable if examined else 0


def _legacy(document: Document) -> str | None:
    """The encoding of a text without a mark; None for UTF-8 and for what cannot be told."""
    whole = document.size <= _WHOLE
    sample = document.read(0, document.size if whole else _SAMPLE)
    if sample.isascii() or b"\0" in sample:
        return None
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(sample, final=whole)
    bad = text.count("\N{REPLACEMENT CHARACTER}") - sample.count("\N{REPLACEMENT CHARACTER}".encode())
    # Sound characters beyond ASCII are no accident in other encodings; lone surrogates are UTF-8 that Python wrote.
    if bad <= sum(not character.isascii() for character in text) - bad or _SURROGATE.search(sample):
        return None
    high = len(sample.translate(None, _ASCII))
    most = _MOST_LATIN_IN_FEW if high <= _FEW else _MOST_LATIN
    if high > most * len(sample.translate(None, b" \t\r\n")):
        return _guessed(sample[:_SAMPLE])
    return None if _UNDEFINED.search(sample) else "cp1252"


def _guessed(sample: bytes) -> str | None:
    """The encoding of a text that is mostly not ASCII, which is what guessing needs to be right."""
    from charset_normalizer import from_bytes  # noqa: PLC0415 - slow to import

    best = from_bytes(sample).best()
    return None if best is None else best.encoding


@contextmanager
def opened_if_stream(path: str) -> Iterator[tuple[BinaryIO | None, str | None]]:
    """A path that is there and no folder: opened if it is a stream; and in a few words what it is if it cannot be read."""
    try:
        if is_stream(path):
            stream, problem = open(path, "rb"), None  # noqa: PTH123, SIM115 - a str may hold bytes that are no text; closed below
        else:
            stream, problem = None, why_no_file(path)
    except OSError as why:
        stream, problem = None, _why_not_opened(path, why)
    if stream is None:
        yield None, problem
        return
    with stream:
        yield stream, None


def why_no_file(path: str) -> str | None:
    """In a few words why what is there is not a regular file, if it is none. Nothing is opened."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - a str may hold bytes that are no text
    except OSError as problem:
        return _why_not_opened(path, problem)
    return None if stat.S_ISREG(mode) else what_it_is(mode)


def _why_not_opened(path: str, problem: OSError) -> str:
    if os.path.islink(path) and not os.path.exists(path):  # noqa: PTH110, PTH114 - as above
        return "a link that leads nowhere"
    return why_not(problem)


def is_stream(path: str) -> bool:
    """Whether what is there is to be read once, from its beginning: a pipe, standard input, a process substitution.

    To be asked before whether it is a file: `/dev/stdin` may be one that has no other name. Raises OSError.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116 - a str may hold bytes that are no text
    own = _OWN.fullmatch(path)
    if stat.S_ISCHR(mode):
        # A terminal ends; `/dev/zero` as standard input does not.
        return own is not None and os.isatty(int(own[1] or 0))
    return stat.S_ISFIFO(mode) or (own is not None and stat.S_ISREG(mode))


def glob(pattern: str) -> list[str]:
    """The files and folders that a pattern matches, sorted, hidden ones only by a dot; `**` is any number of folders.

    `**` follows no links, or a link to a folder above would never end. What is in a folder that matches too is not listed.
    """
    pattern = pattern.replace(os.sep, "/")
    found = {"/" if pattern.startswith("/") else ""}
    for part in [part for part in pattern.split("/") if part]:
        folders = [path for path in found if not path or path.endswith("/")]
        found = {match for folder in folders for match in _matches(folder, part)}
    kept: list[str] = []
    # `a/b` comes right after `a`, before `a.c`.
    for path in sorted((path.rstrip("/") or "/" for path in found if path), key=lambda path: os.fsencode(path).split(b"/")):
        if not kept or not path.startswith(kept[-1].rstrip("/") + "/"):
            kept.append(path)
    return kept


def _matches(folder: str, part: str) -> Iterator[str]:
    """What one part of a pattern matches in a folder, which is empty or ends in a slash."""
    if part == "**":
        yield from _below(folder)
        return
    if not _MAGIC.search(part):
        path = folder + part
        if os.path.lexists(path):
            yield path + "/" if os.path.isdir(path) else path  # noqa: PTH112 - a str may hold bytes that are no text
        return
    wanted = re.compile(fnmatch.translate(part))
    for entry in _listed(folder):
        if wanted.match(entry.name) and (part[0] == "." or entry.name[0] != "."):
            path = folder + entry.name
            yield path + "/" if os.path.isdir(path) else path  # noqa: PTH112 - as above; a loop of links is no folder


def _below(folder: str) -> Iterator[str]:
    """The folder and all folders and files below, which are not hidden."""
    waiting = [folder]
    while waiting:
        folder = waiting.pop()
        yield folder
        for entry in _listed(folder):
            if entry.name[0] == ".":
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(f"{folder}{entry.name}/")
            else:
                yield folder + entry.name


def _listed(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder or ".") as listing:
            return list(listing)
    except OSError:  # as a shell does: what cannot be read holds no match
        return []


def paths_from(stream: BinaryIO) -> Iterator[str]:
    """The paths that a stream lists: one a line, or each up to a NUL where there is one (`rg -l0`).

    They begin with a slash or a dot, so that none is taken for anything else: `-`, `~`, a URL, a fragment.
    """
    data = stream.read()
    parts = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    yield from (path if os.path.isabs(path) else f"./{path}" for path in (os.fsdecode(part) for part in parts if part))  # noqa: PTH117 - as above
