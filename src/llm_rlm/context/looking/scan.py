"""Looking for plain bytes in a text, and counting its lines, in blocks: memory stays flat however long the text is."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Protocol

from llm_rlm.context.document import BLOCK
from llm_rlm.errors import RLMError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from llm_rlm.context.document import Document

_NEWLINE = b"\n"
_PART = 16 << 20
"""Bytes whose newlines are counted at a time, by one thread."""
_COUNTED = 1 << 17
"""Bytes that are read at a time to count newlines: they stay in the processor's cache."""
_SAMPLE = 1 << 11
_SHORT = 40
"""Bytes of a line: in shorter ones, looking at each byte is quicker than leaping."""


class Map(Protocol):
    """What `map` does, and the `map` of a pool of threads."""

    def __call__[Given, Made](self, make: Callable[[Given], Made], given: Iterable[Given], /) -> Iterator[Made]:
        """Make something of each, in order."""


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


def lines_of(
    document: Document, offsets: Sequence[int], cancelled: Callable[[], bool] = lambda: False, apply: Map = map
) -> list[int]:
    """The numbers of the lines, from 1, that the bytes at `offsets` are in, in the same order.

    Reads the text once, up to the last of them, at a third of a second a GB, or two thirds where lines are short. `apply`
    is `map`, or that of a pool of threads, which read parts side by side. Raises ChangedError and StoppedError.
    """
    if not offsets:
        return []
    last = max(offsets)
    wanted = {number: list(some) for number, some in groupby(sorted(set(offsets)), lambda offset: offset // _PART)}

    def newlines(number: int) -> list[int]:
        ends = [*wanted.get(number, ()), min((number + 1) * _PART, last)]
        return _newlines(document, number * _PART, ends, cancelled)

    lines: dict[int, int] = {}
    line = 1
    for number, counts in enumerate(apply(newlines, range(last // _PART + 1))):
        lines |= {offset: line + count for offset, count in zip(wanted.get(number, ()), counts, strict=False)}
        line += counts[-1]
    return [lines[offset] for offset in offsets]


def _newlines(document: Document, start: int, ends: Sequence[int], cancelled: Callable[[], bool]) -> list[int]:
    """How many newlines there are from `start` to each of `ends`, which do not fall."""
    counts: list[int] = []
    total, begin = 0, start
    for block in document.blocks(start, ends[-1], _COUNTED):
        check(cancelled)
        at = 0
        while len(counts) < len(ends) and ends[len(counts)] < begin + len(block):
            end = ends[len(counts)] - begin
            total += block.count(_NEWLINE, at, end)
            counts.append(total)
            at = end
        total += block.count(_NEWLINE, at) if at else _newlines_in(block)
        begin += len(block)
    return counts + [total] * (len(ends) - len(counts))


def _newlines_in(block: bytes) -> int:
    """`count` looks at each byte. `replace` leaps from newline to newline: three times as fast where lines are long."""
    short = block.count(_NEWLINE, 0, _SAMPLE) * _SHORT > _SAMPLE
    return block.count(_NEWLINE) if short else len(block) - len(block.replace(_NEWLINE, b""))
