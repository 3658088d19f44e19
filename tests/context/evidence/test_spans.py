"""Spans are a set of positions."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.context.evidence.spans import Spans

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def positions(ranges: list[tuple[int, int]]) -> set[int]:
    return {position for start, end in ranges for position in range(start, end)}


@given(RANGES)
def test_they_hold_the_positions_that_were_added_and_no_others(ranges: list[tuple[int, int]]) -> None:
    spans, there = Spans(ranges), positions(ranges)
    assert {position for position in range(62) if spans.holds(position)} == there
    assert spans.total() == len(there)
    assert positions(list(spans)) == there


@given(RANGES)
def test_they_are_in_order_and_neither_overlap_nor_touch_nor_are_empty(ranges: list[tuple[int, int]]) -> None:
    kept = list(Spans(ranges))
    assert all(start < end for start, end in kept)
    assert all(before[1] < after[0] for before, after in pairwise(kept))
    assert len(Spans(ranges)) == len(kept)


@given(RANGES, st.randoms(use_true_random=False))
def test_the_order_in_which_ranges_come_makes_no_difference(ranges: list[tuple[int, int]], draw: object) -> None:
    mixed = list(ranges)
    draw.shuffle(mixed)  # type: ignore[attr-defined]
    assert Spans(mixed) == Spans(ranges)


@given(RANGES, RANGES)
def test_without_is_the_difference(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    left = Spans(one).without(Spans(other))
    assert left == Spans((position, position + 1) for position in positions(one) - positions(other))


@given(RANGES, st.integers(0, 61))
def test_around_a_position_is_its_whole_range(ranges: list[tuple[int, int]], position: int) -> None:
    start, end = Spans(ranges).around(position)
    there = positions(ranges)
    if position in there:
        assert set(range(start, end)) <= there
        assert not {start - 1, end} & there
        assert start <= position < end
    else:
        assert (start, end) == (position, position)


def test_a_copy_is_changed_apart() -> None:
    spans = Spans([(0, 5)])
    other = spans.copy()
    other.add(7, 9)
    assert (list(spans), list(other)) == ([(0, 5)], [(0, 5), (7, 9)])
    assert spans != other
    assert repr(other) == "Spans([(0, 5), (7, 9)])"


def test_positions_may_be_beyond_32_bits() -> None:
    assert Spans([(1 << 40, (1 << 40) + 3)]).total() == 3


@given(RANGES, RANGES)
def test_many_ranges_at_once_are_added_as_one_by_one(ranges: list[tuple[int, int]], more: list[tuple[int, int]]) -> None:
    spans = Spans(ranges)
    spans.update(more)
    assert spans == Spans(ranges + more)
    assert spans.last() == max(positions(ranges + more), default=-1) + 1
