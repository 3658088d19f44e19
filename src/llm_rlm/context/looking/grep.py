"""Lines that match a pattern, in the source bytes of all texts: as ripgrep finds them, one hit a line.

Patterns come from the sandbox: RE2 takes time in proportion to the text, whatever they are, and memory within a limit.
"""

from __future__ import annotations

import codecs
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from llm_rlm.context.document import ChangedError

from . import scan
from .lines import Lines
from .pattern import AT_ONCE, BadPatternError, compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from llm_rlm.context.document import Document

    from .pattern import Pattern, Patterns

    type Cancelled = Callable[[], bool]

__all__ = ["BadPatternError", "Grepped", "Hit", "Query", "grep"]

_SHOWN = 1000
"""Characters of a long line that are given on each side of where the match begins."""
_MOST_AROUND = 1 << 20
"""Bytes in which the lines before and after a hit are looked for."""
_PART = 32 << 20
"""Bytes that a thread searches at a time."""
_MOST_IN_PART = 500
"""Texts that a thread searches at a time."""
_AHEAD = 3
"""Parts that are being searched, or wait for a thread."""
_WORTH_A_THREAD = 1 << 18
"""Bytes of a text that RE2 searches for longer than Python needs to open it."""
_SLOW = 0.05
"""Seconds: passing sixteen hits takes longer only where the automaton became too large."""
_DENSE = 1 << 10
"""Bytes a hit: with more, looking for each is quicker than passing all bytes once, sixteen hits at a time."""
_WIDEST = 4


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
    count_only: bool = False


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
    """The line without its end; of a long one, what is around the match: 1,000 characters on each side."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    cut: bool = False
    """Whether `text` is not the whole line."""


@dataclass(frozen=True)
class Grepped:
    """What was found."""

    hits: list[Hit]
    total: int
    """Lines that match, in all."""
    counts: dict[int, int]
    """Lines that match, by document; none that has none."""
    unreadable: list[tuple[int, str]]
    """Documents that are not there any more, and what became of them."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The lines of one document between two offsets."""

    number: int
    document: Document
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Match:
    """Offsets in a document."""

    line: int
    """The beginning of the line."""
    start: int
    end: int


@dataclass
class _Found:
    """What is known of a document while it is searched."""

    document: Document
    count: int = 0
    matches: list[_Match] = field(default_factory=list)
    problem: str | None = None


def grep(documents: Sequence[tuple[int, Document]], query: Query, cancelled: Cancelled) -> Grepped:
    """Look through documents, each with its number, in order. Memory does not grow with them.

    A line of more than 4 MB is searched in windows that share 256 KB: a match that is longer may be given shorter, or not be
    found. Bytes that are no UTF-8 match nothing and are in nobody's way. Raises BadPatternError and StoppedError.
    """
    patterns = compiled(query.pattern, ignore_case=query.ignore_case, fixed=query.fixed)
    limit = 0 if query.count_only else query.limit
    found: dict[int, _Found] = {}
    kept = 0
    with ThreadPoolExecutor(_threads(documents), "llm-rlm-grep") as threads:

        def search(parts: list[_Part], most: int) -> list[_Found]:
            return list(_search(parts, patterns, most, cancelled))

        batches = _batches(documents, cancelled)
        working: deque[tuple[list[_Part], Future[list[_Found]]]] = deque()
        while True:
            for batch in islice(batches, _AHEAD - len(working)):
                working.append((batch, threads.submit(search, batch, limit - kept)))
            if not working:
                break
            parts, work = working.popleft()
            for part, new in zip(parts, work.result(), strict=True):
                kept += _add(found, part, new, limit - kept)
        return _grepped(found, query.context, cancelled, threads.map)


def _threads(documents: Sequence[tuple[int, Document]]) -> int:
    """Two for large texts, which RE2 searches side by side; of small ones, most is Python's work."""
    size = sum(document.size for _, document in documents)
    return 2 if size > 2 * _PART and size // len(documents) > _WORTH_A_THREAD and (os.cpu_count() or 1) > 1 else 1


def _batches(documents: Sequence[tuple[int, Document]], cancelled: Cancelled) -> Iterator[list[_Part]]:
    """All texts, in order, in batches for a thread."""
    batch: list[_Part] = []
    size = 0
    for number, document in documents:
        for part in _parts(number, document, cancelled):
            batch.append(part)
            size += part.end - part.start
            if size >= _PART or len(batch) >= _MOST_IN_PART:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _parts(number: int, document: Document, cancelled: Cancelled) -> Iterator[_Part]:
    """A document, cut where lines end. Each part is looked for when the one before it has been taken."""
    start = 0
    while document.size - start > 2 * _PART:
        try:
            end = scan.find(document, b"\n", start + _PART, document.size, cancelled=cancelled) + 1
        except ChangedError:  # found again by whoever searches the rest
            break
        if not end:
            break
        yield _Part(number, document, start, end)
        start = end
    yield _Part(number, document, start, document.size)


def _search(parts: Iterable[_Part], patterns: Patterns, most: int, cancelled: Cancelled) -> Iterator[_Found]:
    for part in parts:
        found = _Found(part.document)
        try:
            with part.document.open() as file:
                lines = Lines(part.document, file, part.start, part.end)
                _Searcher(lines, patterns, found, most, cancelled).run()
        except ChangedError as problem:
            found.problem = str(problem)
        except OSError as problem:
            found.problem = f"{part.document.name} cannot be read: {problem.strerror}"
        most -= len(found.matches)
        yield found


def _add(found: dict[int, _Found], part: _Part, new: _Found, most: int) -> int:
    """Add what was found in a part. Returns how many matches were kept, `most` at most."""
    so_far = found.get(part.number)
    if so_far is None and not new.count and new.problem is None:
        return 0
    so_far = found.setdefault(part.number, _Found(part.document))
    kept = new.matches[: max(0, most)]
    so_far.count += new.count
    so_far.matches += kept
    so_far.problem = so_far.problem or new.problem
    return len(kept)


class _Searcher:
    """The search of the lines of one part."""

    def __init__(self, lines: Lines, patterns: Patterns, found: _Found, most: int, cancelled: Cancelled) -> None:
        self._lines = lines
        self._patterns = patterns
        self._found = found
        self._most = most
        self._cancelled = cancelled
        self._pattern: Pattern = patterns.unicode
        self._passes_many = True
        self._line: int | None = None
        """Where the line began that the lines begin with, if that is not in the buffer any more."""

    def run(self) -> None:
        lines = self._lines
        while lines.more():
            scan.check(self._cancelled)
            self._pattern = self._patterns.unicode
            if self._patterns.ascii is not self._pattern and lines.ascii:
                self._pattern = self._patterns.ascii
            begun = time.perf_counter()
            if lines.partial:
                self._search_window()
            else:
                self._search_lines()
                self._line = None
            lines.pace(time.perf_counter() - begun)

    # Whole lines

    def _search_lines(self) -> None:
        lines, found = self._lines, self._found
        at: int | None = lines.at
        while at is not None and len(found.matches) < self._most:
            at = self._next(at)
        if at is None:
            return
        if self._pattern.by_line or self._pattern.many is None or lines.buffer.find(b"\r", at, lines.cut) >= 0:
            while at is not None:
                at = self._next(at)
        else:
            self._count(at)

    def _next(self, at: int) -> int | None:
        """Take the next line that matches, from the beginning of a line on. Returns the beginning of the line after it."""
        lines = self._lines
        buffer, cut = lines.buffer, lines.cut
        while at <= cut:
            if self._pattern.by_line:
                start = end = at
            else:
                start, end = self._pattern.first(buffer, at, cut)[0]
                if start < 0:
                    return None
            last = buffer.find(b"\n", end, cut + 1)
            first = buffer.rfind(b"\n", at - 1, start) + 1 or at
            stop = last - 1 if last > first and buffer[last - 1] == 13 else last  # noqa: PLR2004 - \r
            if end > stop or self._pattern.by_line:
                # Once more without the \r, and the line by itself, or with the one byte before it in a line that began earlier.
                begun = first - (self._line is not None and first == lines.at)
                start, end = self._pattern.first(bytes(buffer[begun:stop]), first - begun, stop - begun)[0]
                start, end = (start + begun, end + begun) if start >= 0 else (-1, -1)
            if start >= 0:
                self._take(first, start, end)
                return last + 1 if last < cut else None
            at = last + 1
        return None

    def _take(self, first: int, start: int, end: int) -> None:
        lines, found = self._lines, self._found
        found.count += 1
        if len(found.matches) < self._most:
            line = self._line if self._line is not None and first <= lines.at else lines.offset(first)
            found.matches.append(_Match(line, lines.offset(start), lines.offset(end)))

    def _count(self, at: int) -> None:
        """Count the lines that match from `at`, the beginning of a line, on: one by one where they are rare."""
        lines, pattern, found = self._lines, self._pattern, self._found
        buffer, cut, first, many = lines.buffer, lines.cut, pattern.first, pattern.many
        assert many is not None
        while at <= cut:
            begun, count = at, 0
            while count < AT_ONCE and at <= cut:
                end = first(buffer, at, cut)[0][1]
                if end < 0:
                    found.count += count
                    return
                count += 1
                at = buffer.find(b"\n", end) + 1
            found.count += count
            while at - begun < AT_ONCE * _DENSE and self._passes_many and at <= cut:
                begun, clock = at, time.perf_counter()
                end = many(buffer, at, cut + 1)[0][1]
                self._passes_many = time.perf_counter() - clock < _SLOW
                if end < 0:
                    break
                found.count += AT_ONCE
                at = end

    # A line that is too long to hold

    def _search_window(self) -> None:
        lines = self._lines
        if self._line is None:
            self._line = lines.offset(lines.at)
        start, end = self._in_window()
        if start < 0:
            lines.again_from(max(lines.at + 1, lines.cut - lines.overlap))
        elif end == lines.cut and start > lines.at:
            lines.again_from(start)
        else:
            self._take(lines.at, start, end)
            lines.skip_line()
            self._line = None

    def _in_window(self) -> tuple[int, int]:
        lines = self._lines
        buffer, at, cut = lines.buffer, lines.at, lines.cut
        if not self._pattern.by_line or lines.offset(at) != self._line:
            return self._pattern.first(buffer, at, cut)[0]
        start, end = self._pattern.first(bytes(buffer[at : cut + 1]), 0, cut - at)[0]
        return (start + at, end + at) if start >= 0 else (-1, -1)


# What is told of a match


def _grepped(found: dict[int, _Found], context: int, cancelled: Cancelled, apply: scan.Map) -> Grepped:
    hits: list[Hit] = []
    unreadable: list[tuple[int, str]] = []
    counts: dict[int, int] = {}
    for number, each in found.items():
        problem = each.problem
        if problem is None:
            try:
                lines = scan.lines_of(each.document, [match.start for match in each.matches], cancelled, apply)
                hits += _hits(number, each, lines, context, cancelled)
            except ChangedError as changed:
                problem = str(changed)
        if problem is None:
            counts[number] = each.count
        else:
            unreadable.append((number, problem))
    return Grepped(hits, sum(counts.values()), counts, unreadable)


def _hits(number: int, found: _Found, lines: Sequence[int], context: int, cancelled: Cancelled) -> list[Hit]:
    hits: list[Hit] = []
    if not lines:
        return hits
    with found.document.open() as file:
        reader = _Reader(file, found.document.size)
        for match, line in zip(found.matches, lines, strict=True):
            scan.check(cancelled)
            hits.append(_hit(number, reader, match, line, context))
    return hits


def _hit(number: int, reader: _Reader, match: _Match, line: int, context: int) -> Hit:
    near = reader.read(max(match.line, match.start - _WIDEST * _SHOWN), match.start)
    whole_before = match.start - match.line == len(near)
    column = len(near.decode("utf-8", "replace")) if whole_before else reader.characters(match.line, match.start)
    left = _from_character(near, whole=whole_before).decode("utf-8", "replace")
    ahead = reader.read(match.start, match.start + _WIDEST * _SHOWN + 1)
    rest, newline, _ = ahead.partition(b"\n")
    if newline:
        rest = rest.removesuffix(b"\r")
    ends = bool(newline) or match.start + len(ahead) >= reader.size
    right = rest.decode("utf-8", "replace")
    cut = not (whole_before and ends) or max(len(left), len(right)) > _SHOWN
    text = left[-_SHOWN:] + right[:_SHOWN]
    before = reader.before(match.line, context) if context else ()
    after = reader.after(match.start, context) if context else ()
    return Hit(number, line, column + 1, match.start, match.end, text, before, after, cut)


def _from_character(data: bytes, *, whole: bool) -> bytes:
    """Without the rest of a character that it begins with."""
    if whole:
        return data
    at = next((at for at, byte in enumerate(data[:_WIDEST]) if byte & 0xC0 != 0x80), 0)  # noqa: PLR2004 - a continuation byte
    return data[at:]


class _Reader:
    """Small pieces of a file, in any order."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size
        self._begin = 0
        self._data = b""

    def read(self, start: int, end: int) -> bytes:
        end = min(end, self.size)
        if start >= end:
            return b""
        if not self._begin <= start <= end <= self._begin + len(self._data):
            # What comes next is likely to be near.
            self._begin = max(0, start - _WIDEST * _SHOWN)
            self._file.seek(self._begin)
            self._data = self._file.read(max(1 << 16, end - self._begin))
        return self._data[start - self._begin : end - self._begin]

    def characters(self, start: int, end: int) -> int:
        """How many characters there are between two offsets, each byte that is none being one."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        count = 0
        while start < end:
            self._file.seek(start)
            data = self._file.read(min(end - start, 1 << 20))
            if not data:
                break
            start += len(data)
            count += len(decoder.decode(data, final=start >= end))
        return count

    def before(self, line: int, count: int) -> tuple[str, ...]:
        """The lines before the one that begins at `line`."""
        size = 1 << 12
        while True:
            start = max(0, line - size)
            data = self.read(start, line)
            lines = data.split(b"\n")[:-1]
            if len(lines) > count or not start or size >= _MOST_AROUND:
                break
            size *= 4
        return tuple(map(_shown, lines[-count:]))

    def after(self, at: int, count: int) -> tuple[str, ...]:
        """The lines after the one that holds `at`."""
        size = 1 << 12
        while True:
            data = self.read(at, at + size)
            lines = data.split(b"\n")[1 : count + 2]
            whole = at + size >= self.size
            if len(lines) > count or whole or size >= _MOST_AROUND:
                break
            size *= 4
        if whole and lines and not lines[-1]:
            lines.pop()
        return tuple(map(_shown, lines[:count]))


def _shown(line: bytes) -> str:
    """A line around a hit, without its end."""
    return line[: 2 * _WIDEST * _SHOWN].removesuffix(b"\r").decode("utf-8", "replace")[: 2 * _SHOWN]
