"""Which bytes of the sources stand in texts that were shown to models.

A text is first compared with what follows the place where the last one was found, since most are slices in order. What is left
of all texts is cut into pieces, where what stands there says (`cuts`); one pass over the sources finds the same pieces there.
Whole lines come first, since most of what is no slice is lists of them: they need not be compared again. Other pieces are
extended to both sides as far as the two agree, few and long ones first, and then many and short ones for what is still left.
What is left is kept in a temporary file; memory is in proportion to the number of pieces, up to a limit, beyond which there are
further passes.
"""

from __future__ import annotations

import re
import tempfile
from array import array
from bisect import bisect_right
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from llm_rlm.context.document import ChangedError

from .cuts import SHORTEST, Cuts, Few, Lines, often, seldom
from .spans import Spans

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from llm_rlm.context.document import Document

MOST_PLACES = 16
"""Places that are looked at for each piece."""

_LONG_FIRST = 1 << 23
"""Bytes of texts from which on long pieces are looked for even before lines."""

_LONG_BEFORE_SHORT = 1 << 20
"""Bytes of texts from which on long pieces are looked for before short ones."""

_LITTLE = 256
"""Bytes of texts, such as one instruction, that are faster looked for piece by piece than by cutting the documents."""

_MOST_MISSES = 16
"""Texts one after another, none of which follows the last one, after which they are not taken to come in order."""

_ASTRAY = (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7, 7, -8, 8)
_LONG_TEXT = 1 << 12
_MOST_TIES = 1 << 17
_SOME_LINES = 32
_WALK = 1 << 13
_LINE_END = 2

_FEW_PLACES = 4
_GAP = 1024
_MOST_PIECES = 1 << 18
_SHORTEST_GAP = 8
_LONGEST_PIECE = 1 << 20
_AGAIN = 8
"""Bytes that have to agree for two texts to be in step again."""
_FEWEST = 3
"""Bytes of a short line that are enough for that."""
_ASIDE = 40
"""Bytes of the shown text that may stand between: a line's number, indentation."""
_MARGIN = 256
_SURE = 1024
_NEAR = 1 << 10
_STEPS = (256, 2048, 1 << 14, 1 << 16)
_SAMPLES, _SAMPLE = 32, 1 << 12
_IN_MEMORY = 1 << 25

_FILLING = re.compile(rb"(?:[\s\"]|\\[\\/\"bfnrt]|\\u[0-9a-fA-F]{4}|\\)*")
_NO_TEXT = re.compile(rb"[\x80-\xff]*")
_SPACES = re.compile(rb"\s*")
_BREAKS = frozenset({b"", b"\n", b"\r", b"\t", b'"', b"\\"} | {bytes((byte,)) for byte in range(0x80, 0x100)})
"""What may be spelt otherwise in the shown text, which is where a run ends then."""
_ESCAPED = re.compile(rb"(?:\\u[0-9a-fA-F]{4})+|\\[\\/\"bfnrt]")
_CHARACTER = re.compile(rb"(?!005[cC]|[dD][89a-fA-F])[0-9a-fA-F]{4}")
_MEANT = {b'"': b'"', b"/": b"/", b"\\": b"\\", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

type _Place = tuple[int, int]
"""Document and offset."""


class _Run(NamedTuple):
    """Bytes that agree: from `shown` in the shown text, from `start` to `end` in the document."""

    shown: int
    start: int
    end: int

    @property
    def shown_end(self) -> int:
        """Where they end in the shown text."""
        return self.shown + self.end - self.start


@dataclass(slots=True)
class _Stretch:
    """Lines that follow one another in a shown text and in a document."""

    number: int
    first: _Run
    last: _Run


def find_shown(
    documents: Sequence[Document], read: Mapping[int, Spans], shown: Iterable[str], cancelled: Callable[[], bool]
) -> tuple[dict[int, Spans], bool]:
    """What of the parts of documents in `read` stands in `shown`, by document, and whether all was looked for.

    A stretch of at least `SHORTEST` bytes counts, and shorter ones that follow it both here and there. Text that stands at
    several places counts at one of them at least, and for each of its pieces at no more than `MOST_PLACES`: at others than one
    only as long as no more is counted than was shown.
    """
    with _Matching(documents, read, cancelled) as matching:
        done = matching.run(shown)
        return matching.found, done


class _Left:
    """Texts that nothing is known of yet, in a temporary file."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with this
        self._sizes = array("Q")
        self._seen: set[int] = set()
        self.size = 0

    def add(self, text: bytes, new: bytes | None = None) -> None:
        """Keep it, if what nothing is known of in it (`new`, or all of it) is long enough and was not there before."""
        core = text if new is None else new
        if len(core) < SHORTEST or hash(core) in self._seen:
            return
        self._seen.add(hash(core))
        self._file.write(text)
        self._sizes.append(len(text))
        self.size += len(text)

    def __len__(self) -> int:
        return len(self._sizes)

    def texts(self, first: int, last: int) -> Iterator[bytes]:
        """Those from `first` up to `last`, one at a time."""
        at = sum(self._sizes[:first])
        for size in self._sizes[first:last]:
            self._file.seek(at)
            yield self._file.read(size)
            at += size

    def close(self) -> None:
        self._file.close()


class _Files:
    """Small pieces of documents. The last document stays open."""

    def __init__(self, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._stack = ExitStack()
        self._number: int | None = None
        self._file: BinaryIO | None = None
        self._near, self._start, self._end = b"", 0, -1

    def take(self, number: int, start: int, end: int) -> bytes:
        """Raises ChangedError where the file cannot be opened; gives less where it has become shorter."""
        if number == self._number and self._start <= start and end <= self._end:
            return self._near[start - self._start : end - self._start]
        if number != self._number or self._file is None:
            self.close()
            self._file = self._stack.enter_context(self._documents[number].open())
            self._number = number
        if end - start > _NEAR:
            self._file.seek(start)
            return self._file.read(end - start)
        self._start = max(0, start - _NEAR)
        self._file.seek(self._start)
        self._near = self._file.read(3 * _NEAR)
        self._end = self._start + len(self._near)
        return self._near[start - self._start : max(end, start) - self._start]

    def close(self) -> None:
        self._stack.close()
        self._number = self._file = None
        self._near, self._start, self._end = b"", 0, -1


class _Matching:
    """One search."""

    def __init__(self, documents: Sequence[Document], read: Mapping[int, Spans], cancelled: Callable[[], bool]) -> None:
        self._documents = documents
        self._read = read
        self._cancelled = cancelled
        self._files = _Files(documents)
        self._order = sorted(number for number, spans in read.items() if len(spans))
        self._guess: _Place | None = None
        self._gone: set[int] = set()
        self._shown = 0
        self._misses = 0
        self._alone = 0
        self._escapes: bool | None = None
        self._ties: list[tuple[int, list[_Run]]] = []
        self._laid: dict[int, list[tuple[int, int]]] = {}
        self.found: dict[int, Spans] = {number: Spans() for number in self._order}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def run(self, shown: Iterable[str]) -> bool:
        """Look for all texts. False if it was cancelled."""
        if not self._order:
            return True
        left = self._in_order(shown)
        if left.size > _LONG_FIRST:
            left = self._pass(left, self._long)
        # Where one is found, those after it are found by reading on; where not, all have to be looked for.
        left = self._pass(left, lambda _: Lines(every=_SOME_LINES))
        left = self._pass(left, lambda _: Lines())
        if left.size > _LONG_BEFORE_SHORT:
            left = self._pass(left, self._long)
        self._pass(left, lambda left: often(list(self._samples())) if left.size > _LITTLE else Few()).close()
        self._count_ties()
        return not self._cancelled()

    def _long(self, left: _Left) -> Cuts:
        return seldom(list(self._samples()), max(_GAP, left.size // _MOST_PIECES))

    def _count_ties(self) -> None:
        """Count text at the other places where it may be from too, as long as no more is counted than was shown."""
        room = self._shown - sum(spans.total() for spans in self.found.values())
        for number, runs in self._ties:
            room -= _length(runs)
            if room < 0:
                break
            self._keep(number, runs, Spans())

    # Texts in order

    def _in_order(self, shown: Iterable[str]) -> _Left:
        """Look for each text where the last one ended, or where the next document begins. What is left of them all."""
        left = _Left()
        number = self._order[0]
        self._guess = (number, self._first(number))
        for text in shown:
            if self._cancelled():
                break
            data = text.encode("utf-8", "surrogatepass")
            self._shown += len(data)
            for rest, core in _unmatched(data, self._in_step(data)):
                self._leave(rest, core, left)
        return left

    def _in_step(self, data: bytes) -> Spans:
        """What of a text follows the last one."""
        matched = Spans()
        if self._misses < _MOST_MISSES:
            while self._follows(data, matched):
                pass
            self._misses = 0 if len(matched) else self._misses + 1
        return matched

    def _leave(self, rest: bytes, core: bytes, left: _Left) -> None:
        """Keep what no document was found to go on with; first see whether one does with what it means as JSON."""
        plain = _plain(rest)
        if plain == rest:
            left.add(rest, core)
            return
        matched = self._in_step(plain)
        for piece, new in _unmatched(plain, matched):
            left.add(piece, new)
        if 2 * matched.total() < len(plain) and self._holds_escapes():
            left.add(rest, core)

    def _holds_escapes(self) -> bool:
        """Whether what looks like JSON can stand in a document as it is."""
        if self._escapes is None:
            self._escapes = any(b"\\" in block for block in self._blocks())
        return self._escapes

    def _blocks(self) -> Iterator[bytes]:
        for number, start, end in self._open_parts():
            if self._cancelled():
                return
            with suppress(ChangedError):
                yield from self._documents[number].blocks(start, end)

    def _follows(self, data: bytes, matched: Spans) -> bool:
        """Whether something that was expected to come next stands in `data`, so that more may."""
        for number, at in self._expected(0 if len(matched) else len(data)):
            try:
                head = self._files.take(number, at, min(at + 2 * SHORTEST, self._documents[number].size))
            except ChangedError:
                continue
            blank = len(head) - len(head.lstrip())
            needle = head[blank : blank + SHORTEST]
            place = data.find(needle) if len(needle) == SHORTEST else -1
            if place < 0 or matched.holds(place):
                continue
            low, high = self._bounds(number, at + blank)
            run = self._run(data, place, number, (at + blank, low, high))
            last = self._walk(data, run, number, high)
            if last.end - run.start >= min(_SURE, len(data) // 2):
                self.found[number].add(run.start, last.end)
                matched.add(run.shown, last.shown_end)
                self._keep(number, self._trace_on(data, last, number, high), matched)
                return True
        return False

    def _expected(self, length: int) -> Iterator[_Place]:
        """Where the last text ended; where the next document begins; a few long texts before or after.

        Calls are recorded in nearly the order in which they were asked.
        """
        assert self._guess is not None
        number, at = self._guess
        yield number, at
        after = self._order[bisect_right(self._order, number) % len(self._order)]
        yield after, self._first(after)
        if length >= _LONG_TEXT:
            for times in _ASTRAY:
                place = at + (self._misses + times) * length
                if 0 <= place < self._documents[number].size:
                    yield number, place

    def _first(self, number: int) -> int:
        return next(iter(self._read[number]))[0]

    # Texts anywhere

    def _pass(self, left: _Left, choose: Callable[[_Left], Cuts | Few]) -> _Left:
        """Look for what is left in all that was read and not found yet. What is left then."""
        after = _Left()
        if left.size:
            cuts = choose(left)
            align = self._align
            if isinstance(cuts, Lines):
                align = self._lay if cuts.every == 1 else self._lay_some
            for first, seeds, places in _batches(left, cuts):
                if isinstance(cuts, Few):
                    self._scan_for(cuts.size, places)
                else:
                    self._scan(cuts, places)
                for text, pieces in zip(left.texts(first, first + len(seeds)), seeds, strict=True):
                    if self._cancelled():
                        break
                    for rest, core in _unmatched(text, align(text, pieces, places)):
                        after.add(rest, core)
                self._take_over()
        left.close()
        return after

    def _open_parts(self) -> Iterator[tuple[int, int, int]]:
        """Document, start and end of what was read and not found yet, and a little around it."""
        for number in self._order:
            if number in self._gone:
                continue
            if not len(self.found[number]):
                yield from ((number, start, end) for start, end in self._read[number])
                continue
            wide = Spans()
            for start, end in self._read[number].without(self.found[number]):
                wide.add(max(0, start - _MARGIN), end + _MARGIN)
            for start, end in wide.without(wide.without(self._read[number])):
                yield number, start, end

    def _samples(self) -> Iterator[bytes]:
        """Pieces of the documents, evenly over all that is looked through."""
        parts = list(self._open_parts())
        total = sum(end - start for _, start, end in parts)
        step, at, due = max(_SAMPLE, total // _SAMPLES), 0, 0
        for number, start, end in parts:
            while due < at + end - start:
                place = start + due - at
                try:
                    yield self._files.take(number, place, min(place + _SAMPLE, end))
                except ChangedError:
                    self._gone.add(number)
                due += step
            at += end - start

    def _scan(self, cuts: Cuts, wanted: dict[bytes, list[_Place]]) -> None:
        """Note where the wanted pieces stand."""
        looking = set(wanted)
        if not looking:
            return
        for number, start, end in list(self._open_parts()):
            if self._cancelled():
                return
            try:
                for pieces, base in self._pieces(cuts, number, (start, end)):
                    keys = cuts.keys(pieces)
                    if looking.isdisjoint(keys):
                        continue
                    hits = [at for at, key in enumerate(keys) if key in looking]
                    offsets = list(accumulate(map(len, pieces), initial=base))
                    for at in hits:
                        key = keys[at]
                        places = wanted[key]
                        if len(places) < MOST_PLACES:
                            places.append((number, offsets[at] + at * len(cuts.separator) + cuts.aside(pieces[at])))
                        else:
                            looking.discard(key)
            except ChangedError:
                self._gone.add(number)

    def _scan_for(self, size: int, wanted: dict[bytes, list[_Place]]) -> None:
        """Note where the wanted pieces, all of that size, stand: one after another, which is fast for a few."""
        for number, start, end in list(self._open_parts()):
            rest, base = b"", start
            with suppress(ChangedError):
                for block in self._documents[number].blocks(start, end):
                    if self._cancelled():
                        return
                    data = rest + block
                    for needle, places in wanted.items():
                        at = data.find(needle)
                        while at >= 0 and len(places) < MOST_PLACES:
                            places.append((number, base + at))
                            at = data.find(needle, at + 1)
                    rest = data[max(0, len(data) - size + 1) :]
                    base += len(data) - len(rest)

    def _pieces(self, cuts: Cuts, number: int, part: tuple[int, int]) -> Iterator[tuple[list[bytes], int]]:
        """The pieces of a part of a document, some at a time, with the offset of the first of them."""
        rest, base = b"", part[0]
        for block in self._documents[number].blocks(*part):
            if self._cancelled():
                return
            data = rest + block
            pieces = cuts.pieces(data)
            last = pieces.pop()
            yield pieces, base
            rest = data[len(data) - len(last) :] if len(last) < _LONGEST_PIECE else b""
            base += len(data) - len(rest)
        yield cuts.pieces(rest), base

    def _align(self, data: bytes, seeds: list[tuple[int, bytes]], wanted: Mapping[bytes, list[_Place]]) -> Spans:
        """Find where a text is from, by those of its pieces first that stand at the fewest places. What of it was found."""
        matched = Spans()
        for _, at, key in sorted((len(wanted[key]), at, key) for at, key in seeds if wanted[key]):
            if self._cancelled():
                break
            if not matched.holds(at + len(key) - 1):
                self._place(data, at, wanted[key], matched)
        return matched

    def _place(self, data: bytes, at: int, places: list[_Place], matched: Spans) -> None:
        """Of the places where a piece stands take those where the most around it agrees."""
        traced = []
        for number, start in places:
            try:
                runs = self._trace(data, at, (number, start))
            except ChangedError:
                continue
            traced.append((_length(runs), number, runs))
        most = max((length for length, _, _ in traced), default=0)
        if not most:
            # Such as what each line of a log holds: less is to be looked at when it comes again.
            del places[max(len(places) // 2, _FEW_PLACES) :]
            return
        (number, runs), *ties = [(number, runs) for length, number, runs in traced if length == most]
        self._keep(number, runs, matched)
        self._ties += ties[: max(0, _MOST_TIES - len(self._ties))]

    # Lists of lines

    def _lay(self, data: bytes, seeds: list[tuple[int, bytes]], wanted: Mapping[bytes, list[_Place]]) -> Spans:
        """Find where a text is from, by its lines that stand at one place only. What of it was found."""
        matched = Spans()
        stretch: _Stretch | None = None
        for at, key in seeds:
            places = wanted[key]
            if len(places) != 1 or (stretch is not None and at < stretch.last.shown_end):
                continue
            number, start = places[0]
            line = _Run(at, start, start + len(key))
            if stretch is not None:
                if (
                    number == stretch.number
                    and 0 < start - stretch.last.end <= _LINE_END
                    and at - stretch.last.shown_end <= _ASIDE
                ):
                    stretch.last = line
                    continue
                self._close(data, stretch, at, matched)
                if at < stretch.last.shown_end:
                    continue
            stretch = _Stretch(number, line, line)
        if stretch is not None:
            self._close(data, stretch, len(data), matched)
        return matched

    def _lay_some(self, data: bytes, seeds: list[tuple[int, bytes]], wanted: Mapping[bytes, list[_Place]]) -> Spans:
        """The same as long as more than a line is found at a time."""
        return self._lay(data, seeds, wanted) if self._alone < _MOST_MISSES else Spans()

    def _close(self, data: bytes, stretch: _Stretch, until: int, matched: Spans) -> None:
        """Note lines that follow one another; where more of the text stands around them, see how far it agrees too."""
        number, first, last = stretch.number, stretch.first, stretch.last
        done = matched.last()
        with suppress(ChangedError):
            if first.shown - done >= _SHORTEST_GAP or first.shown > done == 0:
                low, _ = self._bounds(number, first.start)
                back = self._backward(data[done:], first.shown - done, number, (low, first.start))
                first = _Run(first.shown - back, first.start - back, first.end)
            if until - last.shown_end >= _SHORTEST_GAP or last.shown_end < until == len(data):
                _, high = self._bounds(number, last.start)
                last = self._longer(data, last, number, high)
                stretch.last = self._walk(data, last, number, high)
                self._alone = self._alone + 1 if stretch.last.end == last.end and last.end - first.start < _SURE else 0
                self._keep(number, self._trace_on(data, stretch.last, number, high), matched)
        self._laid.setdefault(number, []).append((first.start, stretch.last.end))
        matched.add(first.shown, stretch.last.shown_end)

    def _walk(self, data: bytes, run: _Run, number: int, high: int) -> _Run:
        """Follow a text line by line. The last line that is long enough to count, and what agrees after it; else `run`."""
        at, there = run.shown_end, run.end
        last: tuple[int, int, bytes] | None = None
        while there < high and at >= 0 and len(data) - at >= SHORTEST:
            block = self._files.take(number, there, min(there + _WALK, high))
            lines = block.split(b"\n")
            if there + len(block) < high:
                lines.pop()
            if not lines:
                break
            for line in lines:
                if plain := line.strip():
                    length = len(plain)
                    at = data.find(plain, at, at + length + _ASIDE)
                    if at < 0:
                        break
                    if length >= SHORTEST:
                        last = at, there, line
                    at += length
                there += len(line) + 1
        if last is None:
            return run
        at, there, line = last
        start = there + len(line) - len(line.lstrip())
        return self._longer(data, _Run(at, start, there + len(line.rstrip())), number, high)

    def _longer(self, data: bytes, run: _Run, number: int, high: int) -> _Run:
        """The run, and what agrees after it."""
        return run._replace(end=run.end + self._forward(data, run.shown_end, number, (run.end, high)))

    def _take_over(self) -> None:
        for number, ranges in self._laid.items():
            self.found[number].update(ranges)
            if len(self._read[number]) > 1:
                # Two lines may stand on either side of what was not read.
                self.found[number] = self.found[number].without(self.found[number].without(self._read[number]))
        self._laid.clear()

    # Two texts side by side

    def _trace(self, data: bytes, at: int, place: _Place) -> list[_Run]:
        """The runs of bytes that agree, from the one around `at` on; none if that is too short."""
        number, start = place
        low, high = self._bounds(number, start)
        return self._trace_on(data, self._run(data, at, number, (start, low, high)), number, high)

    def _trace_on(self, data: bytes, first: _Run, number: int, high: int) -> list[_Run]:
        run: _Run | None = first
        runs: list[_Run] = []
        while run is not None and (runs or run.end - run.start >= SHORTEST):
            runs.append(run)
            run = self._next(data, run, number, high)
        while runs and runs[-1].end - runs[-1].start < SHORTEST:
            runs.pop()
        return runs

    def _bounds(self, number: int, at: int) -> tuple[int, int]:
        """The part of the document around `at` that was read."""
        return self._read[number].around(at)

    def _run(self, data: bytes, at: int, number: int, where: tuple[int, int, int]) -> _Run:
        """The bytes that agree around a place, within the limits of what was read."""
        start, low, high = where
        end = start + self._forward(data, at, number, (start, high))
        back = self._backward(data, at, number, (low, start))
        return _Run(at - back, start - back, end)

    def _forward(self, data: bytes, at: int, number: int, part: tuple[int, int]) -> int:
        start, end = part
        same = 0
        for step in _steps():
            there = self._files.take(number, start + same, min(start + same + step, end))
            here = data[at + same : at + same + step]
            count = _common(here, there)
            same += count
            if count < step:
                break
        return same

    def _backward(self, data: bytes, at: int, number: int, part: tuple[int, int]) -> int:
        start, end = part
        same = 0
        for step in _steps():
            there = self._files.take(number, max(start, end - same - step), end - same)
            here = data[max(0, at - same - step) : at - same]
            count = _common_end(here, there)
            same += count
            if count < step:
                break
        return same

    def _next(self, data: bytes, run: _Run, number: int, high: int) -> _Run | None:
        """The next run, where only little stands between."""
        at = run.shown + run.end - run.start
        here = data[at : at + _ASIDE + _AGAIN]
        if len(here) < _AGAIN:
            return None
        there = self._files.take(number, run.end, min(run.end + 2 * _ASIDE, high))
        spaces = _SPACES.match(there)
        assert spaces is not None
        for skipped in dict.fromkeys((0, 1, 2, 3, spaces.end())):
            needle = _beginning(there[skipped : skipped + _AGAIN])
            found = here.find(needle) if needle else -1
            if found >= 0:
                start = run.end + skipped
                end = start + self._forward(data, at + found, number, (start, high))
                after = self._files.take(number, end, min(end + 1, high))
                # Two lines that begin alike are not in step.
                if end - start >= SHORTEST or after in _BREAKS:
                    return _Run(at + found, start, end)
        return None

    def _keep(self, number: int, runs: list[_Run], matched: Spans) -> None:
        """Note the runs, and what between two of them stands for the same in both texts."""
        before: _Run | None = None
        for run in runs:
            self.found[number].add(run.start, run.end)
            matched.add(run.shown, run.shown + run.end - run.start)
            if before is not None and run.start > before.end:
                between = self._files.take(number, before.end, run.start)
                if _FILLING.fullmatch(between) or _NO_TEXT.fullmatch(between):
                    self.found[number].add(before.end, run.start)
            if before is not None:
                matched.add(before.shown, run.shown)
            before = run
        if runs:
            self._guess = (number, runs[-1].end)


def _batches(left: _Left, cuts: Cuts | Few) -> Iterator[tuple[int, list[list[tuple[int, bytes]]], dict[bytes, list[_Place]]]]:
    """The texts, as many at a time as memory allows: the first of them, the pieces of each, where those stand (nowhere yet)."""
    first, count = 0, 0
    seeds: list[list[tuple[int, bytes]]] = []
    places: dict[bytes, list[_Place]] = {}
    for number, text in enumerate(left.texts(0, len(left)), 1):
        seeds.append(cuts.seeds(text))
        for _, key in seeds[-1]:
            if key not in places:
                places[key] = []
        count += len(seeds[-1])
        if count >= _MOST_PIECES or number == len(left):
            yield first, seeds, places
            first, count, seeds, places = number, 0, [], {}


def _unmatched(data: bytes, matched: Spans) -> Iterator[tuple[bytes, bytes]]:
    """What is left of a text, with a little around it, as it may have more in common with its own place, and alone."""
    if not len(matched):
        yield data, data
        return
    for start, end in Spans([(0, len(data))]).without(matched):
        if end - start >= SHORTEST:
            yield data[max(0, start - _MARGIN) : end + _MARGIN], data[start:end]


def _beginning(there: bytes) -> bytes:
    """What has to be seen again of these eight bytes: all, or the whole of a shorter line; nothing if that is too short."""
    line = there.splitlines()[0] if there else b""
    return line if len(line) == _AGAIN or _FEWEST <= len(line) < len(there) else b""


def _steps() -> Iterator[int]:
    """Bytes that are compared at a time: more and more, so that neither short nor long runs take many steps."""
    yield from _STEPS
    while True:
        yield _STEPS[-1]


def _common(one: bytes, other: bytes) -> int:
    """How many bytes the two have in common at their beginning."""
    high = min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _common_end(one: bytes, other: bytes) -> int:
    """How many bytes the two have in common at their end."""
    both = min(len(one), len(other))
    one, other = one[len(one) - both :], other[len(other) - both :]
    return both if one == other else _common(one[::-1], other[::-1])


def _length(runs: list[_Run]) -> int:
    return sum(run.end - run.start for run in runs)


def _plain(data: bytes) -> bytes:
    """What a text means as JSON: the same where there are no escapes in it."""
    if b"\\" not in data:
        return data
    codes = {each[:4] for each in data.split(b"\\u")[1:]}
    if b"\\\\" in data or not all(map(_CHARACTER.fullmatch, codes)):
        return _ESCAPED.sub(_unescaped, data)
    # Much faster where letters are escaped; with neither backslashes nor halves of characters it is the same.
    for code in codes:
        data = data.replace(b"\\u" + code, chr(int(code, 16)).encode())
    for letter, meaning in _MEANT.items():
        data = data.replace(b"\\" + letter, meaning)
    return data


def _unescaped(found: re.Match[bytes]) -> bytes:
    """What an escape of JSON stands for."""
    escape = found[0]
    if escape[1:2] == b"u":
        return bytes.fromhex(escape.replace(b"\\u", b"").decode()).decode("utf-16-be", "replace").encode()
    return _MEANT[escape[1:]]
