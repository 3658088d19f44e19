"""Decompression in pieces of bounded size, whoever packed it.

The file objects of the standard library are not used for it, since they bound neither the memory that LZMA may ask for nor, in
a zip, what bzip2 and LZMA give at once; nor is that of zstandard used as it is, since it takes a file that breaks off for one
that ends.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from typing import TYPE_CHECKING, Literal, Protocol

from .packing import PackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .packing import Source

type Compression = Literal["gz", "bz2", "xz", "zst"]

MEMORY = 1 << 28
"""Bytes that a decompressor may take. What the strongest settings of `xz` need is 65 MB, of `zstd` without `--long` 128 MB."""

_PIECE = 1 << 16
_GZIP, _RAW = 31, -15
_END = b"\0this is its end\0"


class _Decoder(Protocol):
    """As in `bz2` and `lzma`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Inflate:
    """A decompressor of zlib with the interface of those of `bz2` and `lzma`."""

    def __init__(self, bits: int) -> None:
        self._decoder = zlib.decompressobj(bits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out = self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)
        self.needs_input = not self._decoder.unconsumed_tail and len(out) < max_length
        return out


class _Unpacked:
    """The text of compressed streams that follow one another."""

    def __init__(self, new: Callable[[], _Decoder], packed: Source, *, several: bool) -> None:
        self._new = new
        self._packed = packed
        self._several = several
        self._decoder = new()

    def read(self, size: int) -> bytes:
        """The next bytes. Raises PackError."""
        while (piece := self._next()) is not None:
            try:
                out = self._decoder.decompress(piece, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError) as problem:
                raise _said(problem) from problem
            if out:
                return out
        return b""

    def _next(self) -> bytes | None:
        """What the decoder is to be given, if only to go on; None at the end."""
        if self._decoder.eof:
            return self._following() if self._several else None
        if not self._decoder.needs_input:
            return b""
        piece = self._packed.read(_PIECE)
        if not piece:
            message = "incomplete: it breaks off"
            raise PackError(message)
        return piece

    def _following(self) -> bytes | None:
        """What comes after a stream, for a new decoder. Zeros are no stream: tapes and some programs fill up with them."""
        piece = self._decoder.unused_data
        while not (piece := piece.lstrip(b"\0")):
            if not (piece := self._packed.read(_PIECE)):
                return None
        self._decoder = self._new()
        return piece


class _Zstandard:
    """The text of frames of zstandard."""

    def __init__(self, packed: Source) -> None:
        import zstandard  # noqa: PLC0415 - slow to import

        self._error = zstandard.ZstdError
        # A frame of our own comes last. Only if its content comes out last, the one before it was whole.
        packed = _Chained(packed, zstandard.ZstdCompressor().compress(_END))
        decoder = zstandard.ZstdDecompressor(max_window_size=MEMORY // 2)
        self._reader = decoder.stream_reader(packed, read_size=_PIECE, read_across_frames=True)  # type: ignore[arg-type]
        self._held = b""

    def read(self, size: int) -> bytes:
        """The next bytes. Raises PackError."""
        while piece := self._piece(size):
            piece = self._held + piece
            self._held = piece[-len(_END) :]
            if len(piece) > len(_END):
                return piece[: -len(_END)]
        if self._held != _END:
            message = "incomplete: it breaks off"
            raise PackError(message)
        return b""

    def _piece(self, size: int) -> bytes:
        try:
            return self._reader.read(size)
        except (self._error, MemoryError) as problem:
            raise _said(problem) from problem


class _Chained:
    """A source, and bytes that come after it."""

    def __init__(self, source: Source, after: bytes) -> None:
        self._source = source
        self._after = after

    def read(self, size: int) -> bytes:
        if piece := self._source.read(size):
            return piece
        piece, self._after = self._after[:size], self._after[size:]
        return piece


def unpacked(compression: Compression, packed: Source) -> Source:
    """What is packed, without more memory than MEMORY and a piece. Streams that follow one another are one, as for `zcat`."""
    match compression:
        case "gz":
            return _Unpacked(lambda: _Inflate(_GZIP), packed, several=True)
        case "bz2":
            return _Unpacked(bz2.BZ2Decompressor, packed, several=True)
        case "xz":
            return _Unpacked(lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, MEMORY), packed, several=True)
        case "zst":
            return _Zstandard(packed)


def unpacked_once(compression: Literal["deflate", "bz2", "lzma"], packed: Source) -> Source:
    """What is packed as one stream within a zip; for `lzma` after a header as that of a `.lzma` file."""
    match compression:
        case "deflate":
            return _Unpacked(lambda: _Inflate(_RAW), packed, several=False)
        case "bz2":
            return _Unpacked(bz2.BZ2Decompressor, packed, several=False)
        case "lzma":
            return _Unpacked(lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, MEMORY), packed, several=False)


def compression_of(start: bytes) -> Compression | None:
    """What a file is packed with, by its first bytes."""
    if start.startswith(b"\x1f\x8b\x08"):
        return "gz"
    if start.startswith(b"BZh") and start[4:10] in {b"1AY&SY", b"\x17rE8P\x90"}:
        return "bz2"
    if start.startswith(b"\xfd7zXZ\0") or _is_lzma(start):
        return "xz"
    # What comes before the first frame may be one that is to be skipped, as `pzstd` writes it.
    if start.startswith(b"\x28\xb5\x2f\xfd") or (start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5):  # noqa: PLR2004
        return "zst"
    return None


_LZMA_HEADER = 13
_LZMA_MOST = 1 << 38


def _is_lzma(start: bytes) -> bool:
    """Whether a file begins as the older format, which has no magic bytes: by the same test as liblzma's."""
    if len(start) < _LZMA_HEADER or start[0] != 0x5D:  # noqa: PLR2004 - the settings that all programs write
        return False
    dictionary, size = int.from_bytes(start[1:5], "little"), int.from_bytes(start[5:13], "little")
    lowest = dictionary & -dictionary
    round_enough = dictionary != 0 and dictionary in {lowest, 3 * lowest}
    return round_enough and (size == (1 << 64) - 1 or size < _LZMA_MOST)


def _said(problem: Exception) -> PackError:
    if isinstance(problem, MemoryError) or "memory" in str(problem).lower():
        return PackError(f"needs more than {MEMORY >> 20} MB of memory to unpack")
    return PackError("damaged")
