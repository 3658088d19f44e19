"""The members of a zip archive (PKWARE APPNOTE 6.3).

Not by `zipfile`: it holds the whole directory in memory, gives up the archive for one name that is not UTF-8, and what bzip2 or
LZMA make of a few bytes it makes at once.
"""

from __future__ import annotations

import stat
import struct
import zlib
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from typing import TYPE_CHECKING, BinaryIO

from .packing import Member, PackError, Rewound, Source, read_up_to
from .unpacking import unpacked, unpacked_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_END = struct.Struct("<4s4HLLH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_UNKNOWN = 0xFFFFFFFF
_ENCRYPTED, _HAS_END_MARK, _UTF8 = 1, 2, 1 << 11
_UNIX = 3
_STORED, _DEFLATE, _BZIP2, _LZMA, _ZSTD, _XZ = 0, 8, 12, 14, 93, 95
_METHODS = dict.fromkeys((_STORED, _DEFLATE, _BZIP2, _LZMA, _ZSTD, _XZ)) | {
    1: "Shrink",
    6: "Implode",
    9: "Deflate64",
    98: "PPMd",
}
"""The ways to pack a member; None where it can be read."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the directory says of a member."""

    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    mode: int
    offset: int


def zip_members(file: BinaryIO, most: int) -> Iterator[Member]:
    """The files in the archive, in the order of its directory; no folders. At most `most` and one. Raises PackError."""
    entries = list(islice(_entries(file), most + 1))
    overlapping = _overlapping(entries)
    for entry in entries:
        if not entry.name.endswith("/"):
            refused = "overlaps another member" if entry.offset in overlapping else _refused(entry)
            yield Member(entry.name, entry.packed, refused, partial(_open, file, entry))


def _entries(file: BinaryIO) -> Iterator[_Entry]:
    start, size, shift = _directory(file)
    file.seek(start)
    directory = _Part(file, start, size)
    while head := read_up_to(directory, _ENTRY.size):
        yield _entry(head, directory, shift)


def _directory(file: BinaryIO) -> tuple[int, int, int]:
    """Where the directory begins, its bytes, and how much stands before the archive, which is to be added to all places."""
    length = file.seek(0, 2)
    begin = max(0, length - _END.size - _LONGEST_COMMENT)
    file.seek(begin)
    tail = file.read()
    found = tail.rfind(b"PK\5\6", 0, len(tail) - _END.size + 4)
    if found < 0:
        message = "incomplete: it has no directory at its end"
        raise PackError(message)
    end = begin + found
    *_, size, offset, _comment = _END.unpack_from(tail, found)
    if end >= _LOCATOR.size:
        file.seek(end - _LOCATOR.size)
        magic, _disk, end64, _disks = _LOCATOR.unpack(file.read(_LOCATOR.size))
        if magic == b"PK\6\7":
            end, size, offset = _directory64(file, end64, end - _LOCATOR.size)
    start = end - size
    if start < offset:
        message = "damaged: its directory is not where it says"
        raise PackError(message)
    return start, size, start - offset


def _directory64(file: BinaryIO, place: int, locator: int) -> tuple[int, int, int]:
    """The same for archives over 4 GB: the end of the directory, its bytes, and where it says that it begins."""
    for end in (place, locator - _END64.size):
        if 0 <= end <= locator - _END64.size:
            file.seek(end)
            magic, *_, size, offset = _END64.unpack(file.read(_END64.size))
            if magic == b"PK\6\6":
                return end, size, offset
    message = "damaged: its directory is not where it says"
    raise PackError(message)


def _entry(head: bytes, directory: Source, shift: int) -> _Entry:
    if len(head) < _ENTRY.size or not head.startswith(b"PK\1\2"):
        message = "damaged: its directory is broken"
        raise PackError(message)
    _magic, made, _needed, flags, method, _time, _date, crc, packed, size, *lengths, _disk, _internal, attributes, offset = (
        _ENTRY.unpack(head)
    )
    name_length, extra_length, comment_length = lengths
    rest = read_up_to(directory, name_length + extra_length + comment_length)
    size, packed, offset = _large(rest[name_length : name_length + extra_length], [size, packed, offset])
    mode = attributes >> 16 if made >> 8 == _UNIX else 0
    return _Entry(_name(rest[:name_length], flags), flags, method, crc, packed, size, mode, offset + shift)


def _large(extra: bytes, numbers: list[int]) -> list[int]:
    """The numbers, of which those that do not fit in 32 bits stand in the extra field number 1."""
    while len(extra) >= 4:  # noqa: PLR2004 - the head of a field
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            large = iter(struct.unpack_from(f"<{min(length, len(extra) - 4) // 8}Q", extra, 4))
            return [next(large, number) if number == _UNKNOWN else number for number in numbers]
        extra = extra[4 + length :]
    return numbers


def _name(name: bytes, flags: int) -> str:
    """Many programs write UTF-8 and do not say so; what is not, was written on DOS."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode(errors="surrogateescape") if flags & _UTF8 else name.decode("cp437")


def _overlapping(entries: Iterable[_Entry]) -> set[int]:
    """Where members begin that reach into the next one, so that the same bytes are unpacked many times."""
    places = sorted((entry.offset, entry.packed) for entry in entries)
    return {start for (start, packed), (following, _) in pairwise(places) if start + _LOCAL.size + packed > following}


def _refused(entry: _Entry) -> str | None:
    if entry.flags & _ENCRYPTED:
        return "encrypted"
    if stat.S_ISLNK(entry.mode):
        return "a link"
    if stat.S_IFMT(entry.mode) not in {0, stat.S_IFREG}:
        return "no regular file"
    unknown = _METHODS.get(entry.method, f"method {entry.method}")
    return f"packed by {unknown}, which cannot be read here" if unknown else None


def _open(file: BinaryIO, entry: _Entry) -> Source:
    file.seek(entry.offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
        message = "damaged: it is not where the directory says"
        raise PackError(message)
    *_, name_length, extra_length = _LOCAL.unpack(head)
    part = _Part(file, entry.offset + _LOCAL.size + name_length + extra_length, entry.packed)
    return _Checked(_unpacked(part, entry), entry)


def _unpacked(part: Source, entry: _Entry) -> Source:
    match entry.method:
        case 8:
            return unpacked_once("deflate", part)
        case 12:
            return unpacked_once("bz2", part)
        case 14:
            # After two bytes of version and two of length come the settings with which a .lzma file begins, but not its size.
            settings = read_up_to(part, 9)[4:]
            size = (1 << 64) - 1 if entry.flags & _HAS_END_MARK else entry.size
            return unpacked_once("lzma", Rewound(settings + size.to_bytes(8, "little"), part))
        case 93:
            return unpacked("zst", part)
        case 95:
            return unpacked("xz", part)
        case _:
            return part


class _Part:
    """A part of a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._place = start
        self._left = size

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            return b""
        self._file.seek(self._place)
        piece = self._file.read(min(size, self._left))
        if not piece:
            message = "incomplete: it breaks off"
            raise PackError(message)
        self._place += len(piece)
        self._left -= len(piece)
        return piece


class _Checked:
    """What is unpacked, and whether it is what was packed."""

    def __init__(self, source: Source, entry: _Entry) -> None:
        self._source = source
        self._entry = entry
        self._size = self._crc = 0

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._size += len(piece)
        self._crc = zlib.crc32(piece, self._crc)
        if self._size > self._entry.size or (not piece and self._size < self._entry.size):
            message = f"damaged: it is {'longer' if piece else 'shorter'} than it says"
            raise PackError(message)
        if not piece and self._crc != self._entry.crc:
            message = "damaged: its checksum is wrong"
            raise PackError(message)
        return piece
