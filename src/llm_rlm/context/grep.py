"""Lines that match a pattern, in the source bytes of all texts.

Patterns come from the sandbox: RE2 takes time in proportion to the text, whatever they are, and memory within a limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .document import ChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .document import Document

_BLOCK = 1 << 18
"""Bytes that are searched at a time. Larger blocks come from new memory each time, which takes longer than the search."""

_LONGEST_LINE = 1 << 24
_MOST_SHOWN = 2000
_MEMORY = 64 << 20
_LOOK_AROUND = ("invalid perl operator", "invalid escape sequence")


class BadPatternError(Exception):
    """The pattern is not one of RE2's. The message is fit for the root model."""


@dataclass(frozen=True)
class Query:
    """What to look for."""

    pattern: str
    ignore_case: bool = False
    fixed: bool = False
    """Whether the pattern is a plain string."""
    context: int = 0
    """Lines to give before and after each hit."""
    limit: int = 1000
    """Hits to give; all are counted."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A line that matches."""

    document: int
    line: int
    """From 1."""
    column: int
    """Of the first match in the line: in characters, from 1."""
    start: int
    end: int
    """Bytes of the first match in the document."""
    text: str
    """The line without its end; of one of more than 2,000 characters, what is around the match."""
    before: list[str]
    after: list[str]


@dataclass
class Grepped:
    """What was found."""

    hits: list[Hit] = field(default_factory=list)
    total: int = 0
    """Lines that match, in all."""
    counts: dict[int, int] = field(default_factory=dict)
    """Lines that match, by document."""
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    """Documents that are not there any more, and what became of them."""


def grep(documents: Sequence[tuple[int, Document]], query: Query, cancelled: Callable[[], bool]) -> Grepped:
    """Look through documents, each with its number, in order. Memory does not grow with them. Raises BadPatternError."""
    found, pattern = Grepped(), _compiled(query)
    for number, document in documents:
        if cancelled():
            break
        try:
            count = _in_document(number, document, pattern, query, found, cancelled)
        except ChangedError as problem:
            found.unreadable.append((number, str(problem)))
            continue
        if count:
            found.counts[number] = count
            found.total += count
    return found


def _compiled(query: Query) -> Any:  # noqa: ANN401 - RE2's pattern has no public type
    import re2  # noqa: PLC0415 - slow to import

    options = re2.Options()
    options.never_nl = True
    options.max_mem = _MEMORY
    options.log_errors = False
    options.case_sensitive = not query.ignore_case
    wanted = re2.escape(query.pattern) if query.fixed else query.pattern
    try:
        return re2.compile(f"(?m:{wanted})".encode(), options=options)
    except re2.error as problem:
        reason = problem.args[0] if problem.args else ""
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        hint = (
            " (RE2 has no look-around and no back-references: use `re` on the text)" if reason.startswith(_LOOK_AROUND) else ""
        )
        message = f"bad pattern: {reason}{hint}"
        raise BadPatternError(message) from None
    except UnicodeEncodeError:
        message = "bad pattern: it holds characters that no text can hold"
        raise BadPatternError(message) from None


def _in_document(
    number: int,
    document: Document,
    pattern: Any,  # noqa: ANN401 - see above
    query: Query,
    found: Grepped,
    cancelled: Callable[[], bool],
) -> int:
    """The lines of one document that match; hits are added to `found` up to the limit."""
    count, lines, search = 0, _LineCounter(document), pattern.search
    for base, data in _whole_lines(document):
        if cancelled():
            break
        at, size = 0, len(data)
        # What follows the last line end of a document is no line.
        while (at < size or not base + size) and (match := search(data, at)) is not None:
            start, end = match.span()
            last = data.find(b"\n", start)
            last = size if last < 0 else last
            if start == size and data.endswith(b"\n"):
                break
            count += 1
            if len(found.hits) < query.limit:
                first = data.rfind(b"\n", 0, start) + 1
                place = _Place(base, first, last, start, min(end, last))
                found.hits.append(_hit(number, document, data, lines.at(base, data, first), place, query.context))
            at = last + 1
    return count


class _LineCounter:
    """The numbers of lines. Line ends are counted when a number is wanted: most of a text never needs any."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._line = 1
        self._counted = 0

    def at(self, base: int, data: bytes, offset: int) -> int:
        """The number of the line that begins at an offset of a part that begins at `base`. Asked from front to back."""
        if self._counted < base:
            self._line += sum(block.count(b"\n") for block in self._document.blocks(self._counted, base, _BLOCK))
            self._counted = base
        self._line += data.count(b"\n", self._counted - base, offset)
        self._counted = base + offset
        return self._line


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a match is in a part of a document that begins at `base`."""

    base: int
    first: int
    """The beginning of its line."""
    last: int
    """The end of its line."""
    start: int
    end: int


def _hit(number: int, document: Document, data: bytes, line: int, place: _Place, context: int) -> Hit:
    text = _shown(data[place.first : place.last], place.start - place.first)
    column = len(data[place.first : place.start].decode("utf-8", "replace")) + 1
    before, after = _around(document, place.base + place.first, place.base + place.last, context) if context else ([], [])
    return Hit(number, line, column, place.base + place.start, place.base + place.end, text, before, after)


def _shown(line: bytes, match: int) -> str:
    """A line as it is given: without its end, and of a long one what is around the match."""
    line = line.removesuffix(b"\r")
    if len(line) <= _MOST_SHOWN:
        return line.decode("utf-8", "replace")
    start = max(0, min(match - _MOST_SHOWN // 4, len(line) - _MOST_SHOWN))
    part = line[start : start + _MOST_SHOWN].decode("utf-8", "replace")
    return f"{'… ' if start else ''}{part}{' …' if start + _MOST_SHOWN < len(line) else ''}"


def _around(document: Document, first: int, last: int, context: int) -> tuple[list[str], list[str]]:
    """The lines before and after one."""
    reach = context * _MOST_SHOWN
    before = document.read(max(0, first - reach), first).split(b"\n")[:-1][-context:]
    after = document.read(min(document.size, last + 1), min(document.size, last + 1 + reach))
    lines = after.split(b"\n")
    lines = lines[:-1] if lines and not lines[-1] else lines
    return [_shown(line, 0) for line in before], [_shown(line, 0) for line in lines[:context]]


def _whole_lines(document: Document) -> Iterator[tuple[int, bytes]]:
    """The text in parts that end where a line ends, each with its offset; a line that is too long to hold is cut."""
    base, rest = 0, b""
    for block in document.blocks(size=_BLOCK):
        cut = block.rfind(b"\n") + 1
        if not cut and len(rest) < _LONGEST_LINE:
            rest += block
            continue
        data = rest + block[:cut] if cut else rest + block
        rest = block[cut:] if cut else b""
        yield base, data
        base += len(data)
    if rest:
        yield base, rest
