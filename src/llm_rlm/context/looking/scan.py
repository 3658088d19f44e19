"""Looking for plain bytes in a text, and counting its lines, in blocks: memory stays flat however long the text is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_rlm.context.document import BLOCK
from llm_rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from llm_rlm.context.document import Document

_NEWLINE = b"\n"


class StoppedError(RLMError):
    """A search was cancelled before it was done."""


def check(cancelled: Callable[[], bool]) -> None:
    """Raise StoppedError once `cancelled`."""
    if cancelled():
        message = "the search was stopped"
        raise StoppedError(message)


def find(document: Document, needle: bytes, start: int, end: int, *, last: bool = False, cancelled: Callable[[], bool]) -> int:
    """The offset of the first (or last) `needle` that lies wholly between the byte offsets `start` and `end`, or -1.

    As bytes.find and bytes.rfind, in time linear in the text whatever the needle is. Raises ChangedError and StoppedError.
    """
    end = min(end, document.size)
    if start > end or len(needle) > end - start:
        return -1
    if not needle:
        return end if last else start
    return _find_last(document, needle, start, end, cancelled) if last else _find_first(document, needle, start, end, cancelled)


def _find_first(document: Document, needle: bytes, start: int, end: int, cancelled: Callable[[], bool]) -> int:
    overlap = len(needle) - 1
    tail = b""
    at = start
    for block in document.blocks(start, end, _block_for(needle)):
        check(cancelled)
        piece = tail + block if tail else block
        found = piece.find(needle)
        if found >= 0:
            return at + found
        tail = piece[len(piece) - min(overlap, len(piece)) :]
        at += len(piece) - len(tail)
    return -1


def _find_last(document: Document, needle: bytes, start: int, end: int, cancelled: Callable[[], bool]) -> int:
    """Backwards. All is turned round, since bytes.rfind takes quadratic time with some needles and bytes.find does not."""
    overlap, size = len(needle) - 1, _block_for(needle)
    turned = needle[::-1]
    head = b""
    while end > start:
        check(cancelled)
        begin = max(start, end - size)
        piece = document.read(begin, end) + head
        found = piece[::-1].find(turned)
        if found >= 0:
            return begin + len(piece) - found - len(needle)
        head = piece[:overlap]
        end = begin
    return -1


def count(document: Document, needle: bytes, start: int, end: int, cancelled: Callable[[], bool]) -> int:
    """How often `needle` stands between the byte offsets `start` and `end` without overlapping itself, as bytes.count.

    Raises ChangedError and StoppedError.
    """
    end = min(end, document.size)
    if start > end:
        return 0
    if not needle:
        return end - start + 1
    overlap, alone = len(needle) - 1, _never_overlaps(needle)
    total, tail = 0, b""
    for block in document.blocks(start, end, _block_for(needle)):
        check(cancelled)
        piece = tail + block if tail else block
        if alone:
            total += piece.count(needle)
        else:
            *before, piece = piece.split(needle)
            total += len(before)
        tail = piece[len(piece) - min(overlap, len(piece)) :]
    return total


def _block_for(needle: bytes) -> int:
    """Blocks longer than the needle, so that no byte is looked at often."""
    return max(BLOCK, 2 * len(needle))


def _never_overlaps(needle: bytes) -> bool:
    """Whether no end of a needle is its beginning too: then it does not matter from where one counts. Not for long ones."""
    return len(needle) <= 64 and not any(needle.startswith(needle[at:]) for at in range(1, len(needle)))  # noqa: PLR2004


def line_of(document: Document, offset: int, cancelled: Callable[[], bool] = lambda: False) -> int:
    """The number of the line, from 1, that the byte at `offset` is in. Raises ChangedError and StoppedError."""
    return lines_of(document, [offset], cancelled)[0]


def lines_of(document: Document, offsets: Sequence[int], cancelled: Callable[[], bool] = lambda: False) -> list[int]:
    """The numbers of the lines, from 1, that the bytes at `offsets` are in, in the same order.

    Reads the text once, up to the last of them, at a second or less a GB. Raises ChangedError and StoppedError.
    """
    order = sorted(range(len(offsets)), key=offsets.__getitem__)
    lines = [1] * len(offsets)
    if not order:
        return lines
    counter = _Counter(_blocks_until(document, offsets[order[-1]], cancelled))
    for index in order:
        lines[index] = counter.line(offsets[index])
    return lines


def _blocks_until(document: Document, end: int, cancelled: Callable[[], bool]) -> Iterator[bytes]:
    for block in document.blocks(0, end):
        check(cancelled)
        yield block


class _Counter:
    """Counts newlines up to offsets that only grow."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = b""
        self._begin = 0
        self._at = 0
        self._line = 1

    def line(self, offset: int) -> int:
        while offset > self._begin + len(self._block):
            self._line += _newlines(self._block, self._at)
            self._begin += len(self._block)
            self._at = 0
            block = next(self._blocks, None)
            if block is None:
                return self._line
            self._block = block
        at = offset - self._begin
        self._line += self._block.count(_NEWLINE, self._at, at)
        self._at = at
        return self._line


def _newlines(block: bytes, start: int) -> int:
    return block.count(_NEWLINE, start)
