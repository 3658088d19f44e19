"""Texts out of compressed files and archives, which may be made to harm: into the spool, within limits.

No name from an archive is ever a path on this machine: the files of the spool are numbered.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Literal

from llm_rlm.context.document import BLOCK, Document, Skipped, Table
from llm_rlm.context.naming import Names, clean_member, suffix

from .files import why_no_text
from .packing import EndError, PackError, Rewound, read_up_to
from .tars import RECORD, is_tar, tar_members
from .unpacking import compression_of, unpacked
from .zips import zip_members

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from llm_rlm.context.document import Spool, TableFormat

    from .packing import Member, Source

type Packing = Literal["gz", "bz2", "xz", "zst", "zip", "tar"]

NESTED = "an archive in an archive"
"""Why what is packed in a packed file is not read."""

_SNIFFED = 8192
_FREE = 1 << 24
"""Bytes that may come out of anything, however small it is."""

_SUFFIXES = frozenset({".gz", ".bz2", ".xz", ".lzma", ".zst"})
_TABLES: dict[str, TableFormat] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_BINARY_TABLES: dict[str, tuple[TableFormat, bytes]] = {
    ".parquet": ("parquet", b"PAR1"),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), ("sqlite", b"SQLite format 3\0")),
}
MARKS = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff", b"\xef\xbb\xbf")
"""With one of them begins what is UTF-16, UTF-32 or UTF-8 and says so."""


@dataclass(frozen=True)
class PackLimits:
    """How much may come out of one compressed file or archive."""

    ratio: int = 1000
    """Times the bytes that it takes packed. What exceeds 16 MB is held to it."""
    members: int = 100_000
    """Files in an archive, read or not."""
    total: int = 20 << 30
    """Bytes of an archive."""
    member: int = 10 << 30
    """Bytes of one text."""


def is_packed(start: bytes) -> Packing | None:
    """What a file is packed with, by its first 512 bytes; `xz` is `.lzma` too, and a compressed tar what compresses it."""
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return "zip"
    return "tar" if is_tar(start) else compression_of(start)


def unpack(
    path: str,
    name: str,
    spool: Spool,
    limits: PackLimits = PackLimits(),
    taken: Callable[[str], None] | None = None,
    wanted: Callable[[str, bytes], bool] | None = None,
) -> list[Document | Table | Skipped]:
    """The text of a compressed file, or what an archive holds, in its order.

    A compressed text keeps the name of the file; a member of an archive is called `archive.zip/path/in/it`. Compressed members
    are unpacked, archives in archives are not opened. `origin` is the packed file. `taken` is called with the name of each text
    that is begun. What is no text is skipped, unless `wanted`, asked with its name and its first 8 KB, wants it as it is, to
    convert it. What is damaged or beyond the limits is skipped with the reason; of a file that cannot be read at all, it is all
    there is. Raises OSError: the file cannot be opened, or the disk is full.
    """
    work = _Unpacking(path, name, spool, limits)
    work.taken = taken or work.taken
    work.wanted = wanted or work.wanted
    with open(path, "rb") as file:  # noqa: PTH123 - a str may hold bytes that are no text
        return list(work.run(file))


class _Unpacking:
    """The work on one packed file."""

    def __init__(self, path: str, name: str, spool: Spool, limits: PackLimits) -> None:
        self._path = path
        self._name = name
        self._spool = spool
        self._limits = limits
        self._names = Names()
        self._at = ""
        self.taken: Callable[[str], None] = lambda _: None
        self.wanted: Callable[[str, bytes], bool] = lambda _name, _start: False

    def run(self, file: BinaryIO) -> Iterator[Document | Table | Skipped]:
        """All that comes of the file."""
        status = os.fstat(file.fileno())
        self._modified = status.st_mtime_ns
        # What is unpacked to find the members of a compressed archive counts by itself, and so does what is kept of them.
        self._streamed, self._written = (self._meter_of_all(status.st_size) for _ in range(2))
        try:
            yield from self._out_of(file)
        except PackError as problem:
            yield Skipped(self._name, f"not read beyond {self._at}: {problem}" if self._at else str(problem))

    def _out_of(self, file: BinaryIO) -> Iterator[Document | Table | Skipped]:
        start = file.read(RECORD)
        file.seek(0)
        if compression := compression_of(start):
            yield from self._compressed(_Metered(unpacked(compression, file), self._streamed))
        elif is_tar(start):
            yield from self._archive(tar_members(file, file))
        elif is_packed(start):
            yield from self._archive(zip_members(file, self._limits.members))
        else:
            yield Skipped(self._name, "not packed in a way that can be read")

    def _compressed(self, text: Source) -> Iterator[Document | Table | Skipped]:
        start = read_up_to(text, RECORD)
        whole = Rewound(start, text)
        if is_tar(start):
            yield from self._archive(tar_members(whole))
        else:
            self.taken(self._name)
            yield self._kept(self._name, whole, self._meter(None))

    def _archive(self, members: Iterator[Member]) -> Iterator[Document | Table | Skipped]:
        empty = True
        for number, member in enumerate(members):
            empty = False
            if number == self._limits.members:
                message = f"more than {number:,} files in it"
                raise EndError(message)
            self._at = name = self._names.unique(f"{self._name}/{clean_member(member.name)}")
            yield self._member(name, member)
        if empty:
            yield Skipped(self._name, "empty")

    def _member(self, name: str, member: Member) -> Document | Table | Skipped:
        if member.refused:
            return Skipped(name, member.refused)
        self.taken(name)
        try:
            return self._kept(name, member.open(), self._meter(member.size))
        except EndError:
            raise
        except PackError as problem:
            return Skipped(name, str(problem))

    def _kept(self, name: str, text: Source, meter: _Meter) -> Document | Table | Skipped:
        """What becomes of a file that was found."""
        start = read_up_to(text, _SNIFFED)
        if compression := compression_of(start):
            text = unpacked(compression, Rewound(start, text))
            start = read_up_to(text, _SNIFFED)
        if compression and compression_of(start):
            return Skipped(name, "packed more than once")
        if is_packed(start) and not self.wanted(name, start):
            return Skipped(name, NESTED)
        if not start:
            return Skipped(name, "empty")
        table = table_of(name, start)
        if not (is_text(start) or table in {"parquet", "sqlite"} or self.wanted(name, start)):
            return Skipped(name, why_no_text(start))
        path, size = self._write(_Metered(Rewound(start, text), meter, self._written))
        if table in {"parquet", "sqlite"}:
            return Table(name, path, size, table, self._modified, self._path)
        return Document(name, path, size, self._modified, self._path, table=table)

    def _write(self, text: Source) -> tuple[str, int]:
        """A new file of the spool with all of it, and its size."""
        path = self._spool.new()
        try:
            with path.open("xb") as file:
                while piece := text.read(BLOCK):
                    file.write(piece)
                return str(path), file.tell()
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _meter_of_all(self, packed: int) -> _Meter:
        return _Meter(self._limits.total, self._limits.ratio, packed, EndError)

    def _meter(self, packed: int | None) -> _Meter:
        return _Meter(self._limits.member, self._limits.ratio, packed, PackError)


class _Meter:
    """How much has come out, and no more than may."""

    def __init__(self, most: int, ratio: int, packed: int | None, error: type[PackError]) -> None:
        """`error` is what is raised beyond `most` bytes, and beyond `ratio` times those that it takes packed, where known."""
        self._most = most
        self._ratio = ratio
        self._expected = most if packed is None else max(_FREE, ratio * packed)
        self._error = error
        self._count = 0

    def add(self, count: int) -> None:
        self._count += count
        if self._count > self._most:
            message = f"more than {_amount(self._most)} unpacked"
            raise self._error(message)
        if self._count > self._expected:
            message = f"more than {self._ratio:,} times its size unpacked"
            raise self._error(message)


class _Metered:
    """A source that meters see."""

    def __init__(self, source: Source, *meters: _Meter) -> None:
        self._source = source
        self._meters = meters

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        for meter in self._meters:
            meter.add(len(piece))
        return piece


def is_text(start: bytes) -> bool:
    """Whether a file is text, by its first 8 KB: no NUL stands in it, or a mark says that it is UTF-16 or UTF-32."""
    return b"\0" not in start or start.startswith(MARKS[:3])


def table_of(name: str, start: bytes) -> TableFormat | None:
    """The format of a table, by the suffix of its name, before one of compression."""
    ending = suffix(name)
    if ending in _SUFFIXES:
        ending = suffix(name[: -len(ending)])
    format_, magic = _BINARY_TABLES.get(ending, (None, b""))
    return format_ if format_ is not None and start.startswith(magic) else _TABLES.get(ending)


def _amount(size: int) -> str:
    return f"{size >> 30:,} GB" if size >= 1 << 30 else f"{size:,} bytes"
