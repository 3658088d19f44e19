"""How long a batch may still take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_rlm.display.estimate import Batch


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def of(asked: int, clock: Clock, under_way: int = 1) -> Batch:
    batch = Batch(clock)
    batch.asked = asked
    for _ in range(under_way):
        batch.start()
    return batch


def finish(batch: Batch, *, another: bool = True) -> None:
    batch.finish(sent=True)
    if another:
        batch.start()


@given(st.integers(100, 2000), st.floats(0.05, 60.0), st.floats(0.1, 0.99), st.integers(1, 10))
def test_at_a_steady_rate_it_is_right_within_a_fifth_once_a_tenth_is_done(
    asked: int, every: float, share: float, under_way: int
) -> None:
    clock = Clock()
    batch = of(asked, clock, under_way)
    done = max(int(asked * share), -(-asked // 10), under_way)
    for _ in range(done):
        clock.now += every
        finish(batch)
    told = batch.left()
    if done < asked and clock.now - 1000.0 >= 2.0:
        assert told == pytest.approx((asked - done) * every, rel=0.2)


@given(st.integers(5, 50), st.integers(2, 10), st.floats(2.0, 30.0), st.floats(0.0, 0.99))
def test_calls_that_finish_in_rounds_do_not_mislead_it(width: int, rounds: int, seconds: float, part: float) -> None:
    clock = Clock()
    batch = of(width * rounds, clock, width)
    clock.now += seconds
    for _ in range(width):
        finish(batch)
    clock.now += seconds * part
    assert batch.left() == pytest.approx(seconds * (rounds - 1 - part))


def test_there_is_no_number_before_as_many_have_finished_as_were_under_way() -> None:
    clock = Clock()
    batch = of(100, clock, 20)
    for _ in range(19):
        clock.now += 1
        finish(batch)
        assert batch.left() is None
    clock.now += 1
    finish(batch)
    assert batch.left() is not None


def test_answers_that_were_there_already_say_nothing_of_the_pace() -> None:
    clock = Clock()
    batch = of(100, clock)
    for _ in range(50):
        batch.finish(sent=False)
    clock.now += 100
    assert batch.left() is None
    for _ in range(10):
        clock.now += 2
        finish(batch)
    assert batch.left() == pytest.approx(40 * 120 / 10)


def test_a_pause_longer_than_any_before_counts() -> None:
    clock = Clock()
    batch = of(20, clock)
    for _ in range(10):
        clock.now += 1
        finish(batch)
    clock.now += 0.5
    assert batch.left() == pytest.approx(9.5)
    clock.now += 60
    before = batch.left()
    clock.now += 60
    after = batch.left()
    assert before is not None
    assert after is not None
    assert 60 < before < after


def test_nothing_is_left_of_what_is_over() -> None:
    batch = of(1, Clock())
    batch.finish(sent=True)
    assert (batch.is_over, batch.left()) == (True, None)
