"""`chunks`: a text cut into pieces that know where they are from. How each way of cutting goes is in `cutting`.

Without overlap the pieces of a text, joined, are the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from . import lazytext
from .corpus import Corpus
from .cutting import WAYS, cutter
from .lazytext import BOM, LazyText, Series

if TYPE_CHECKING:
    from .cutting import Cutter

_COUNTING = "`made = list(chunks(...))` holds them all, if they fit, and then `len(made)`"


class Chunk(str):
    """A piece of a text.

    `start` and `end` are its place, in characters, or in bytes where the text is too large to hold; `line` is its first line,
    from 1; `source` is the name of the text, where there are several; `index` counts the pieces of the text, from 0. `header`
    is the first row of CSV that was cut by records.
    """

    __slots__ = ("end", "header", "index", "line", "source", "start")

    source: str | None
    start: int
    end: int
    line: int
    index: int  # type: ignore[assignment]  # a number here, which hides a method that chunks need not have
    header: str | None


def chunks(text: object, size: int = 50_000, overlap: int = 0, by: str = "chars") -> list[Chunk] | Series[Chunk]:
    """Cut a text, or each of several, into pieces.

    By `chars`: of `size` characters. By `tokens`: of about `size` tokens, four bytes of UTF-8 taken for one, which is 4 letters
    of English or 1.3 of Chinese. By `lines`: of `size` lines. By `paragraphs` (blank lines between them), `records` (lines,
    or rows of CSV with line ends in quotes) or `code` (what begins in the first column, with the comments before it): as many
    whole ones as fit in `size` characters; one that does not fit is cut at a line end, or anywhere if it has none. In a text
    too large to hold, sizes and places are in bytes.

    `overlap`, in the same unit, is what a piece repeats of the one before: exactly so much of chars, tokens and lines; of
    the others the whole ones at its end that come to no more.

    A list for a str, a list or a dict. For `context` of several texts, and for a text too large to hold, pieces are cut as they
    are needed: `for piece in chunks(context)`.
    """
    _check(size, overlap, by)

    def cut(name: str | None, each: str | LazyText) -> Iterator[Chunk]:
        view = _Held(each) if isinstance(each, str) else _Sliding(each)
        return _cut(view, cutter(by, size, overlap, in_bytes=view.in_bytes), name)

    if isinstance(text, LazyText):
        return Series("pieces", _COUNTING, lambda: cut(text.name, text))
    if isinstance(text, Corpus):
        return Series("pieces", _COUNTING, lambda: (chunk for name in text for chunk in cut(name, text[name])))
    return [chunk for name, each in _named(text) for chunk in cut(name, each)]


def _named(text: object) -> Iterator[tuple[str | None, str | LazyText]]:
    """The texts there are in what was given, and their names. Raises TypeError for what is none."""
    several: Iterable[tuple[object, object]]
    if isinstance(text, str):
        several = [(None, text)]
    elif isinstance(text, Mapping):
        several = text.items()
    elif isinstance(text, Iterable) and not isinstance(text, bytes | bytearray):
        several = ((None, each) for each in text)
    else:
        message = f"text must be a str, a list of str or `context`, not {type(text).__name__}"
        raise TypeError(message)
    for name, each in several:
        if isinstance(each, str):
            yield None if name is None else str(name), str.__str__(each)
        elif isinstance(each, LazyText):
            yield each.name, each
        else:
            message = f"text must be a str or a list of str; it holds a {type(each).__name__}: make it text first"
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


def _cut(view: _Held | _Sliding, way: Cutter, source: str | None) -> Iterator[Chunk]:
    start, line, index = 0, 1, 0
    end = view.end_of(way, start)
    while start < end:
        chunk = Chunk(view.piece(start, end))
        chunk.source, chunk.line, chunk.index, chunk.header = source, line, index, way.header
        chunk.start, chunk.end = view.base + start, view.base + end
        yield chunk
        following = way.back(view.text, start, end)
        way.leave(view.text, start, following)
        after = view.end_of(way, following)
        if after <= end:  # with the overlap there is room for nothing new
            way.leave(view.text, following, end)
            following, after = end, view.end_of(way, end)
        line += view.text.count("\n", start, following)
        index += 1
        gone = view.let_go(following)
        start, end = following - gone, after - gone


class _Held:
    """A text that is held, to be cut by characters."""

    in_bytes = False
    base = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def end_of(self, way: Cutter, start: int) -> int:
        """Where the piece ends that begins at a place in `text`."""
        end = way.end(self.text, start, whole=True)
        assert end is not None
        return end

    def piece(self, start: int, end: int) -> str:
        """What stands between two places in `text`."""
        return self.text[start:end]

    def let_go(self, _: int) -> int:
        """What is before a place is not needed any more. Returns by how much places in `text` are less now."""
        return 0


class _Sliding:
    """The part of a text too large to hold that is cut at the moment: a character of `text` for each byte."""

    in_bytes = True

    def __init__(self, lazy: LazyText) -> None:
        self.text = ""
        self.base = 0
        """Bytes of the text before `text`."""
        self._lazy = lazy

    def end_of(self, way: Cutter, start: int) -> int:
        """As `_Held`; reads on as far as it takes to tell."""
        while (end := way.end(self.text, start, whole=self._read >= self._lazy.size)) is None:
            more = max(lazytext.PIECE, len(self.text) - start)
            blocks = self._lazy.blocks(self._read, min(self._lazy.size, self._read + more), lazytext.PIECE)
            self.text += b"".join(blocks).decode("latin-1")
        return end

    def piece(self, start: int, end: int) -> str:
        """As `_Held`."""
        piece = self.text[start:end].encode("latin-1").decode("utf-8", "replace")
        return piece if self.base + start else piece.removeprefix(BOM)

    def let_go(self, place: int) -> int:
        """As `_Held`."""
        if place < lazytext.PIECE:
            return 0
        self.text = self.text[place:]
        self.base += place
        return place

    @property
    def _read(self) -> int:
        return self.base + len(self.text)
