"""The line that says where a run is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from llm_rlm.budget import Budget, Limits, Usage
from llm_rlm.display.progress import Progress, clock_time, fit, span
from llm_rlm.events import CallFinished, CallsAsked, CallStarted, CellStarted, RunFinished, RunStarted, TurnStarted, Waiting


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def begun(asked: int = 0, clock: Clock | None = None, under_way: int = 0) -> Progress:
    progress = Progress(clock or Clock())
    usage = Usage(calls=3, cached=1, input=1200, output=34, cost=0.12)
    progress.see(RunStarted("r", "?", "root", "sub", Budget(Limits(cost=0.5), usage, in_flight=under_way)))
    progress.see(TurnStarted("r", 2))
    progress.see(CellStarted("r", 4, "code"))
    if asked:
        progress.see(CallsAsked("r", 4, asked))
    return progress


def finished(call: int, run: str = "r") -> CallFinished:
    return CallFinished(run, call, 4, "model", "sub", "answered", "p")


def test_it_says_turn_calls_tokens_cost_and_time() -> None:
    progress = begun(under_way=1)
    progress.see(CallStarted("r", 7, 4, "model", "sub", "p"))
    assert progress.line(200) == (
        "turn 2: running cell 4 · 3 sub-calls done, 1 in flight · 1,200 + 34 tokens · $0.12 of $0.50 · 0 s"
    )


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (80, "turn 2: running cell 4 · 0 of 1,000 · 4 sub-calls done · $0.12 of $0.50 · 0 s"),
        (60, "turn 2: running cell 4 · 0 of 1,000 · 4 sub-calls done"),
        (40, "turn 2: running cell 4 · 0 of 1,000"),
        (30, "turn 2: running cell 4"),
        (10, "turn 2: r…"),
        (0, ""),
    ],
)
def test_where_it_is_narrow_what_matters_least_is_left_out(width: int, shown: str) -> None:
    assert begun(1000).line(width) == shown


PARTS = st.tuples(st.integers(0, 9), st.text(st.characters(categories=["L", "N", "S"]), min_size=1))


@given(st.lists(PARTS, min_size=1), st.integers(0, 90))
def test_it_is_never_wider_than_there_is_room(parts: list[tuple[int, str]], width: int) -> None:
    assert cell_len(fit(parts, width)) <= width


def test_a_batch_says_how_many_are_done_and_how_long_the_rest_may_take() -> None:
    clock = Clock()
    progress = begun(100, clock)
    for call in range(20):
        progress.see(CallStarted("r", call, 4, "model", "sub", "p"))
        clock.now += 1
        progress.see(finished(call))
    assert progress.batch == "20 of 100 calls, 80 s left"


def test_a_few_calls_are_no_batch_and_calls_of_a_child_run_are_not_of_its_parents_batch() -> None:
    assert begun(5).batch is None
    progress = begun(10)
    progress.see(RunStarted("c", "?", "sub", "sub", Budget(Limits()), "r", 1))
    progress.see(finished(1, "c"))
    assert progress.batch == "0 of 10 calls"
    assert "1 child run" in progress.line(200)
    progress.see(RunFinished("c", "submitted", None))
    assert "child" not in progress.line(200)


def test_a_pause_that_the_provider_asked_for_is_said_while_it_lasts() -> None:
    clock = Clock()
    progress = begun(clock=clock)
    progress.see(Waiting("r", "sub", 30.0))
    clock.now += 10
    assert "sub asked to wait 20 s" in progress.line(200)
    clock.now += 20
    assert "wait" not in progress.line(200)


def test_times_are_as_a_person_reads_them() -> None:
    assert [span(seconds) for seconds in (0.4, 40, 119, 119.7, 720, 7199, 12600)] == [
        *("0 s", "40 s", "119 s", "2 min", "12 min", "2.0 h", "3.5 h")
    ]
    assert [clock_time(seconds) for seconds in (59.9, 185, 3723)] == ["59 s", "3:05", "1:02:03"]
