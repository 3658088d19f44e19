"""What happens in a run, written to its journal and told to its observer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from llm_rlm.events import (
    CellFinished,
    CellStarted,
    TurnFailed,
    TurnFinished,
    TurnRetried,
    TurnStarted,
    Waiting,
    Warned,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llm_rlm.budget import Bound, Spent
    from llm_rlm.events import Observer
    from llm_rlm.journal import Journal
    from llm_rlm.sandbox import CellResult


class Record:
    """Of one run. Turns and cells are written down before they begin, and what came of them before anybody acts on it."""

    def __init__(self, journal: Journal, run_id: str, tell: Observer, turn: int | None = None) -> None:
        """`turn` is the number of the last turn of an earlier life of the run."""
        self._tell = tell
        self._journal = journal
        self._run = run_id
        self._turn = turn
        """None where LLM's own chain has the turns."""

    def begin_turn(self, number: int, say: str | None, results: Sequence[str], bound: Bound, last_why: str | None) -> None:
        """Record a turn before the root model is asked.

        What is said to it, the results of its tools, the most that the turn can take, and why it is the last.
        """
        self._turn = number
        sent = json.dumps({"say": say, "results": list(results)}, ensure_ascii=False)
        self._journal.begin_turn(self._run, number, sent, last_why, bound)
        self._tell(TurnStarted(self._run, number))

    def compact_turn(self, room: int) -> None:
        """Record that what was said before a turn has been shortened for it, to so many characters."""
        assert self._turn is not None
        self._journal.compact_turn(self._run, self._turn, room)
        self.warn(f"history shortened before turn {self._turn}: it came near the end of the root model's window")

    def retry_turn(self, *, maybe_paid: bool) -> None:
        """Record that a turn is asked for once more."""
        assert self._turn is not None
        self._journal.retry_turn(self._run, self._turn, maybe_paid=maybe_paid)
        self._tell(TurnRetried(self._run, self._turn, maybe_paid))

    def fail_turn(self, *, maybe_paid: bool) -> None:
        """Record that a turn brought no reply."""
        assert self._turn is not None
        self._journal.fail_turn(self._run, self._turn, maybe_paid=maybe_paid)
        self._tell(TurnFailed(self._run, self._turn, maybe_paid))

    def end_turn(self, reply: Mapping[str, object], messages: Sequence[Mapping[str, object]], spent: Spent) -> None:
        """Record what the root model said, and what that adds to the conversation."""
        assert self._turn is not None
        said, added = json.dumps(reply, ensure_ascii=False), json.dumps(messages, ensure_ascii=False)
        self._journal.end_turn(self._run, self._turn, said, added, spent)
        self._tell(TurnFinished(self._run, self._turn, str(reply.get("text") or ""), spent))

    def wait(self, model: str, seconds: float) -> None:
        """Tell the observer that a provider asked for patience."""
        self._tell(Waiting(self._run, model, seconds))

    def warn(self, text: str) -> None:
        """Tell the observer of what the user would not expect."""
        self._tell(Warned(self._run, text))

    def begin_cell(self, number: int, code: str, call: int | None) -> None:
        """Record a cell before it runs, for the tool call of that number in its turn."""
        self._journal.begin_cell(self._run, number, code, self._turn, call)
        self._tell(CellStarted(self._run, number, code))

    def end_cell(self, result: CellResult, shown: str, *, held_up: bool) -> None:
        """Record what came of a cell, what the root model is shown of it, and the answer that it has submitted."""
        columns: dict[str, object] = {"outcome": result.outcome, "running": result.running, "held_up": held_up}
        given = result.submitted
        if given is not None:
            columns |= {"answer_is_json": given.is_json, "quotes": json.dumps(given.quotes)}
        answer = given.text if given is not None else None
        self._journal.end_cell(self._run, result.number, result.output, shown, answer=answer, **columns)
        self._tell(_finished(self._run, result))


def _finished(run: str, result: CellResult) -> CellFinished:
    return CellFinished(
        run,
        result.number,
        result.output,
        result.total,
        result.outcome,
        result.running,
        result.seconds,
        result.notes,
        submitted=result.submitted is not None,
    )
