"""The members of a tar archive: POSIX ustar and pax, GNU tar.

Not by `tarfile`, which can hang on archives made for it (before the newest releases of Python), and takes headers into memory
that say they are gigabytes long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_rlm.context.document import BLOCK

from .packing import EndError, Member, PackError, read_up_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from .packing import Source

RECORD = 512
_LONGEST = 1 << 20
"""Bytes of a header about a member."""
_MOST_HEADERS = 16
"""Headers about one member."""

_REGULAR = b"\x000\x007"
_FOLDERS = b"5D"
_SPECIAL = {b"1": "a link", b"2": "a link", b"S": "a sparse file"} | dict.fromkeys((b"3", b"4", b"6"), "no regular file")


def is_tar(start: bytes) -> bool:
    """Whether a file is a tar archive, by its first 512 bytes."""
    return len(start) >= RECORD and start[257:262] == b"ustar" and _is_header(start[:RECORD])


def tar_members(packed: Source, file: BinaryIO | None = None) -> Iterator[Member]:
    """The files in the archive, in its order; no folders. `file` is where it can be wound on. Raises EndError."""
    tape = _Tape(packed, file)
    while (head := _next_header(tape)) is not None:
        name, size, kind, sparse = head
        part = _Part(tape, size)
        if kind not in _FOLDERS and not (kind in b"\0" and name.endswith("/")):
            refused = "a sparse file" if sparse else None if kind in _REGULAR else _SPECIAL.get(kind, "no regular file")
            yield Member(name, size, refused, part.begun)
        part.skip()


def _next_header(tape: _Tape) -> tuple[str, int, bytes, bool] | None:
    """The name of the next member, its size, its kind and whether it has holes; None at the end."""
    told: dict[bytes, bytes] = {}
    for _ in range(_MOST_HEADERS):
        header = tape.take(RECORD, may_end=True)
        if not header.strip(b"\0"):
            return None
        if not _is_header(header):
            raise EndError(_DAMAGED)
        kind, size = header[156:157], _number(header[124:136])
        match kind:
            case b"x" | b"X":
                told |= _pairs(_told(tape, size))
            case b"L":
                told[b"path"] = _told(tape, size).rstrip(b"\0")
            case b"K" | b"g" | b"V":
                # The target of a link; what holds for all members, which is never their name; a label.
                _Part(tape, size).skip()
            case _:
                _skip_map(tape, header)
                return _described(header, told, kind, size)
    raise EndError(_DAMAGED)


def _described(header: bytes, told: dict[bytes, bytes], kind: bytes, size: int) -> tuple[str, int, bytes, bool]:
    name = told.get(b"GNU.sparse.name") or told.get(b"path") or _short_name(header)
    if b"size" in told:
        try:
            size = int(told[b"size"])
        except ValueError:
            raise EndError(_DAMAGED) from None
    if kind in b"123456":
        size = 0  # Links, devices and folders have no content, whatever they say.
    if size < 0:
        raise EndError(_DAMAGED)
    return name.decode(errors="surrogateescape"), size, kind, any(key.startswith(b"GNU.sparse.") for key in told)


def _skip_map(tape: _Tape, header: bytes) -> None:
    """Go on to the content of a file with holes in GNU's own format: more records may say where they are."""
    more = header[156:157] == b"S" and header[482] != 0
    while more:
        more = tape.take(RECORD)[504] != 0


def _short_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    # GNU tar keeps other things where POSIX has the beginning of a long name.
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _told(tape: _Tape, size: int) -> bytes:
    if size > _LONGEST:
        raise EndError(_DAMAGED)
    data = tape.take(size + -size % RECORD)
    return data[:size]


def _pairs(data: bytes) -> dict[bytes, bytes]:
    """The lines of a pax header: length of the line, space, key, `=`, value."""
    pairs = {}
    while data.strip(b"\0"):
        length, space, _ = data[:20].partition(b" ")
        if not (space and length.isdigit() and len(length) < int(length) <= len(data)):
            raise EndError(_DAMAGED)
        key, _, value = data[len(length) + 1 : int(length)].partition(b"=")
        pairs[key] = value.removesuffix(b"\n")
        data = data[int(length) :]
    return pairs


def _number(field: bytes) -> int:
    """Octal digits, or where they do not suffice the bits of the number itself after one that says so."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise EndError(_DAMAGED) from None


def _is_header(header: bytes) -> bool:
    """Whether the sum of the bytes is what stands in it, as unsigned bytes or, from some old programs, signed ones."""
    try:
        expected = int(header[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    counted = header[:148] + b" " * 8 + header[156:]
    total = sum(counted)
    return expected == total or expected == total - 256 * sum(byte > 127 for byte in counted)  # noqa: PLR2004 - the sign of a byte


_DAMAGED = "damaged"
_BREAKS_OFF = "incomplete: it breaks off"


class _Tape:
    """The archive as it goes by. What fails here ends it."""

    def __init__(self, packed: Source, file: BinaryIO | None) -> None:
        self._packed = packed
        self._file = file

    def skip(self, count: int) -> None:
        """Leave out so many bytes."""
        if self._file is not None and count > BLOCK:
            self._file.seek(count - 1, 1)
            count = 1
        while count > 0:
            count -= len(self.read(min(count, BLOCK)))

    def read(self, size: int) -> bytes:
        """The next bytes, at least one."""
        try:
            piece = self._packed.read(size)
        except PackError as problem:
            raise EndError(str(problem)) from problem
        if not piece:
            raise EndError(_BREAKS_OFF)
        return piece

    def take(self, count: int, *, may_end: bool = False) -> bytes:
        """So many bytes; none at the end of the archive, where it may be."""
        try:
            data = read_up_to(self._packed, count)
        except PackError as problem:
            raise EndError(str(problem)) from problem
        if len(data) < count and (data or not may_end):
            raise EndError(_BREAKS_OFF)
        return data


class _Part:
    """The content of a member."""

    def __init__(self, tape: _Tape, size: int) -> None:
        self._tape = tape
        self._left = size
        self._padding = -size % RECORD

    def begun(self) -> _Part:
        return self

    def read(self, size: int) -> bytes:
        piece = self._tape.read(min(size, self._left)) if self._left else b""
        self._left -= len(piece)
        return piece

    def skip(self) -> None:
        """Go on to what comes after it."""
        self._tape.skip(self._left + self._padding)
        self._left = self._padding = 0
