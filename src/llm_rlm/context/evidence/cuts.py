"""Where texts are cut into pieces by what stands in them, so that the same text is cut alike wherever it stands."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, override

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORTEST = 32
"""Bytes that have to agree without a break for a place to count."""

_SHORTEST_PIECE = 8
_LONGEST_KEY = 64
_NARROW = 32
"""Bytes of text that `often` cuts at least once, nearly always, besides where lines and strings end."""

_MOST_WINDOWS = 3000
_ENOUGH = 0.02
_ENDS = b'\n\r"\\'
"""Where text is cut always, since it is often written otherwise there."""
_RARE_COUNTS_AS = 0.01
_MOST_SAMPLE = 1 << 17

_SET_OFF = re.compile(rb"[\s>*|#\"'\[({-]*(?:\d[\d.-]{0,6}[\])}.:|,]*(?=[\s\"])|\d{1,7}[:|,])?[\s\"']*")
"""What prompts put before a line: its number, indentation, a dash, a quotation mark."""

_NEXT_STRING = b'", "'
_FIRST_LINES = 4


@dataclass(frozen=True)
class Cuts:
    """A way to cut."""

    separator: bytes
    table: bytes | None = None
    """Where several bytes separate, what makes the one separator of them: for `bytes.translate`."""
    longest: int | None = None
    """Bytes of a piece that are looked at; None for all."""

    def pieces(self, data: bytes) -> list[bytes]:
        """What stands between separators, in order. Each takes about 70 ns."""
        return (data if self.table is None else data.translate(self.table)).split(self.separator)

    def keys(self, pieces: list[bytes]) -> list[bytes]:
        """What the pieces are told apart by."""
        return pieces if self.longest is None else [piece[: self.longest] for piece in pieces]

    def key(self, piece: bytes) -> bytes:
        """What the piece is told from others by."""
        return piece[: self.longest]

    def aside(self, piece: bytes) -> int:  # noqa: ARG002 - lines do have something
        """Bytes of the piece that stand before its key."""
        return 0

    def seeds(self, text: bytes) -> list[tuple[int, bytes]]:
        """The offset and the key of each piece of a text that models were shown, but for those that are too short."""
        seeds, at, step = [], 0, len(self.separator)
        for piece in self.pieces(text):
            if len(piece) >= _SHORTEST_PIECE:
                seeds.append((at, self.key(piece)))
            at += len(piece) + step
        return seeds


@dataclass(frozen=True)
class Lines(Cuts):
    """Whole lines, without what white space is around them."""

    separator: bytes = b"\n"
    every: int = 1
    """Of the lines that models were shown, the first few and each so-manieth are looked for."""

    @override
    def keys(self, pieces: list[bytes]) -> list[bytes]:
        return list(map(bytes.strip, pieces))

    @override
    def key(self, piece: bytes) -> bytes:
        return piece.strip()

    @override
    def aside(self, piece: bytes) -> int:
        return len(piece) - len(piece.lstrip())

    @override
    def seeds(self, text: bytes) -> list[tuple[int, bytes]]:
        """Lines as they are, and without what may have been put around them; strings of JSON are lines too."""
        seeds: list[tuple[int, bytes]] = []
        self._take_some(text.split(b"\n"), (0, 1), seeds)
        return seeds

    def _take_some(self, parts: list[bytes], where: tuple[int, int], seeds: list[tuple[int, bytes]]) -> None:
        """Take lines, or strings of a list: the offset of the first, and how much stands between two of them."""
        at, step = where
        offsets = list(accumulate(map(len, parts), initial=at))
        first = range(min(_FIRST_LINES, len(parts)))
        for number in (*first, *range(-len(first) % self.every + len(first), len(parts), self.every)):
            _take(parts[number], offsets[number] + number * step, seeds)
        if step > 1:
            return
        for number, line in enumerate(parts):
            if _NEXT_STRING in line:
                strings = line.split(_NEXT_STRING)
                strings[-1] = strings[-1][: strings[-1].rfind(b'"')]
                begun = strings[0].rfind(b'"') + 1
                strings[0] = strings[0][begun:]
                self._take_some(strings, (offsets[number] + number + begun, len(_NEXT_STRING)), seeds)


def _take(line: bytes, at: int, seeds: list[tuple[int, bytes]]) -> None:
    plain = line.strip()
    if len(plain) < SHORTEST:
        return
    at += line.index(plain[:1])
    seeds.append((at, plain))
    found = _SET_OFF.match(plain)
    start = found.end() if found is not None else 0
    if start:
        # A quotation mark before the line has one after it.
        end = plain.rfind(b'"', start) if b'"' in plain[:start] else -1
        if len(text := plain[start : end if end > 0 else len(plain)].rstrip()) >= SHORTEST:
            seeds.append((at + start, text))


@dataclass(frozen=True)
class Few:
    """Pieces of little text, which are looked for one by one."""

    size: int = 16

    def seeds(self, text: bytes) -> list[tuple[int, bytes]]:
        """The offset and the bytes of each piece: one stands in any stretch that is long enough to count."""
        return [(at, text[at : at + self.size]) for at in range(0, len(text) - self.size + 1, self.size)]


def seldom(samples: Sequence[bytes], gap: int) -> Cuts:
    """Cut about each `gap` bytes of texts like these samples: before and after a pair of bytes that is as rare."""
    pairs: Counter[tuple[int, int]] = Counter()
    spread: Counter[tuple[int, int]] = Counter()
    for sample in samples:
        here = Counter(pairwise(sample))
        pairs.update(here)
        spread.update(here.keys())
    wanted = max(sum(map(len, samples)) / gap, 1)

    def worth(pair: tuple[int, int]) -> tuple[float, float]:
        """That it stands everywhere, and is as rare as wanted: within twice and half of it, the first counts more."""
        off = abs(math.log2(pairs[pair] / wanted))
        return (spread[pair], -off) if off <= 1 else (0, -off)

    # "aa" would cut "aaa" in one way or the other.
    best = max((pair for pair in pairs if pair[0] != pair[1]), key=worth, default=(10, 13))
    return Cuts(bytes(best), longest=_LONGEST_KEY)


def often(samples: Sequence[bytes]) -> Cuts:
    """Cut texts like these samples as rarely as can be, if no more than some thirty bytes are to remain between cuts."""
    text = b"".join(samples)[:_MOST_SAMPLE]
    step = max(_NARROW, len(text) // _MOST_WINDOWS)
    windows = [set(text[at : at + _NARROW]) for at in range(0, max(len(text) - _NARROW, 1), step)]
    within: dict[int, set[int]] = {}
    for number, window in enumerate(windows):
        for byte in window:
            within.setdefault(byte, set()).add(number)
    counts = {byte: text.count(byte) * _NARROW / step for byte in within}
    ends = [byte for byte in _ENDS if within.pop(byte, None)]
    separators = ends + _cover(set().union(*within.values()), within, counts) or [10]
    one = separators[0]
    return Cuts(bytes((one,)), bytes(one if byte in separators else byte for byte in range(256)))


def _cover(left: set[int], within: dict[int, set[int]], counts: dict[int, float]) -> list[int]:
    """Bytes that together occur in nearly all windows, and seldom: the best for its count first, again and again."""
    chosen: list[int] = []
    enough, rare = len(left) * _ENOUGH, len(left) * _RARE_COUNTS_AS
    while len(left) > enough:
        best = max(within, key=lambda byte: (len(within[byte] & left) / (counts[byte] + rare), -byte))
        chosen.append(best)
        left -= within.pop(best)
    return chosen
