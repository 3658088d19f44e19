"""`chunks`: a text cut into pieces that know where they are from.

Without overlap the pieces of a text, joined, are the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NoReturn

from .lazytext import LazyText

if TYPE_CHECKING:
    from collections.abc import Callable

WAYS = ("chars", "tokens", "lines", "paragraphs", "records", "code")

_BUFFER = 1 << 22
_CHARACTERS_A_TOKEN = 4
_PARAGRAPH = re.compile(r"\n[^\S\n]*(?:\n\s*)+(?=\S)|\n[^\S\n]*(?:\n\s*)+\Z")
_BLOCK = re.compile(r"\n(?=[^\s)\]}#])")
_QUOTED = re.compile(r'"(?:[^"]|"")*"|\n')


class Chunk(str):
    """A piece of a text.

    `start` and `end` are its place, in characters, or in bytes where the text is too large to hold; `line` is its first line,
    from 1; `source` is the name of the text, where there are several; `index` counts the pieces of the text, from 0.
    """

    __slots__ = ("end", "index", "line", "source", "start")

    source: str | None
    start: int
    end: int
    line: int
    index: int  # type: ignore[assignment]  # a number here, which hides a method that chunks need not have


class Chunks:
    """Pieces of texts that are not all held at once: to be gone through, as often as wanted."""

    def __init__(self, make: Callable[[], Iterator[Chunk]]) -> None:
        """`make` cuts them anew."""
        self._make = make

    def __iter__(self) -> Iterator[Chunk]:
        """The pieces."""
        return self._make()

    def __len__(self) -> int:
        """Raise: nobody has counted them."""
        message = "these pieces are cut as they are needed: `list(chunks(...))` holds them all, if they fit"
        raise TypeError(message)

    def __getitem__(self, key: object) -> NoReturn:
        """Raise: they are not held."""
        message = "these pieces are cut as they are needed: go through them, or take `list(itertools.islice(pieces, a, b))`"
        raise TypeError(message)

    def __repr__(self) -> str:
        """What it is."""
        return "<pieces, cut as they are needed: for piece in ...>"


def chunks(text: object, size: int = 50_000, overlap: int = 0, by: str = "chars") -> list[Chunk] | Chunks:
    """Cut a text, or each of several, into pieces.

    By `chars`: of `size` characters. By `tokens`: of at most `size` tokens, four characters of ASCII taken for one. By `lines`.
    By `paragraphs`, `records` (lines, or rows of CSV with line ends in quotes) or `code` (what begins in the first column):
    as many whole ones as fit in `size` characters. `overlap`, in the same unit, for chars, tokens and lines. A list for a str
    or a list; for `context` of several texts, and for a text too large to hold, they are cut as they are needed.
    """
    _check(size, overlap, by)
    if isinstance(text, LazyText):
        return Chunks(lambda: _of_lazy(text, size, overlap, by))
    if isinstance(text, Mapping):
        return Chunks(lambda: _of_several(text.items(), size, overlap, by))
    if isinstance(text, str):
        return list(_of_text(str.__str__(text), size, overlap, by))
    if isinstance(text, Iterable) and not isinstance(text, bytes | bytearray):
        return list(_of_several(((None, each) for each in text), size, overlap, by))
    message = f"chunks takes a text, a list of texts or `context`, not {type(text).__name__}"
    raise TypeError(message)


def _check(size: object, overlap: object, by: object) -> None:
    if by not in WAYS:
        message = f"by must be one of {', '.join(WAYS)}, not {by!r}"
        raise ValueError(message)
    if type(size) is not int or size < 1:
        message = f"size must be a whole number of at least 1, not {size!r}"
        raise ValueError(message)
    if type(overlap) is not int or not 0 <= overlap < size:
        message = f"overlap must be a whole number of at least 0 and less than size, not {overlap!r}"
        raise ValueError(message)
    if overlap and by not in {"chars", "tokens", "lines"}:
        message = f"overlap is for chars, tokens and lines, not for {by}"
        raise ValueError(message)


def _of_several(texts: Iterable[tuple[str | None, object]], size: int, overlap: int, by: str) -> Iterator[Chunk]:
    for name, text in texts:
        if isinstance(text, LazyText):
            yield from _of_lazy(text, size, overlap, by)
        elif isinstance(text, str):
            yield from _of_text(str.__str__(text), size, overlap, by, name)
        else:
            message = f"chunks takes texts, not {type(text).__name__}"
            raise TypeError(message)


def _of_text(text: str, size: int, overlap: int, by: str, name: str | None = None) -> Iterator[Chunk]:
    line, counted = 1, 0
    for index, (start, end) in enumerate(_cut(text, size, overlap, by)):
        line += text.count("\n", counted, start)
        counted = start
        yield _chunk(text[start:end], name, start, end, line, index)


def _chunk(text: str, source: str | None, start: int, end: int, line: int, index: int) -> Chunk:
    made = Chunk(text)
    made.source, made.start, made.end, made.line, made.index = source, start, end, line, index
    return made


def _cut(text: str, size: int, overlap: int, by: str) -> Iterator[tuple[int, int]]:
    """The places of the pieces of a text that is held."""
    match by:
        case "chars":
            return _fixed(len(text), size, overlap)
        case "tokens":
            return _fixed_tokens(text, size, overlap)
        case "lines":
            return _lines(text, size, overlap)
        case "paragraphs":
            return _packed(text, (found.end() for found in _PARAGRAPH.finditer(text)), size)
        case "records":
            return _packed(text, _record_ends(text), size)
        case _:
            return _packed(text, (found.end() for found in _BLOCK.finditer(text)), size)


def _fixed(length: int, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, size - overlap):
        yield start, min(length, start + size)
        if start + size >= length:
            return


def _fixed_tokens(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    if text.isascii():
        yield from _fixed(len(text), size * _CHARACTERS_A_TOKEN, overlap * _CHARACTERS_A_TOKEN)
        return
    # Outside ASCII a character may be a token of its own.
    yield from _fixed(len(text), size, overlap)


def _lines(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    starts = [0]
    while (after := text.find("\n", starts[-1]) + 1) and after < len(text):
        starts.append(after)
    ends = [*starts[1:], len(text)]
    if text:
        yield from ((starts[first], ends[last - 1]) for first, last in _fixed(len(starts), size, overlap))


def _record_ends(text: str) -> Iterator[int]:
    """After each line end that stands in no quotes, where the text has CSV's quotes."""
    if '"' not in text or text.lstrip()[:1] in {"{", "["}:
        yield from (found.end() for found in re.finditer("\n", text))
        return
    yield from (found.end() for found in _QUOTED.finditer(text) if found.end() - found.start() == 1 and found[0] == "\n")


def _packed(text: str, ends: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
    """As many whole units as fit in a piece; one that does not fit is cut."""
    start = last = 0
    for end in (*ends, len(text)):
        if end - start > size and last > start:
            yield start, last
            start = last
        while end - start > size:
            yield start, start + size
            start += size
        last = end
    if start < len(text):
        yield start, len(text)


def _of_lazy(text: LazyText, size: int, overlap: int, by: str) -> Iterator[Chunk]:
    """The pieces of a text that is too large to hold; places are in bytes."""
    if by in {"chars", "tokens"}:
        step = size * (1 if by == "chars" else _CHARACTERS_A_TOKEN)
        shared = overlap * (step // size)
        line = 1
        for index, (start, end) in enumerate(_fixed(text.size, step, shared)):
            piece = text.exact(start, end)
            yield _chunk(_shown(piece), text.name, start, end, line, index)
            line += piece.encode("utf-8", "surrogateescape")[: end - shared - start].count(b"\n")
    elif by == "lines":
        yield from _lines_of_lazy(text, size, overlap)
    else:
        yield from _packed_of_lazy(text, size, by)


def _lines_of_lazy(text: LazyText, size: int, overlap: int) -> Iterator[Chunk]:
    lines = text.lines("surrogateescape")
    held: list[str] = []
    start, line, index = 0, 1, 0
    while more := list(islice(lines, size - len(held))):
        held += more
        piece = "".join(held)
        yield _chunk(_shown(piece), text.name, start, start + _bytes(piece), line, index)
        gone = held[: len(held) - overlap]
        start, line, index = start + _bytes("".join(gone)), line + len(gone), index + 1
        held = held[len(held) - overlap :]


def _packed_of_lazy(text: LazyText, size: int, by: str) -> Iterator[Chunk]:
    """A part of the text at a time is cut as if it were held; its last piece, which may go on, is cut again with the next."""
    start, line, index, read = 0, 1, 0, max(_BUFFER, 4 * size)
    while start < text.size:
        end = min(text.size, start + read)
        part = text.exact(start, end)
        places = list(_cut(part, size, 0, by))
        if end < text.size and len(places) > 1:
            places.pop()
        for first, last in places:
            piece = part[first:last]
            length = _bytes(piece)
            yield _chunk(_shown(piece), text.name, start, start + length, line, index)
            start, line, index = start + length, line + piece.count("\n"), index + 1


def _bytes(text: str) -> int:
    """Bytes that a part of a text takes in it."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _shown(text: str) -> str:
    """A part of a text with U+FFFD for what is not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
