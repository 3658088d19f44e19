"""A set of bytes of one text, kept as ranges."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Spans:
    """Ranges that neither overlap nor touch, in order: 16 bytes for each. Not for several threads at once."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """The ranges may come in any order and overlap."""
        self._starts = array("Q")
        self._ends = array("Q")
        for start, end in ranges:
            self.add(start, end)

    def add(self, start: int, end: int) -> None:
        """Add the bytes from `start` up to `end`; none if it is not after `start`."""
        if end <= start:
            return
        # Those from `first` to `last` overlap or touch what is added.
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end, first)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        else:
            self._starts.insert(first, start)
            self._ends.insert(first, end)
            return
        self._starts[first], self._ends[first] = start, end
        if last > first + 1:
            del self._starts[first + 1 : last], self._ends[first + 1 : last]

    def update(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add many ranges at once: they may come in any order and overlap."""
        starts, ends = array("Q"), array("Q")
        last = -1
        for start, end in sorted([*self, *ranges]):
            if start > last:
                if end > start:
                    starts.append(start)
                    ends.append(end)
                    last = end
            elif end > last:
                ends[-1] = last = end
        self._starts, self._ends = starts, ends

    def last(self) -> int:
        """Where the last range ends; 0 where there is none."""
        return self._ends[-1] if self._ends else 0

    def total(self) -> int:
        """How many bytes there are."""
        return sum(self._ends) - sum(self._starts)

    def holds(self, position: int) -> bool:
        """Whether the byte at `position` is one of them."""
        return bisect_right(self._starts, position) > bisect_right(self._ends, position)

    def around(self, position: int) -> tuple[int, int]:
        """The whole range that the byte at `position` is in; an empty one where it is none of them."""
        at = bisect_right(self._starts, position) - 1
        return (self._starts[at], self._ends[at]) if self.holds(position) else (position, position)

    def without(self, other: Spans) -> Spans:
        """The bytes that are not in `other`."""
        left = Spans()
        for start, end in self:
            at = start
            for first in range(bisect_right(other._ends, start), len(other._starts)):
                if other._starts[first] >= end:
                    break
                left.add(at, other._starts[first])
                at = other._ends[first]
            left.add(at, end)
        return left

    def copy(self) -> Spans:
        """The same bytes, to be changed apart."""
        same = Spans()
        same._starts, same._ends = self._starts[:], self._ends[:]
        return same

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._ends, strict=True)

    def __len__(self) -> int:
        """How many ranges there are."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spans) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Spans({list(self)})"
