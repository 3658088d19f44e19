"""Where a run goes on: after the last thing that was neither lost nor held up."""

from __future__ import annotations

from typing import Any

from llm_rlm.budget import Bound, Usage
from llm_rlm.journal.history import PastCell, PastRun, PastTurn
from llm_rlm.runs.continuation import continuation
from llm_rlm.sandbox import Past


def turn(number: int, *, last_why: str | None = None, malformed: str | None = None) -> PastTurn:
    return PastTurn(number, {"text": "", "calls": [], "malformed": malformed}, (), last_why)


def cell(number: int, turn: int | None = None, call: int = 0, outcome: str | None = "ok", **more: Any) -> PastCell:
    shown = None if outcome is None else f"shown {number}"
    held_up = more.pop("held_up", outcome == "interrupted")
    return PastCell(number, number if turn is None else turn, call, f"code {number}", f"out {number}", shown, outcome, held_up)


def run(turns: list[PastTurn], cells: list[PastCell]) -> PastRun:
    nothing: dict[str, Any] = dict.fromkeys(("process", "finish", "limit", "error", "answer", "follows"))
    return PastRun(
        **nothing,
        id="run",
        question="?",
        model="m",
        sub_model="m",
        system="s",
        settings={},
        coverage_complete=True,
        answer_is_json=False,
        seconds=0.0,
        documents=(),
        skipped=(),
        citations=(),
        turns=turns,
        cells=cells,
        usage=Usage(),
        possible=Bound(),
    )


def test_a_run_that_said_nothing_yet_begins_anew() -> None:
    at = continuation(run([], []))
    assert (at.turns, at.shown, at.cells, at.last_turn, at.next_cell) == ((), {}, (), 0, 1)


def test_it_goes_on_with_what_the_last_reply_asked_for_and_finished_cells_do_not_run_again() -> None:
    at = continuation(run([turn(1), turn(2)], [cell(1), cell(2, turn=2, call=0), cell(3, turn=2, call=1, outcome=None)]))
    assert (at.last_turn, at.shown, at.next_cell) == (2, {0: "shown 2"}, 3)
    assert at.cells == (Past(1, "code 1", "out 1"), Past(2, "code 2", "out 2"))


def test_what_came_after_a_cell_that_was_held_up_does_not_count() -> None:
    turns = [turn(1), turn(2), turn(3, last_why="the limit of 5 calls is reached")]
    at = continuation(run(turns, [cell(1), cell(2, held_up=True), cell(3)]))
    assert (at.last_turn, at.shown, at.next_cell) == (2, {}, 2)
    assert [past.number for past in at.cells] == [1]


def test_a_last_turn_is_asked_again_as_one_that_is_not() -> None:
    at = continuation(run([turn(1), turn(2, last_why="the limit of 2 turns is reached")], [cell(1), cell(2)]))
    assert (at.last_turn, at.shown, at.next_cell) == (1, {0: "shown 1"}, 2)


def test_a_reply_that_could_not_be_read_is_asked_for_again() -> None:
    at = continuation(run([turn(1), turn(3, malformed="no JSON")], [cell(1)]))
    assert at.last_turn == 1


def test_cells_that_were_stopped_or_lost_their_worker_bring_nothing_back() -> None:
    cells = [cell(1), cell(2, outcome="timeout"), cell(3, outcome="lost"), cell(4, outcome="error"), cell(5, outcome="exit")]
    at = continuation(run([turn(number) for number in range(1, 6)], cells))
    assert [past.number for past in at.cells] == [1, 4, 5]
    assert (at.next_cell, at.shown) == (6, {0: "shown 5"})
