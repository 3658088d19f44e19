"""How much of each text was looked at: what code read, and what reached a model.

What reached a model is found by matching all that models were shown with the texts, so that nobody has to be believed. Equal
text counts wherever it stands in what code was given: of a log whose lines repeat, a line that was sent counts each time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .document import ChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .document import Document

SHORTEST = 20
"""Bytes of the shortest piece by which text is recognised."""

_BLOCK = 1 << 20
_CUTS = (b"\n", b". ", b", ", b": ")
_BARE = b' \t\r\n",'
_MOST_ALIKE = 4
_COMPARED = 256


class Spans:
    """Ranges of bytes, merged where they touch."""

    def __init__(self) -> None:
        """None yet."""
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add the bytes from `start` to `end`."""
        if start >= end:
            return
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The ranges, in order."""
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __len__(self) -> int:
        """Bytes in all ranges."""
        return sum(self._ends) - sum(self._starts)


@dataclass(frozen=True, slots=True)
class Covered:
    """How much of a document was looked at, in bytes."""

    document: int
    size: int
    read: int
    """What code read by name, or a helper looked through for it."""
    sent: int
    """What reached a model."""
    either: int
    """What one of the two touched."""


class Coverage:
    """Keeps count for the documents of one run. May be told from any thread."""

    def __init__(self, documents: Sequence[Document]) -> None:
        """Nothing is read yet."""
        self._documents = documents
        self._lock = threading.Lock()
        """Guards the two below."""
        self._given: dict[int, Spans] = defaultdict(Spans)
        self._searched: dict[int, Spans] = defaultdict(Spans)

    def read(self, document: int, start: int, end: int) -> None:
        """Code was given these bytes of a document."""
        with self._lock:
            self._given[document].add(start, min(end, self._documents[document].size))

    def searched(self, document: int, start: int, end: int) -> None:
        """A helper has looked through these bytes for code, which was not given them."""
        with self._lock:
            self._searched[document].add(start, end)

    def touched(self) -> set[int]:
        """The documents of which anything was read."""
        with self._lock:
            return {number for spans in (self._given, self._searched) for number, each in spans.items() if each}

    def finish(self, shown: Iterable[str], cancelled: Callable[[], bool]) -> list[Covered] | None:
        """Match what models were `shown` with what code was given. None once `cancelled`.

        Takes about a second for 100 MB shown and as much given, and memory in proportion to what was shown.
        """
        prompts = _Prompts(shown)
        covered = []
        with self._lock:
            given = {number: list(spans) for number, spans in self._given.items()}
        sent = {number: self._sent(number, spans, prompts, cancelled) for number, spans in given.items() if prompts}
        if cancelled():
            return None
        for number, document in enumerate(self._documents):
            read, either = Spans(), Spans()
            for start, end in (*given.get(number, ()), *self._searched.get(number, ())):
                read.add(start, end)
                either.add(start, end)
            for start, end in sent.get(number, ()):
                either.add(start, end)
            covered.append(Covered(number, document.size, len(read), len(sent.get(number, ())), len(either)))
        return covered

    def _sent(self, number: int, given: Sequence[tuple[int, int]], prompts: _Prompts, cancelled: Callable[[], bool]) -> Spans:
        spans, document = Spans(), self._documents[number]
        try:
            for start, end in given:
                at = start
                for block in document.blocks(start, end, _BLOCK):
                    if cancelled():
                        return spans
                    for first, last in prompts.found_in(block):
                        spans.add(at + first, at + last)
                    at += len(block)
        except ChangedError:  # what cannot be read any more is not counted
            return spans
        return spans


class _Prompts:
    """All that models were shown, indexed by pieces that are cut where the content says so."""

    def __init__(self, shown: Iterable[str]) -> None:
        self._texts: list[bytes] = []
        self._places: dict[bytes, list[tuple[int, int]]] = {}
        for text in shown:
            self._add(text.encode("utf-8", "replace"))

    def __bool__(self) -> bool:
        return bool(self._places)

    def _add(self, text: bytes) -> None:
        number = len(self._texts)
        self._texts.append(text)
        places = self._places
        for at, key in _pieces(text):
            known = places.get(key)
            if known is None:
                places[key] = [(number, at)]
            elif len(known) < _MOST_ALIKE:
                known.append((number, at))

    def found_in(self, block: bytes) -> Iterator[tuple[int, int]]:
        """The ranges of a block that stand in a text as well."""
        places, covered = self._places, 0
        for at, key in _pieces(block):
            if at + len(key) <= covered:
                continue
            for number, place in places.get(key, ()):
                text = self._texts[number]
                first = at - _same_before(block, at, text, place)
                last = at + _same_after(block, at, text, place)
                covered = max(covered, last)
                yield first, last


def _pieces(text: bytes) -> Iterator[tuple[int, bytes]]:
    """Pieces long enough to tell text by, each with its offset."""
    if b"\0" in text:
        text = text.replace(b"\0", b" ")
    marked = text
    for cut in _CUTS:
        marked = marked.replace(cut, cut + b"\0")
    at = 0
    for piece in marked.split(b"\0"):
        size = len(piece)
        if size >= SHORTEST:
            left = piece.lstrip(_BARE)
            key = left.rstrip(_BARE)
            if len(key) >= SHORTEST:
                yield at + size - len(left), key
        at += size


def _same_after(one: bytes, at: int, other: bytes, place: int) -> int:
    """How many bytes from two places on are the same."""
    same, step = 0, _COMPARED
    most = min(len(one) - at, len(other) - place)
    while step and same < most:
        step = min(step, most - same)
        if one[at + same : at + same + step] == other[place + same : place + same + step]:
            same += step
            step *= 2
        else:
            step //= 2
    return same


def _same_before(one: bytes, at: int, other: bytes, place: int) -> int:
    """How many bytes before two places are the same."""
    same, step = 0, _COMPARED
    most = min(at, place)
    while step and same < most:
        step = min(step, most - same)
        if one[at - same - step : at - same] == other[place - same - step : place - same]:
            same += step
            step *= 2
        else:
            step //= 2
    return same
