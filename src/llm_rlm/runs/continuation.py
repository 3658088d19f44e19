"""Where a run that ended before its time goes on: after the last thing that was neither lost nor held up.

A run that met a limit, or was stopped, goes on as if it had not been: the cell that was held up is run again, its paid calls
answered from the journal, and the turns after it, of which the last was asked for the best answer there was, do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_rlm.journal.history import Earlier
from llm_rlm.sandbox import Answer, Past

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from llm_rlm.journal.history import PastCell, PastRun, PastTurn

_FINISHED = frozenset({"ok", "error", "exit"})


@dataclass(frozen=True)
class Continuation:
    """What a run goes on from."""

    past: PastRun
    turns: Sequence[PastTurn]
    """The turns that hold; the run goes on with what the last of them asked for."""
    shown: Mapping[int, str]
    """What the cells of that last turn showed that need not run again: by tool call, from 0."""
    cells: Sequence[Past]
    """The cells that bring the variables back."""
    next_cell: int
    """The number of the next cell to run."""
    stopped: Sequence[int]
    """The cells that were stopped for their time or lost their sandbox: what they made does not come back."""
    answer: Answer | None
    """What one of the cells of the last turn has submitted."""

    @property
    def last_turn(self) -> int:
        """The number of the last turn that holds; 0 if none does."""
        return self.turns[-1].number if self.turns else 0


def continuation(past: PastRun) -> Continuation:
    """Where the run goes on."""
    broken = next((cell for cell in past.cells if cell.held_up or cell.shown is None), None)
    turns = [turn for turn in past.turns if broken is None or broken.turn is None or turn.number <= broken.turn]
    while turns and (turns[-1].last_why is not None or turns[-1].reply.get("malformed") is not None):
        turns.pop()
    at = turns[-1].number if turns else 0
    kept = [cell for cell in past.cells if _holds(cell, at) and (broken is None or cell.number < broken.number)]
    shown = {cell.call: cell.shown for cell in kept if cell.turn == at and cell.call is not None and cell.shown is not None}
    cells = tuple(Past(cell.number, cell.code, cell.output or "") for cell in kept if cell.outcome in _FINISHED)
    stopped = tuple(cell.number for cell in kept if cell.outcome not in _FINISHED)
    given = [
        Answer(cell.answer, cell.answer_is_json, tuple(cell.quotes))
        for cell in kept
        if cell.turn == at and cell.answer is not None
    ]
    next_cell = kept[-1].number + 1 if kept else 1
    return Continuation(past, tuple(turns), shown, cells, next_cell, stopped, given[-1] if given else None)


@dataclass(frozen=True)
class Followed:
    """What the earlier runs of a session leave to the one that follows them."""

    runs: Sequence[Earlier]
    """Oldest first."""
    turns: Sequence[Sequence[PastTurn]] = ()
    """The turns of the root model so far, of each run."""
    results: Sequence[tuple[Mapping[str, Any], str]] = ()
    """The tool calls of its end that have had no answer yet, and what is to be answered."""
    cells: Sequence[Past] = ()
    """The cells that bring the variables back."""
    stopped: Sequence[int] = ()
    """The cells whose variables do not come back."""

    @property
    def last_cell(self) -> int:
        """The number of the last cell of the session so far."""
        return self.runs[-1].last_cell


def follow(runs: Sequence[PastRun]) -> Followed:
    """What these runs of one session, oldest first, leave to the next. They have ended."""
    spans: list[Earlier] = []
    for run in runs:
        before = spans[-1].last_cell if spans else 0
        spans.append(Earlier(run.id, run.cells[-1].number if run.cells else before))
    cells = [cell for run in runs for cell in run.cells]
    return Followed(
        runs=tuple(spans),
        turns=tuple(run.turns for run in runs),
        results=_unanswered(runs),
        cells=tuple(Past(cell.number, cell.code, cell.output or "") for cell in cells if cell.outcome in _FINISHED),
        stopped=tuple(cell.number for cell in cells if cell.outcome not in _FINISHED),
    )


def _unanswered(runs: Sequence[PastRun]) -> Sequence[tuple[Mapping[str, Any], str]]:
    """The tool calls of the last turn, whose results would have gone with the next."""
    last = next((run for run in reversed(runs) if run.turns), None)
    if last is None or not last.turns[-1].messages:
        return ()
    turn = last.turns[-1]
    shown = {cell.call: cell.shown for cell in last.cells if cell.turn == turn.number}
    taken = last.answer is not None and last.error is None
    otherwise = "Submitted." if taken else "Error: the run ended before this was done, or did not take it."
    return tuple((call, shown.get(number) or otherwise) for number, call in enumerate(turn.reply["calls"]))


def _holds(cell: PastCell, at: int) -> bool:
    return cell.turn is not None and cell.turn <= at
