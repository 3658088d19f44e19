"""Zip files that lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Lie:
    """What the file says of a member instead of the truth; None for the truth."""

    size: int | None = None
    packed: int | None = None
    crc: int | None = None
    method: int | None = None
    flags: int = 0
    offset: int | None = None
    inside: str | None = None
    """The name that stands before its data."""
    extra: bytes = b""


LIES = (
    Lie(size=0),
    Lie(size=5),
    Lie(size=900 << 20),
    Lie(size=0xFFFFFFFF),
    Lie(packed=0),
    Lie(packed=0xFFFFFFF0),
    Lie(crc=1),
    Lie(method=0),
    Lie(method=12),
    Lie(method=14),
    Lie(method=99),
    Lie(flags=1),
    Lie(flags=8),
    Lie(flags=0x800),
    Lie(flags=0x2000),
    Lie(offset=0),
    Lie(offset=0xFFFFFFF0),
    Lie(inside="other"),
    Lie(extra=struct.pack("<HHQ", 1, 8, 1 << 62)),
    Lie(extra=b"\1\0\xff\xff"),
)


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    data: bytes
    lie: Lie = field(default=Lie())


def raw_zip(members: list[Member], end: str = "") -> bytes:
    """A zip file. `end` is how its last record lies; "" for not at all.

    It tells of `few` members or `many`, stands behind one for `zip64` that is true, or is `hidden` by that one; it has a
    `comment` of such records, or `junk` is before it all.
    """
    body, listed = b"junk" * 10 if end == "junk" else b"", b""
    for member in members:
        lie, name = member.lie, member.name.encode("utf-8", "surrogateescape")
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        is_stored = member.name == "mimetype"
        packed = member.data if is_stored else packer.compress(member.data) + packer.flush()
        said = (
            lie.flags,
            (0 if is_stored else 8) if lie.method is None else lie.method,
            0,
            0x21,
            zlib.crc32(member.data) if lie.crc is None else lie.crc,
            len(packed) if lie.packed is None else lie.packed,
            len(member.data) if lie.size is None else lie.size,
        )
        offset = len(body) if lie.offset is None else lie.offset
        inside = name if lie.inside is None else lie.inside.encode()
        body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, *said, len(inside), len(lie.extra)) + inside + lie.extra + packed
        listed += (
            struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, *said, len(name), len(lie.extra), 0, 0, 0, 0, offset)
            + name
            + lie.extra
        )
    count, size, start = len(members), len(listed), len(body)
    told = {"few": 1, "many": 65535}.get(end, count)
    zip64 = b""
    if end in {"zip64", "hidden"}:
        zip64 = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
        zip64 += struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    if end == "hidden":
        told, size, start = 1, 0, 0
    comment = b"PK\5\6" * 30 if end == "comment" else b""
    return body + listed + zip64 + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, told, told, size, start, len(comment)) + comment
